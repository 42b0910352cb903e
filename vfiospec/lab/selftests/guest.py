# SPDX-License-Identifier: MIT
"""Runs inside a guest: each program on each device in turn, its output kept, as JSON at the end."""

import contextlib
import os
import re
import subprocess
import sys
from array import array
from pathlib import Path

import msgspec

from vfiospec.device.ports import LocalPort
from vfiospec.fuzzing.layout import Layout
from vfiospec.lab import gcov, topology
from vfiospec.lab.bench import find_devices
from vfiospec.lab.bind import bind
from vfiospec.lab.coverage import COUNTS, FOLDER
from vfiospec.lab.sysfs import LocalSysfs

NOTHING, LINES, PLACES = HOW = ("nothing", "lines", "places")  # what is counted
LAYOUT = "layout.json"
SECONDS = 120.0  # for one program on one device: it may hang, which is its own affair
_VERDICT = re.compile(r"^(ok|not ok) \d+(?:.*?#\s*(SKIP))?", re.MULTILINE)
_HUGE_PAGES = Path("/proc/sys/vm/nr_hugepages")


class Counts(msgspec.Struct):
    """How many test cases gave what."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0


def count(text: str) -> Counts:
    """The verdicts of a program's output, TAP 13."""
    counts = Counts()
    for verdict, skip in _VERDICT.findall(text):
        if skip:
            counts.skipped += 1
        elif verdict == "ok":
            counts.passed += 1
        else:
            counts.failed += 1
    return counts


def main(layout: str, programs: str, work: str, how: str, tracer: str) -> dict[str, Counts]:
    """Bind the devices and run the programs; their output goes to `work`.

    `how` is one of HOW; `tracer` is what programs are run with to note places.
    """
    fs = LocalSysfs()
    _HUGE_PAGES.write_text("16")  # what they ask whoever runs them to do
    devices = find_devices(fs, topology.load(layout))
    for bdf in devices.values():
        bind(fs, bdf, record=lambda _: None)
    told: dict[str, Counts] = {}
    places = Path(work, "places")
    environment = dict(os.environ)
    if how == PLACES:
        places.mkdir()
        environment |= {"LD_PRELOAD": tracer, "VFIOSPEC_PLACES": str(places)}
    for program in sorted(p for p in Path(programs).iterdir() if not p.suffix and p.is_file()):
        for name, bdf in devices.items():
            try:
                done = subprocess.run(  # noqa: S603
                    [program, bdf], capture_output=True, text=True, check=False,
                    timeout=SECONDS, env=environment,
                )  # fmt: skip
                text = done.stdout + done.stderr
            except subprocess.TimeoutExpired as e:
                text = (e.stdout or b"").decode() + f"not ok 0 no end within {SECONDS:.0f} s\n"
            Path(work, f"{program.name}.{name}.tap").write_text(text)
            told[f"{program.name}.{name}"] = count(text)
    with contextlib.closing(LocalPort()) as port:
        if how == LINES:
            gcov.collect(port, Path(work, FOLDER, COUNTS, "boot-1"))
        elif how == PLACES:
            Layout.of(port).save(Path(work, LAYOUT))
    return told


def reached(work: Path) -> dict[str, int]:
    """How many places in each module the programs have been to, together."""
    been: set[int] = set()
    for path in Path(work, "places").glob("*.places"):
        been |= set(array("I", path.read_bytes()))
    return dict(Layout.load(work / LAYOUT).count(been))


if __name__ == "__main__":
    answer = main(*sys.argv[1:6])
    os.write(1, msgspec.json.encode(answer) + b"\n")
