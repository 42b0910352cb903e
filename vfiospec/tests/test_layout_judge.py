# SPDX-License-Identifier: MIT
"""The judgement of two layouts: each kind of break is found by its rule, nothing harmless is."""

import shutil
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest

from vfiospec.layout.accepted import ACCEPTED
from vfiospec.layout.finding import Verdict
from vfiospec.layout.headers import read_abi
from vfiospec.layout.history import HISTORY, read
from vfiospec.layout.includes import Includes, installed
from vfiospec.layout.judge import Judgement, judge
from vfiospec.layout.model import Abi
from vfiospec.rules import layout as rules
from vfiospec.rules.model import Rule, registered
from vfiospec.tests.header_sets import NEWEST, include_root
from vfiospec.tests.layout_edits import BREAKS, HARMLESS, IOMMUFD, VFIO, ZDEV, Edit

ROOT = Path(__file__).resolve().parents[2]
Edited = Callable[[Edit], Judgement]


@pytest.fixture(scope="module")
def edited(tmp_path_factory: pytest.TempPathFactory) -> Edited:
    """Compare the newest headers with what an edit makes of them: of one header, the edited."""
    root = installed(include_root(NEWEST))
    before = dict[str, Abi]()

    def compared(edit: Edit) -> Judgement:
        if edit.header not in before:
            before[edit.header] = read_abi(root, [edit.header])
        folder = tmp_path_factory.mktemp("edited")
        for name in (VFIO, ZDEV, IOMMUFD):
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(root.folders[0] / name, folder / name)
        edit.apply(folder)
        after = Includes("edited", (folder, *root.folders))
        return judge(before[edit.header], read_abi(after, [edit.header]))

    return compared


@pytest.mark.parametrize("edit", BREAKS, ids=lambda edit: edit.name)
def test_a_break_is_found_by_its_rule(edited: Edited, edit: Edit) -> None:
    """Those rules and no others: one cause is reported once."""
    found = edited(edit)
    assert {f.rule.id for f in found.of(Verdict.BREAK) if f.rule} == {r.id for r in edit.broken}
    assert not found.compatible


@pytest.mark.parametrize("edit", HARMLESS, ids=lambda edit: edit.name)
def test_a_harmless_edit_is_no_break(edited: Edited, edit: Edit) -> None:
    found = edited(edit)
    assert [f.line for f in found.of(Verdict.BREAK)] == []


def test_every_rule_of_layouts_is_broken_by_some_edit() -> None:
    broken = {rule for edit in BREAKS for rule in edit.broken}
    chapter: set[Rule] = {r for r in registered().values() if r.chapter == "layout"}
    assert broken == chapter
    assert rules.FIELD_INSERTED in chapter


KERNELS = ["5.10", "6.1", "6.12", "7.2", "7.3"]


@pytest.mark.parametrize(("old", "new"), [*combinations(KERNELS, 2)])
def test_released_kernels_break_nothing_that_is_not_known(old: str, new: str) -> None:
    """Each with every later one; and everything that was added is listed."""
    history = read(ROOT / HISTORY)
    before, after = history.abi(old), history.abi(new)
    found = judge(before, after)
    assert [f.line for f in found.of(Verdict.BREAK)] == []
    added = {f.subject for f in found.of(Verdict.ADDITION)}
    structs = {r.tag for n, r in after.wide.structs.items() if n not in before.wide.structs}
    assert structs <= added
    numbers = after.wide.numbers().keys() - before.wide.numbers().keys()
    assert numbers <= {f.subject for f in found.findings}


def test_every_accepted_change_was_made() -> None:
    """An entry that no kernel needs would hide a break; each has its reason."""
    history = read(ROOT / HISTORY)
    found = [
        finding
        for old, new in combinations(KERNELS, 2)
        for finding in judge(history.abi(old), history.abi(new)).of(Verdict.ACCEPTED)
    ]
    assert [one for one in ACCEPTED if not any(map(one.matches, found))] == []
    assert all(finding.reason for finding in found)


def test_the_other_way_round_is_a_break() -> None:
    """Headers that lose what they had: nothing of it is accepted."""
    history = read(ROOT / HISTORY)
    found = judge(history.abi("7.3"), history.abi("5.10"))
    assert {f.rule.id for f in found.of(Verdict.BREAK) if f.rule} >= {
        "layout.struct-removed", "layout.field-removed", "layout.constant-removed",
    }  # fmt: skip
