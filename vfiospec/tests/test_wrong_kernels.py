# SPDX-License-Identifier: MIT
"""Wrong kernels: data that can be read, and modules built from copies, by content."""

import os
from pathlib import Path

import pytest

from vfiospec.lab.build import profiles
from vfiospec.lab.build import wrong as building
from vfiospec.lab.cache import LabError
from vfiospec.wrong import kernels
from vfiospec.wrong.edits import Edit
from vfiospec.wrong.model import WrongError

MAKEFILE = """\
modules:
	@for c in $$(cd $(M) && find . -name '*.c'); do cp $(M)/$$c $(M)/$${c%.c}.ko; done
	@echo built >>$(M)/../builds
"""
SOURCE = "int one(void)\n{\n    return 1;\n}\n"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kernel tree built in place, whose make copies sources for modules."""
    monkeypatch.setenv("VFIOSPEC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(building, "check_tools", lambda: None)
    monkeypatch.setattr(building, "compiler", lambda: "a compiler")
    made = tmp_path / "tree"
    for name in ("drivers/vfio/vfio_main.c", "drivers/vfio/pci/core.c", "samples/vfio-mdev/m.c"):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(SOURCE)
    (made / "Makefile").write_text(f"VERSION = 7\nPATCHLEVEL = 3\n{MAKEFILE}")
    (made / "Kconfig").touch()
    (made / "Module.symvers").touch()
    return made


def _edit(new: str, file: str = "drivers/vfio/pci/core.c") -> Edit:
    return Edit(file=file, function="one", old="return 1;", new=new)


def _quiet(text: str) -> None:
    del text


def test_modules_of_touched_folders_are_built_with_the_edit(tree: Path) -> None:
    """And nothing of the tree is changed."""
    before = {p: p.read_bytes() for p in tree.rglob("*") if p.is_file()}
    modules = building.build_modules(tree, [_edit("return 2;")], _quiet)
    assert {p.name: p.read_text() for p in modules.iterdir()} == {
        "vfio_main.ko": SOURCE, "core.ko": SOURCE.replace("1;", "2;"),
    }  # fmt: skip
    assert {p: p.read_bytes() for p in tree.rglob("*") if p.is_file()} == before


def test_what_was_built_once_is_there_and_another_edit_is_another(tree: Path) -> None:
    """By content: of the next edit only what it changes is different."""
    says: list[str] = []
    first = building.build_modules(tree, [_edit("return 2;")], says.append)
    assert building.build_modules(tree, [_edit("return 2;")], says.append) == first
    assert len(says) == 1
    second = building.build_modules(tree, [_edit("return 3;")], says.append)
    assert "return 3;" in (second / "core.ko").read_text()
    third = building.build_modules(tree, [_edit("x", "samples/vfio-mdev/m.c")], says.append)
    assert [p.name for p in third.iterdir()] == ["m.ko"]
    assert len({first, second, third}) == len(says) == 3


def test_a_file_that_is_right_already_is_not_written(tree: Path) -> None:
    """Or make would compile it again."""
    building.build_modules(tree, [_edit("return 2;")], _quiet)
    copies = list(building.wrong_root().glob(".work/*/drivers/vfio/vfio_main.c"))
    os.utime(copies[0], (1, 1))
    building.build_modules(tree, [_edit("return 3;")], _quiet)
    assert copies[0].stat().st_mtime == 1


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (_edit("x", "drivers/pci/pci.c"), "only files below drivers/vfio, "),
        (Edit(file="drivers/vfio/pci/core.c", function="two", old="a", new="b"), "two is defined"),
    ],
    ids=["elsewhere", "no-function"],
)
def test_an_edit_that_does_not_fit_is_one_line(tree: Path, edit: Edit, why: str) -> None:
    with pytest.raises(LabError, match=why):
        building.build_modules(tree, [edit], _quiet)


def test_a_tree_that_was_never_built_is_told(tree: Path) -> None:
    (tree / "Module.symvers").unlink()
    with pytest.raises(LabError, match=r"no Module\.symvers: build its modules first"):
        building.build_modules(tree, [_edit("x")], _quiet)


def test_the_wrong_kernels_there_are_can_be_read() -> None:
    """Twenty at least, each for a rule that there is."""
    assert len(kernels.load()) >= 20


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('rule = "no.rule"\nedit = []', "breaks 'no.rule', no rule"),
        ('rule = "device-info.num-irqs"\nedit = []', "edits nothing"),
    ],
    ids=["rule", "no-edit"],
)
def test_data_that_says_something_impossible_is_an_error(
    tmp_path: Path, text: str, why: str
) -> None:
    (tmp_path / "a.toml").write_text(f'[[kernel]]\nid = "k"\nwhat = ""\n{text}\n')
    with pytest.raises(WrongError, match=why):
        kernels.load(tmp_path)


def test_a_folder_built_alone_is_instrumented_as_a_whole() -> None:
    """Conditions on folders are written for a build of everything."""
    within = profiles.load("fuzz").variables
    alone = profiles.of_a_folder("fuzz", within)
    assert "filter" in within["KCOV_INSTRUMENT"]
    assert alone == {**within, "KCOV_INSTRUMENT": "y"}
    plain = profiles.load("conformance").variables
    assert profiles.of_a_folder("conformance", plain) == plain
