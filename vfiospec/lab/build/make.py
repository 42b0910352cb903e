# SPDX-License-Identifier: MIT
"""The kernel's make as a process: its tools, its progress, its log, and its first error."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from vfiospec.lab.cache import LabError

Tick = Callable[[int], None]  # hears how many files have been compiled so far

# What a build calls, with the package that has it; a header stands for its library.
_TOOLS = {
    "make": "make", "gcc": "gcc", "ld": "binutils", "flex": "flex", "bison": "bison", "bc": "bc",
    "gzip": "gzip", "tar": "tar", "xz": "xz-utils",
}  # fmt: skip
_HEADERS = {"stdio.h": "libc6-dev", "gelf.h": "libelf-dev"}

_COMPILED = re.compile(r" +(?:CC|AS)(?: \[M\])? ")
_ERROR = re.compile(r"error:|undefined reference|^ERROR: |No such file|\*\*\* |No space left")
# The build's user and host would go into the version line, so into reports.
_OWN = {"KBUILD_BUILD_USER": "vfiospec", "KBUILD_BUILD_HOST": "vfiospec", "LC_ALL": "C"}
_KEPT = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH")


def missing_tools() -> dict[str, str]:
    """The tools and headers that are not on this machine, each with its Debian package."""
    missing = {tool: package for tool, package in _TOOLS.items() if shutil.which(tool) is None}
    if "gcc" not in missing:
        missing |= {name: package for name, package in _HEADERS.items() if not _compiles(name)}
    return missing


def check_tools() -> None:
    """LabError that names what is missing, with the command that installs it."""
    missing = missing_tools()
    if missing:
        packages = " ".join(sorted(set(missing.values())))
        raise LabError(
            f"a kernel cannot be built without {', '.join(missing)}: apt install {packages}"
        )


def compiler() -> str:
    """The compiler make will call, by its version."""
    done = subprocess.run(["gcc", "--version"], capture_output=True, text=True, check=True)  # noqa: S607
    return done.stdout.splitlines()[0]


def own_environment() -> dict[str, str]:
    """For our own builds: no variable of the caller's (ARCH, O, KCFLAGS) decides what is built."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | _OWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Make:
    """make of one source tree, or of one build folder that knows its source."""

    tree: Path  # where make runs
    build: Path | None  # O=; None if the tree is built in place, or is a build folder
    log: Path  # appended to
    jobs: int
    variables: Mapping[str, str]
    environment: Mapping[str, str] = field(default_factory=own_environment)

    def run(self, *targets: str, tick: Tick = lambda _: None) -> int:
        """Make targets; return how many files were compiled. LabError names the log."""
        words = ["make", f"-j{self.jobs}", "-C", str(self.tree), "--no-print-directory"]
        words += [f"O={self.build}"] if self.build else []
        words += [f"{name}={value}" for name, value in self.variables.items()]
        words += targets
        compiled, first = 0, ""
        try:
            with (
                self.log.open("a", encoding="utf-8") as log,
                _process(words, self.environment) as process,
            ):
                log.write(f"$ {' '.join(words)}\n")
                for line in _lines(process):
                    log.write(line)
                    if _COMPILED.match(line):
                        compiled += 1
                        tick(compiled)
                    elif not first and _ERROR.search(line):
                        first = line.strip()
        except OSError as e:
            raise LabError(f"{self.log}: {e.strerror}; make room, or set VFIOSPEC_CACHE") from e
        if process.returncode:
            raise LabError(
                f"make {' '.join(targets)} failed: {first or 'without an error message'}; "
                f"all it said is in {self.log}"
            )
        return compiled


@contextmanager
def _process(words: list[str], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    # In a group of its own: whatever ends us ends every compiler, and nothing else.
    process = subprocess.Popen(  # noqa: S603
        words,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    with process:
        try:
            yield process
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            raise


def _lines(process: subprocess.Popen[str]) -> Iterator[str]:
    if process.stdout is not None:
        yield from process.stdout


def _compiles(header: str) -> bool:
    words = ["gcc", "-E", "-include", header, "-o", os.devnull, "-x", "c", os.devnull]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0  # noqa: S603
