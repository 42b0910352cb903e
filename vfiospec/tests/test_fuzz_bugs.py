# SPDX-License-Identifier: MIT
"""The seeded bugs: that each is whole, and that its calls are a program anybody can build."""

import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest

from vfiospec.device import ops as o
from vfiospec.device.transcript import Target, TranscriptDevice
from vfiospec.fuzzing.creproducer import reproducer
from vfiospec.lab.build.wrong import FOLDERS
from vfiospec.session.jobs import check_target

ROOT = Path(__file__).parent.parent.parent
DEVICES = {
    name: TranscriptDevice(name, f"0000:00:{slot}.0", group)
    for name, slot, group in (("e1000e", "14", 3), ("edu", "15", 4), ("rtl8139", "16", 5))
}


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> tuple[ModuleType, ModuleType]:
    """fuzz.bugs and fuzz.triggers, which are no part of the package."""
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("fuzz.bugs"), importlib.import_module("fuzz.triggers")


def test_every_bug_has_its_calls(modules: tuple[ModuleType, ModuleType]) -> None:
    """And at least ten there are, each an edit of a folder that can be built."""
    bugs, triggers = modules
    every = bugs.bugs()
    assert {bug.id for bug in every} == set(triggers.TRIGGERS)
    assert len(every) == len({bug.id for bug in every}) >= 10
    for bug in every:
        re.compile(bug.title)
        assert bug.what
        assert bug.needs
        check_target(bug.target)
        for edit in bug.edit:
            assert edit.file.startswith(tuple(FOLDERS))
            assert edit.old != edit.new


def test_the_calls_of_every_bug_are_a_program(modules: tuple[ModuleType, ModuleType]) -> None:
    """Handles are made before they are used, and all becomes C."""
    _, triggers = modules
    for make in triggers.TRIGGERS.values():
        program = make(DEVICES)
        made: set[int] = set()
        for op in program.ops:
            used = [getattr(op, name, None) for name in ("fd", "handle")]
            assert all(handle in made for handle in used if handle is not None), op
            if isinstance(out := getattr(op, "out", None), int):
                made.add(out)
        text = reproducer(
            Target(test="x", kernel="", release="", devices=(*DEVICES.values(),)),
            [(op, None) for op in program.ops],
        ).text
        assert text.count("answer(") > len([op for op in program.ops if isinstance(op, o.Open)])
