# SPDX-License-Identifier: MIT
"""The two marks of a suite test."""

from collections.abc import Sequence

import pytest

from vfiospec.lab.bench import BenchDevice
from vfiospec.rules.model import Rule


def checks(*rules: Rule) -> pytest.MarkDecorator:
    """Name the rules a test asserts. A suite test without it stops collection."""
    return pytest.mark.checks(rules)


def devices(*roles: str, without: tuple[str, ...] = ()) -> pytest.MarkDecorator:
    """Run a test on each device that has all of the roles and none of the others."""
    return pytest.mark.devices(roles, without)


dangerous = pytest.mark.dangerous  # may take a released kernel down: asked for by --dangerous


def is_dangerous(item: pytest.Item) -> bool:
    """Whether a test runs only when asked for, last, and in a boot of its own."""
    return item.get_closest_marker("dangerous") is not None


def rules_of(item: pytest.Item) -> tuple[Rule, ...]:
    """The rules a test asserts, in the order of its marks."""
    return tuple(r for mark in item.iter_markers("checks") for r in mark.args[0])


def roles_of(item: pytest.Item) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The roles a test's device must have, and those it must not."""
    mark = item.get_closest_marker("devices")
    return mark.args if mark else ((), ())


def selected(metafunc: pytest.Metafunc, available: Sequence[BenchDevice]) -> list[BenchDevice]:
    """The devices a test is to run on."""
    roles, without = roles_of(metafunc.definition)
    return [d for d in available if d.roles.issuperset(roles) and not d.roles.intersection(without)]
