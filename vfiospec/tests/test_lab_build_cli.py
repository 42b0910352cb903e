# SPDX-License-Identifier: MIT
"""`vfiospec kernels build`, and what `vfiospec run` says of a tree that changed."""

import io
import os
import signal
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from vfiospec.cli import app as cli
from vfiospec.cli import building
from vfiospec.cli.building import Building, interrupts_raise, refresh
from vfiospec.lab.build import builder, profiles
from vfiospec.lab.build.profiles import Option, Profile
from vfiospec.lab.cache import LabError
from vfiospec.tests.made_up_linux import make_linux

PROFILE = Profile("conformance", {"CONFIG_VFIO": Option("CONFIG_VFIO", "m")}, {})


@pytest.fixture(autouse=True)
def _lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VFIOSPEC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(builder, "check_tools", lambda: None)
    monkeypatch.setattr(profiles, "load", lambda _: PROFILE)


def _built(tree: Path) -> Path:
    done = CliRunner().invoke(cli.command(), ["kernels", "build", str(tree)])
    assert done.exit_code == 0, done.output
    return Path(done.stdout.splitlines()[-1])


def _outdated(tmp_path: Path) -> tuple[Path, Path]:
    """A built tree of which one source is newer than what was made of it."""
    folder = _built(make_linux(tmp_path / "linux"))
    source = tmp_path / "linux/drivers/vfio/group.c"
    source.parent.mkdir(parents=True)
    source.touch()
    (folder / "drivers/vfio/group.o").touch()
    os.utime(folder / "drivers/vfio/group.o", (1, 1))
    note = folder / "drivers/vfio/.group.o.cmd"
    note.write_text(f"source_drivers/vfio/group.o := {source}\n")
    return folder, source


def test_standard_output_is_the_path_alone(tmp_path: Path) -> None:
    """So that a script can hand it on."""
    tree = make_linux(tmp_path / "linux")
    done = CliRunner().invoke(cli.command(), ["kernels", "build", str(tree)])
    assert Path(done.stdout.strip()).is_dir()
    assert "compiling linux-7.2.12-conformance-" in done.stderr


def test_a_built_kernel_is_listed(tmp_path: Path) -> None:
    folder = _built(make_linux(tmp_path / "linux"))
    text = CliRunner().invoke(cli.command(), ["kernels", "list"]).stdout
    assert f"    {folder}\n        conformance of {tmp_path}/linux (linux-7.2.12), built " in text


def test_prune_says_how_much_is_freed(tmp_path: Path) -> None:
    folder = _built(make_linux(tmp_path / "linux"))
    assert "0 MiB freed" in CliRunner().invoke(cli.command(), ["kernels", "prune"]).stdout
    assert folder.is_dir()
    CliRunner().invoke(cli.command(), ["kernels", "prune", "--all"])
    assert not folder.exists()


def test_a_tree_that_changed_is_not_judged_without_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line: what changed, and what builds it. Modules brought along need none."""
    folder, source = _outdated(tmp_path)
    refresh(str(folder), build=False, own_modules=False)
    assert capsys.readouterr().err == (
        f"vfiospec: warning: {source} changed since {folder} was built, which is judged "
        "as it is; --build builds that first\n"
    )
    refresh(str(folder), build=False, own_modules=True)
    assert not capsys.readouterr().err


def test_build_builds_what_changed(tmp_path: Path) -> None:
    folder, _ = _outdated(tmp_path)
    (tmp_path / "linux/module").write_bytes(b"changed")
    refresh(str(folder), build=True, own_modules=False)
    assert (folder / "drivers/vfio/vfio.ko").read_bytes() == b"changed"


@pytest.mark.parametrize("kernel", [None, "debian", "debian:trixie", "host", "no/such/file"])
def test_only_a_tree_can_be_out_of_date(
    kernel: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder called debian is not what --kernel debian means."""
    (tmp_path / "debian").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(building, "changed", lambda _: pytest.fail("looked at a tree"))
    refresh(kernel, build=False, own_modules=False)
    with pytest.raises(LabError, match="--build: give a built kernel tree as --kernel"):
        refresh(kernel, build=True, own_modules=False)


def test_away_from_a_terminal_the_count_is_a_line_now_and_then() -> None:
    times = iter([0.0, 1.0, 16.0, 17.0, 40.0])
    out = io.StringIO()
    with Building(10, Console(file=out, width=80), lambda: next(times)) as shown:
        for compiled in (1, 2, 3, 11):
            shown.tick(compiled)
    assert out.getvalue() == ("2 of about 10 files compiled, 16 s\n11 files compiled, 40 s\n")


def test_a_build_that_is_told_to_end_says_how_to_go_on() -> None:
    """By Ctrl-C or SIGTERM; afterwards SIGTERM means what it meant before."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with pytest.raises(LabError, match="the same command goes on"), interrupts_raise():
            os.kill(os.getpid(), signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)
