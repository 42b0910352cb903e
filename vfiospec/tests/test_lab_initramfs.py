# SPDX-License-Identifier: MIT
"""The initramfs, read back member by member with a reader of the test's own."""

import stat
from pathlib import Path
from typing import NamedTuple

import pytest

from vfiospec.lab.cache import LabError
from vfiospec.lab.initramfs import build
from vfiospec.lab.modules import LoadedModule
from vfiospec.tests.lab_files import write


class _Member(NamedTuple):
    ino: int
    mode: int
    mtime: int
    device: tuple[int, int]
    data: bytes


def _read(archive: bytes) -> dict[str, _Member]:
    members: dict[str, _Member] = {}
    at = 0
    while True:
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        name = archive[at + 110 : at + 110 + fields[11] - 1].decode()
        start = (at + 110 + fields[11] + 3) & ~3
        if name == "TRAILER!!!":
            return members
        assert name not in members
        data = archive[start : start + fields[6]]
        members[name] = _Member(fields[0], fields[1], fields[5], (fields[9], fields[10]), data)
        at = (start + fields[6] + 3) & ~3


def _modules(*names: str) -> list[LoadedModule]:
    return [LoadedModule(name, Path(f"{name}.ko.xz"), f"{name}!".encode()) for name in names]


@pytest.fixture
def init(tmp_path: Path) -> Path:
    """Return an init program of five bytes, so that padding matters."""
    return write(tmp_path / "init", b"hello")


def test_init_is_an_executable_at_the_root(init: Path) -> None:
    """The kernel runs /init, with the bytes of the program given."""
    member = _read(build(init, []))["init"]
    assert (member.mode, member.data) == (stat.S_IFREG | 0o755, b"hello")


def test_folders_and_device_nodes_are_there(init: Path) -> None:
    """Without /dev/console the kernel starts init with no output."""
    members = _read(build(init, []))
    assert all(stat.S_ISDIR(members[name].mode) for name in ("dev", "proc", "sys", "tmp", "run"))
    assert (members["dev/console"].mode, members["dev/console"].device) == (0o020600, (5, 1))
    assert (members["dev/null"].mode, members["dev/null"].device) == (0o020666, (1, 3))


def test_modules_keep_their_order(init: Path) -> None:
    """modules.list names each module file by its path, in load order."""
    members = _read(build(init, _modules("vfio", "a_first_by_name")))
    assert members["modules.list"].data == b"/modules/00-vfio.ko\n/modules/01-a_first_by_name.ko\n"
    assert members["modules/01-a_first_by_name.ko"].data == b"a_first_by_name!"


def test_names_sort_in_load_order_beyond_a_hundred(init: Path) -> None:
    """The number in front is as wide as the last one needs."""
    listed = _read(build(init, _modules(*(f"m{n}" for n in range(101)))))["modules.list"]
    paths = listed.data.decode().splitlines()
    assert len(paths) == 101
    assert paths == sorted(paths)


def test_an_extra_file_comes_after_its_folders(init: Path) -> None:
    """The kernel makes no parent folder itself."""
    members = _read(build(init, [], {"/opt/lib/agent": b"x"}))
    assert list(members)[-3:] == ["opt", "opt/lib", "opt/lib/agent"]
    assert members["opt/lib/agent"].data == b"x"


@pytest.mark.parametrize("path", ["/init", "modules.list", "/", "", "../up", "/a/../../b"])
def test_an_extra_path_that_is_taken_or_outside_is_refused(init: Path, path: str) -> None:
    """Two members of one name would leave it to the kernel which of them wins."""
    with pytest.raises(ValueError, match="initramfs"):
        build(init, [], {path: b""})


def test_the_same_input_gives_the_same_bytes(init: Path) -> None:
    """No clock and no inode of this machine gets in: inodes count up from 1, mtime is 0."""
    first, second = (build(init, _modules("a"), {"x/y": b"z"}) for _ in range(2))
    assert first == second
    members = _read(first).values()
    assert [member.ino for member in members] == list(range(1, len(members) + 1))
    assert {member.mtime for member in members} == {0}
    assert len(first) % 512 == 0


def test_an_init_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The message says which file could not be read."""
    with pytest.raises(LabError, match=f"^{tmp_path}/none: .*No such file"):
        build(tmp_path / "none", [])
