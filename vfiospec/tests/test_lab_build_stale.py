# SPDX-License-Identifier: MIT
"""Whether a built tree notices that its VFIO sources changed."""

import os
from pathlib import Path

import pytest

from vfiospec.lab.build.stale import changed

BUILT = 1000.0


def _file(path: Path, time: float = BUILT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (time, time))
    return path


def _object(tree: Path, name: str, source: str, *dependencies: str) -> None:
    made = _file(tree / name)
    lines = "".join(f"  {path} \\\n" for path in dependencies)
    cmd = made.with_name(f".{made.name}.cmd")
    cmd.write_text(f"savedcmd_{name} := gcc\n\nsource_{name} := {source}\n\ndeps_{name} := \\\n")
    with cmd.open("a") as file:
        file.write("    $(wildcard include/config/VFIO) \\\n" + lines)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree built in place: one VFIO object, with two headers."""
    headers = ("include/linux/vfio.h", "include/linux/fs.h", "drivers/vfio/vfio.h")
    _object(tmp_path, "drivers/vfio/group.o", "drivers/vfio/group.c", *headers)
    for name in ("drivers/vfio/group.c", *headers):
        _file(tmp_path / name, BUILT - 1)
    return tmp_path


def test_a_tree_as_built_has_no_changes(tree: Path) -> None:
    assert changed(tree) == []


@pytest.mark.parametrize(
    "name", ["drivers/vfio/group.c", "drivers/vfio/vfio.h", "include/linux/vfio.h"]
)
def test_a_newer_source_is_a_change(tree: Path, name: str) -> None:
    _file(tree / name, BUILT + 1)
    assert changed(tree) == [tree / name]


def test_a_header_that_is_not_vfios_is_none(tree: Path) -> None:
    """What it changes is the whole kernel, which make would have to build."""
    _file(tree / "include/linux/fs.h", BUILT + 1)
    assert changed(tree) == []


def test_a_file_nothing_was_made_of_is_no_change(tree: Path) -> None:
    """Sources of drivers that the configuration leaves out."""
    _file(tree / "drivers/vfio/pci/mlx5/main.c", BUILT + 1)
    assert changed(tree) == []


def test_a_source_that_is_gone_is_a_change(tree: Path) -> None:
    (tree / "drivers/vfio/group.c").unlink()
    assert changed(tree) == [tree / "drivers/vfio/group.c"]


def test_only_the_object_a_source_is_part_of_counts(tree: Path) -> None:
    """A module built before the edit of another one is not out of date."""
    _object(tree, "drivers/iommu/iommu.o", "drivers/iommu/iommu.c")
    _file(tree / "drivers/iommu/iommu.c", BUILT + 1)
    os.utime(tree / "drivers/iommu/iommu.o", (BUILT + 2, BUILT + 2))
    assert changed(tree) == []


def test_a_build_outside_of_its_source_knows_it(tmp_path: Path) -> None:
    """With O=, kbuild writes sources down in full."""
    source = _file(tmp_path / "src/drivers/vfio/group.c", BUILT + 1)
    _object(tmp_path / "build", "drivers/vfio/group.o", str(source))
    assert changed(tmp_path / "build") == [source]


def test_a_tree_without_kbuilds_notes_is_left_alone(tmp_path: Path) -> None:
    _file(tmp_path / "drivers/vfio/group.o")
    _file(tmp_path / "drivers/vfio/group.c", BUILT + 1)
    assert changed(tmp_path) == []
