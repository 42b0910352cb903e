# SPDX-License-Identifier: MIT
"""The command line without a boot: bad input is one clear line and exit code 2."""

import os
import shutil
from pathlib import Path

import pytest

from vfiospec.tests.e2e import ROOT, User

GOOD = (ROOT / "vfiospec/lab/topologies/default.toml").read_text()


@pytest.fixture
def user(tmp_path: Path) -> User:
    (tmp_path / "not-a-kernel").write_text("just text")
    (tmp_path / "empty").mkdir()
    (tmp_path / "typo.toml").write_text(GOOD.replace("roles =", "rolls =", 1))
    (tmp_path / "role.toml").write_text(GOOD.replace('"vga", "rom"', '"vgaa", "rom"', 1))
    (tmp_path / "slot.toml").write_text(GOOD.replace('slot = "15.0"', 'slot = "14.0"', 1))
    (tmp_path / "broken.toml").write_text("[[device")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "results.jsonl").write_text("")
    return User(tmp_path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--suite", "nonsense"),
            "no suite 'nonsense'; there are cdev, compatibility, config_space",
        ),
        (("--test", "suites/none.py::test_x"), "suites/none.py does not exist"),
        (("--test", "region_inof.vga.x"), "no test begins with region_inof.vga; near are region_"),
        (("--known-issues", "missing"), "missing: cannot be read: No such file or directory"),
        (("--require", "nonsense"), "--require nonsense: there are cdev"),
        (("--kernel", "not-a-kernel"), "not-a-kernel: not an x86 bzImage"),
        (("--kernel", "empty"), "a folder without arch/x86/boot/bzImage"),
        (("--kernel", "missing"), "missing: no such file; a kernel is"),
        (("--kernel", "debian:potato"), "potato"),
        (("--kernel", "host"), "add --device"),
        (("--kernel", "debian", "--device", "0000:00:1f.0"), "boots a guest"),
        (("--modules", "empty"), "no .ko, .ko.xz or .ko.zst file below it"),
        (("--topology", "nonsense"), "no topology 'nonsense': it is neither a file nor one of"),
        (("--topology", "typo.toml"), "unknown field `rolls`"),
        (("--topology", "role.toml"), "'vgaa'"),
        (("--topology", "slot.toml"), "'edu' is at slot 14.0, which is taken"),
        (("--topology", "broken.toml"), "broken.toml"),
        (("--device", "3b:00.0"), "not an address such as 0000:3b:00.0"),
        (("--device", "ffff:ff:1f.7"), "ffff:ff:1f.7"),
        (("--executor", "ssh nowhere"), "--executor needs --device"),
        (("--executor", "/nonexistent x", "--device", "0000:00:1f.0"), "cannot start"),
        (("--out", "run"), "already holds a run"),
        (("--out", "not-a-kernel/below"), "not-a-kernel/below"),
        (("--cpus", "0"), "--cpus"),
        (("--jobs", "0"), "--jobs"),
        (("--jobs", "2", "--device", "0000:00:1f.0"), "--jobs is for guests"),
        (("--jobs", "2", "--kernel", "missing"), "missing: no such file; a kernel is"),
        (("--jobs", "2", "--out", "run"), "already holds a run"),
        (("--jobs", "2", "--topology", "typo.toml"), "unknown field `rolls`"),
        (("--nonsense",), "--nonsense"),
    ],
    ids=lambda value: "-".join(value).strip("-") if isinstance(value, tuple) else "says",
)
def test_bad_input_is_one_clear_line(user: User, words: tuple[str, ...], said: str) -> None:
    before = sorted(p.relative_to(user.home) for p in user.home.rglob("*"))
    options = words if "--out" in words else (*words, "--out", "out")
    done = user.type("run", *options, deadline=60)
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    left = {p.relative_to(user.home) for p in user.home.rglob("*")} - set(before)
    assert not {p for p in left if p.parts[0] not in ("out", "state")}, left
    assert not (user.home / "out" / "results.jsonl").exists()
    assert not list(user.state.glob("run-*"))


def test_no_qemu_says_what_to_install(user: User, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("cc", "gcc", "as", "ld", "apt-get", "apt-cache", "dpkg-deb"):
        found = shutil.which(tool)
        if found:
            (tools / tool).symlink_to(found)
    user.environment["PATH"] = str(tools)
    done = user.type("run", "--out", "out", deadline=60)
    assert done.returncode == 2
    assert "no qemu-system-x86_64: apt install qemu-system-x86" in done.stderr


def test_no_rights_to_the_output_folder_is_told(user: User) -> None:
    if os.geteuid() == 0:
        out = "/proc/nowhere"  # even root cannot write there
    else:
        closed = user.home / "closed"
        closed.mkdir(mode=0o500)
        out = str(closed / "out")
    done = user.type("run", "--out", out, deadline=60)
    assert done.returncode == 2
    assert f"--out {out}" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("replay", "missing.jsonl"), "missing.jsonl"),
        (("replay", "not-a-kernel"), "not-a-kernel, line 1"),
        (("report", "summary", "missing"), "missing"),
        (("rules", "show", "no.rule"), "no rule 'no.rule'"),
        (("rules", "list", "nonsense"), "no chapter 'nonsense'"),
        (("kernels", "fetch", "debian:potato"), "potato"),
        (("nonsense",), "nonsense"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "says",
)
def test_other_commands_too(user: User, words: tuple[str, ...], said: str) -> None:
    done = user.type(*words, deadline=60)
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--version",), "vfiospec 0"),
        (("--help",), "vfiospec run"),
        (("run", "--help"), "Exit code: 0 nothing unexpected"),
        (("topologies",), "default: one emulated device of each kind"),
        (("kernels", "list"), "debian:bookworm"),
        (("kernels", "fetch", "debian"), "Debian package linux-image-"),
        (("rules", "list", "kernel"), "kernel.quiet (enforced)"),
        (("rules", "show", "device-info.num-irqs"), "tested by suites/device_info/"),
        (("rules", "coverage"), "rules are asserted"),
        (("report", "summary", "sample"), "PASS"),
        (("report", "junit", "sample"), "<testsuites"),
        (("report", "ktap", "sample"), "KTAP version 1"),
        (("report", "kselftest", "sample"), "TAP version 13"),
        (("report", "schema"), "json-schema.org"),
        (("restore",), "nothing"),
    ],
    ids=lambda value: "-".join(value).strip("-") if isinstance(value, tuple) else "says",
)
def test_what_needs_no_boot_works(user: User, words: tuple[str, ...], said: str) -> None:
    (user.home / "sample").symlink_to(ROOT / "reports" / "sample")
    done = user.type(*words, deadline=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert said in done.stdout
