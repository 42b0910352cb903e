# SPDX-License-Identifier: MIT
"""Each group of calls is answered alike in all ways, but where a difference is declared."""

from typing import TYPE_CHECKING

import pytest

from vfiospec.device.comparison import unexplained
from vfiospec.device.surveys import GROUPS
from vfiospec.expect import Mismatch
from vfiospec.rules.model import Rule
from vfiospec.rules.ways_differences import DIFFERENCES
from vfiospec.session.marks import checks, devices
from vfiospec.session.run import Run

if TYPE_CHECKING:
    from suites.ways.conftest import Surveys

each_group = pytest.mark.parametrize(
    "rule",
    [pytest.param(rule, marks=checks(rule), id=rule.id.partition(".")[2]) for rule in GROUPS],
)


def alike(surveys: "Surveys", rule: Rule, run: Run) -> None:
    """No answer differs from way to way, but as it is allowed."""
    asked = {way: found[rule] for way, found in surveys.items() if rule in found}
    for found in asked.values():
        run.port.steps += found.steps  # for the transcript: they were made before this test began
    allowed = [d for d in DIFFERENCES if d.rule is rule and d.holds_on(run.version)]
    lines = unexplained({way: found.answers for way, found in asked.items()}, allowed)
    if lines:
        raise Mismatch(f"the same answers in {', '.join(asked)}", "\n".join(lines))


@devices("io-bar", "msix", without=("below-bridge",))
@each_group
def test_of_a_network_card(surveys: "Surveys", rule: Rule, run: Run) -> None:
    """PCI Express, with interrupts of each kind, I/O ports and a ROM."""
    alike(surveys, rule, run)


@devices("dma-stimulus")
@each_group
def test_of_a_conventional_device(surveys: "Surveys", rule: Rule, run: Run) -> None:
    """It cannot be reset; it does DMA at our word."""
    alike(surveys, rule, run)


@devices("sriov")
@each_group
def test_of_a_device_with_virtual_functions(surveys: "Surveys", rule: Rule, run: Run) -> None:
    """With a BAR of 64 bits, function level reset and many vectors."""
    alike(surveys, rule, run)
