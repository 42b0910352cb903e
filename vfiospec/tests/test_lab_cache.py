# SPDX-License-Identifier: MIT
"""The cache: where it is, that it never holds half a folder, and that two runs take turns."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vfiospec.lab.cache import LabError, atomic_dir, cache_root, locked, make_dir


@pytest.mark.parametrize(
    ("own", "xdg", "expected"),
    [
        ("/own", "/xdg", "/own"),
        ("", "/xdg", "/xdg/vfiospec"),
        ("", "relative", "/home/me/.cache/vfiospec"),
        ("", "", "/home/me/.cache/vfiospec"),
    ],
)
def test_where_the_cache_is(
    monkeypatch: pytest.MonkeyPatch, own: str, xdg: str, expected: str
) -> None:
    """$VFIOSPEC_CACHE, then $XDG_CACHE_HOME, then ~/.cache."""
    for name, value in (("VFIOSPEC_CACHE", own), ("XDG_CACHE_HOME", xdg), ("HOME", "/home/me")):
        monkeypatch.setenv(name, value)
    assert cache_root() == Path(expected)


def test_a_filled_folder_appears_whole(tmp_path: Path) -> None:
    """The target is not there until the block is done, and nothing else is left beside it."""
    target = tmp_path / "deep/target"
    with atomic_dir(target) as filling:
        (filling / "file").write_text("x")
        assert not target.exists()
    assert [path.name for path in target.parent.iterdir()] == ["target"]
    assert (target / "file").read_text() == "x"


def test_an_interrupted_fill_leaves_nothing(tmp_path: Path) -> None:
    """Even Ctrl-C in the middle."""

    def interrupted() -> None:
        with atomic_dir(tmp_path / "target") as filling:
            (filling / "file").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_the_loser_of_a_race_discards_its_own(tmp_path: Path) -> None:
    """The first whole folder stays."""
    target = tmp_path / "target"
    with atomic_dir(target) as slow:
        (slow / "file").write_text("slow")
        with atomic_dir(target) as fast:
            (fast / "file").write_text("fast")
    assert (target / "file").read_text() == "fast"
    assert list(tmp_path.iterdir()) == [target]


def test_a_lock_that_another_process_holds_is_waited_for(tmp_path: Path) -> None:
    """waiting() is called once, and the block runs when the other process is gone."""
    holder = (
        "import sys, pathlib, vfiospec.lab.cache as c\n"
        "with c.locked(pathlib.Path(sys.argv[1]), lambda: None):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    lock = tmp_path / "lock"
    calls = []
    command = [sys.executable, "-c", holder, str(lock)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, text=True
    ) as other:
        assert other.stdin
        assert other.stdout
        assert other.stdout.readline() == "held\n"
        close = other.stdin.close

        def waiting() -> None:
            calls.append("waiting")
            close()

        with locked(lock, waiting):
            assert calls == ["waiting"]


def test_a_lock_is_free_again_after_the_block(tmp_path: Path) -> None:
    """A second block does not wait."""
    calls: list[str] = []
    for _ in range(2):
        with locked(tmp_path / "lock", lambda: calls.append("waiting")):
            pass
    assert calls == []


def test_a_cache_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """The message says where, and which variable moves it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(LabError, match=r"file/cache: cannot create it .*VFIOSPEC_CACHE"):
        make_dir(tmp_path / "file/cache")
