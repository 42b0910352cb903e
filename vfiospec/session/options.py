# SPDX-License-Identifier: MIT
"""What a run is told on the command line, by `vfiospec run` and by pytest alike."""

import argparse
import math
import re
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from vfiospec.device.ways import USUAL, Way
from vfiospec.lab import LabError
from vfiospec.session.known_issues import DEFAULT as KNOWN_ISSUES
from vfiospec.session.ways import parse

_BDF = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")


@dataclass(frozen=True, kw_only=True)
class Options:
    """One run."""

    kernel: str
    modules: Path | None
    topology: str
    devices: tuple[str, ...]
    executor: tuple[str, ...]
    out: Path
    accel: str
    cpus: int
    bits: int
    deadline: float
    max_reboots: int
    require: tuple[str, ...]
    dangerous: bool
    ways: tuple[Way, ...]
    coverage: bool
    panic_in: str
    known_issues: Path | None
    part: int = 0  # which of `parts` equal parts of the tests this process judges
    parts: int = 1
    records: int | None = None  # the file descriptor records go to, instead of a results file
    test_ids: tuple[str, ...] = ()

    @property
    def in_place(self) -> bool:
        """Whether devices the user named are judged, not a guest's."""
        return bool(self.devices)


def add(parser: pytest.Parser) -> None:
    """Declare the options."""
    group = parser.getgroup("vfiospec", "what is judged")
    group.addoption(
        "--kernel",
        default=None,
        metavar="SOURCE",
        help="debian, debian:SUITE[=VERSION], a bzImage, a built kernel tree, or host "
        "(default: debian, host with --device)",
    )
    group.addoption("--modules", metavar="DIR", help="folder of .ko files that win over others")
    group.addoption("--topology", default="default", metavar="NAME", help="a name or a TOML file")
    group.addoption(
        "--device", action="append", default=[], metavar="BDF", help="a device of this machine"
    )
    group.addoption(
        "--executor", default="", metavar="COMMAND", help="make the calls elsewhere: ssh HOST ..."
    )
    group.addoption("--out", default=None, metavar="DIR", help="where the results go")
    group.addoption("--accel", default="tcg", choices=["tcg", "kvm"], help="QEMU's accelerator")
    group.addoption(
        "--bits",
        type=int,
        default=64,
        choices=[32, 64],
        help="32: judge the calls of i386 programs",
    )
    group.addoption("--cpus", type=int, default=1, metavar="N", help="processors of the guest")
    group.addoption(
        "--deadline", type=float, default=15.0, metavar="S", help="seconds one call may take"
    )
    group.addoption(
        "--max-reboots", type=int, default=10, metavar="N", help="fresh boots after a death"
    )
    group.addoption(
        "--require",
        action="append",
        default=[],
        metavar="CHAPTER",
        help="a skip in this chapter is a failure",
    )
    group.addoption(
        "--examples",
        default="default",
        choices=["default", "nightly"],
        help="how many examples a property is tried on",
    )
    group.addoption(
        "--test-id",
        action="append",
        default=[],
        metavar="ID",
        help="of the file that an id is from, only the tests it stands for",
    )
    group.addoption(
        "--known-issues",
        default=None,
        metavar="FILE",
        help=f"what is known to fail here (default: {KNOWN_ISSUES}, if there is one)",
    )
    group.addoption(
        "--dangerous",
        action="store_true",
        help="also what may take a released kernel down: last, each in a boot of its own",
    )
    group.addoption(
        "--ways",
        default="",
        metavar="NAME,...",
        help=f"reach devices in each of these ways, or all: {', '.join(Way)} "
        f"(default: {USUAL} alone)",
    )
    group.addoption(
        "--coverage",
        action="store_true",
        help="count which lines of a kernel of profile coverage run",
    )
    # A hook of our own tests: the guest panics when the test with this id starts.
    group.addoption("--panic-in", default="", help=argparse.SUPPRESS)
    # What `vfiospec run --jobs` tells the processes it starts.
    group.addoption("--part", type=int, default=0, help=argparse.SUPPRESS)
    group.addoption("--parts", type=int, default=1, help=argparse.SUPPRESS)
    group.addoption("--records", type=int, default=None, help=argparse.SUPPRESS)


def _devices(addresses: list[str]) -> tuple[str, ...]:
    for bdf in addresses:
        if not _BDF.fullmatch(bdf):
            raise LabError(f"--device {bdf}: not an address such as 0000:3b:00.0 (see lspci -D)")
        if addresses.count(bdf) > 1:
            raise LabError(f"--device {bdf} is there twice")
    return tuple(addresses)


def _check_numbers(config: pytest.Config) -> None:
    for name in ("cpus", "deadline"):
        if not 0 < config.getoption(name) < math.inf:  # nan is neither
            raise LabError(f"--{name} {config.getoption(name)}: more than 0, please")
    if config.getoption("max_reboots") < 0:
        raise LabError(f"--max-reboots {config.getoption('max_reboots')}: 0 or more, please")


def _words(command: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(command))
    except ValueError as e:
        raise LabError(f"--executor {command}: {e}") from e


def default_out(root: Path) -> Path:
    """Where the results of a run that begins now go, unless it is told."""
    return root / "reports" / datetime.now(UTC).strftime("%Y%m%d-%H%M%S")


def _known_issues(config: pytest.Config) -> Path | None:
    """The file that was named, or else the one where it is run, if there is one."""
    named = config.getoption("known_issues")
    path = config.invocation_params.dir / (named or KNOWN_ISSUES)
    return path if named or path.is_file() else None


def read(config: pytest.Config) -> Options:
    """Read them back. LabError for values that cannot be."""
    devices = _devices(config.getoption("device"))
    kernel = config.getoption("kernel") or ("host" if devices else "debian")
    executor = _words(config.getoption("executor"))
    if kernel == "host" and not devices:
        raise LabError("--kernel host judges devices you name: add --device 0000:3b:00.0")
    if devices and kernel != "host":
        raise LabError(f"--device names one of this machine's; --kernel {kernel} boots a guest")
    if executor and not devices:
        raise LabError("--executor needs --device: which devices over there?")
    _check_numbers(config)
    modules = config.getoption("modules")
    if modules and devices:
        raise LabError("--modules go into a guest; --device judges the modules that are loaded")
    if devices and config.getoption("bits") != 64:  # noqa: PLR2004
        raise LabError("--bits is for guests; --executor may name an i386 program instead")
    if devices and config.getoption("dangerous"):
        raise LabError("--dangerous is for guests: it may take the kernel under --device down")
    if devices and config.getoption("coverage"):
        raise LabError("--coverage is for guests: their kernel is a built tree of this machine")
    out = config.getoption("out")
    return Options(
        kernel=kernel,
        modules=Path(modules).absolute() if modules else None,
        topology=config.getoption("topology"),
        devices=devices,
        executor=executor,
        out=Path(out) if out else default_out(config.rootpath),
        accel=config.getoption("accel"),
        bits=config.getoption("bits"),
        cpus=config.getoption("cpus"),
        deadline=config.getoption("deadline"),
        max_reboots=config.getoption("max_reboots"),
        require=tuple(config.getoption("require")),
        dangerous=config.getoption("dangerous"),
        ways=parse(config.getoption("ways")),
        coverage=config.getoption("coverage"),
        panic_in=config.getoption("panic_in"),
        part=config.getoption("part"),
        parts=config.getoption("parts"),
        records=config.getoption("records"),
        known_issues=_known_issues(config),
        test_ids=tuple(config.getoption("test_id")),
    )
