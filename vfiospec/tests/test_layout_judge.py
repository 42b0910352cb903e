# SPDX-License-Identifier: MIT
"""The judgement of two layouts: each kind of break is found by its rule, nothing harmless is."""

import shutil
from collections.abc import Callable

import pytest

from vfiospec.layout.finding import Verdict
from vfiospec.layout.headers import read_abi
from vfiospec.layout.includes import Includes, installed
from vfiospec.layout.judge import Judgement, judge
from vfiospec.layout.model import Abi
from vfiospec.rules import layout as rules
from vfiospec.rules.model import Rule, registered
from vfiospec.tests.header_sets import NEWEST, include_root
from vfiospec.tests.layout_edits import BREAKS, HARMLESS, IOMMUFD, VFIO, ZDEV, Edit

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
