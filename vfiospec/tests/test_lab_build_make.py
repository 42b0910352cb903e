# SPDX-License-Identifier: MIT
"""The kernel's make as a process: what is missing, what it compiled, what went wrong."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from vfiospec.lab.build import make
from vfiospec.lab.build.make import Make
from vfiospec.lab.cache import LabError


def _make(tree: Path, makefile: str, **variables: str) -> Make:
    tree.mkdir()
    (tree / "Makefile").write_text(makefile)
    return Make(tree=tree, build=None, log=tree.parent / "log", jobs=1, variables=variables)


def test_missing_tools_are_named_with_the_command_that_installs_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """All of them in one line, each package once."""
    for tool in ("make", "ld", "gzip", "tar", "xz"):
        (tmp_path / tool).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError) as raised:
        make.check_tools()
    assert str(raised.value) == (
        "a kernel cannot be built without gcc, flex, bison, bc: apt install bc bison flex gcc"
    )


def test_a_missing_header_is_named_with_its_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The compiler is asked, since it knows where it looks."""
    for tool in ("make", "gcc", "ld", "flex", "bison", "bc", "gzip", "tar", "xz"):
        (tmp_path / tool).write_text('#!/bin/sh\ncase "$*" in *gelf.h*) exit 1;; esac\n')
        (tmp_path / tool).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setattr(make, "_TOOLS", {"gcc": "gcc"})
    assert make.missing_tools() == {"gelf.h": "libelf-dev"}


def test_compiled_files_are_counted_and_all_is_logged(tmp_path: Path) -> None:
    """Host tools, links and headers are no compiled files of the kernel."""
    lines = ["  CC      a.o", "  HOSTCC  b", "  CC [M]  c.o", "  AS      d.o", "  LD      vmlinux"]
    rules = "all:\n" + "".join(f"\t@echo '{line}'\n" for line in lines)
    ticks: list[int] = []
    one = _make(tmp_path / "tree", rules)
    assert one.run("all", tick=ticks.append) == 3
    assert ticks == [1, 2, 3]
    assert one.log.read_text().splitlines()[1:] == lines


def test_the_first_error_is_told_and_the_log_named(tmp_path: Path) -> None:
    rules = "all:\n\t@echo 'vfio.c:3:1: error: no'; echo 'x.c: error: two'; exit 1\n"
    one = _make(tmp_path / "tree", rules)
    with pytest.raises(LabError, match=r"make all failed: vfio\.c:3:1: error: no; .*/log$"):
        one.run("all")


def test_a_variable_reaches_sub_makes_and_is_expanded_in_each(tmp_path: Path) -> None:
    """As the one that says which folders are instrumented has to."""
    rules = "ifdef obj\nall:\n\t@echo [$(IN)]\nelse\nall:\n\t@$(MAKE) obj=a; $(MAKE) obj=b\nendif\n"
    one = _make(tmp_path / "tree", rules, IN="$(if $(filter a,$(obj)),y)")
    one.run("all")
    text = [line for line in one.log.read_text().splitlines() if line.startswith("[")]
    assert text == ["[y]", "[]"]


def test_the_callers_variables_do_not_decide_what_is_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("ARCH", "KCFLAGS", "MAKEFLAGS", "O"):
        monkeypatch.setenv(name, "strange")
    one = _make(tmp_path / "tree", "all:\n\t@echo [$(ARCH)$(KCFLAGS)$(O)$$KBUILD_BUILD_USER]\n")
    one.run("all")
    assert "[vfiospec]" in one.log.read_text().splitlines()


def test_an_interrupt_ends_what_make_started(tmp_path: Path) -> None:
    """No compiler goes on in the background."""
    rules = "all:\n\t@echo '  CC      a.o'; echo $$$$ > pid; exec sleep 60\n"
    one = _make(tmp_path / "tree", rules)

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        one.run("all", tick=interrupt)
    pid = tmp_path / "tree/pid"
    if pid.exists():  # else the shell had not come so far
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.read_text()), signal.SIGKILL)


def test_the_compiler_is_known_by_its_version() -> None:
    words = [shutil.which("gcc") or "gcc", "-dumpfullversion"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.strip() in make.compiler()
