# SPDX-License-Identifier: MIT
"""Line coverage of a kernel as people read it: gcovr's pages, and one table."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec

from vfiospec.lab.build.record import read as read_record
from vfiospec.lab.cache import LabError
from vfiospec.lab.gcov import DATA, NOTES, link_notes

FOLDER, COUNTS = "coverage", "data"
SUMMARY, LINES, PAGES = "summary.json", "lines.json", "index.html"
VFIO = "drivers/vfio/"


class Covered(msgspec.Struct, frozen=True, kw_only=True):
    """How much of one source file ran."""

    filename: str
    line_total: int
    line_covered: int
    function_total: int
    function_covered: int
    branch_total: int
    branch_covered: int


class _Summary(msgspec.Struct, frozen=True):
    files: tuple[Covered, ...]


def check_tools() -> None:
    """LabError if what was counted could not be rendered."""
    if importlib.util.find_spec("gcovr") is None:
        raise LabError("--coverage needs gcovr: pip install 'vfiospec[coverage]'")
    if shutil.which("gcov") is None:
        raise LabError("--coverage needs gcov, which comes with the compiler: apt install gcc")


def sources(tree: Path) -> Path:
    """Where the sources of a built tree are."""
    record = read_record(tree)
    link = tree / "source"
    return Path(record.tree) if record else link.resolve() if link.is_dir() else tree


def render(out: Path, source: Path) -> tuple[Covered, ...]:
    """Make pages and JSON of the counts in OUT/coverage/data; what ran, by file.

    Counts of several boots are added up.
    """
    folder = out / FOLDER
    counts = folder / COUNTS
    if not any(counts.rglob(f"*{DATA}")):
        raise LabError(f"{counts}: no counts, so there is nothing to render")
    missing = link_notes(counts)
    if missing:
        raise LabError(
            f"{counts}: {missing} of its object files have no {NOTES} file in the tree any more: "
            "it was cleaned since; build it and run again"
        )
    command = [
        sys.executable, "-m", "gcovr", "--root", str(source), "--filter", re.escape(f"{source}/"),
        "--json", str(folder / LINES), "--json-summary", str(folder / SUMMARY),
        "--html-details", str(folder / PAGES), "--html-title", "Kernel lines that ran",
        # The kernel counts without locks, so a count may be odd where two processors met.
        "--gcov-ignore-parse-errors", "negative_hits.warn_once_per_file",
        "--gcov-ignore-parse-errors", "suspicious_hits.warn_once_per_file",
        "--merge-mode-functions", "merge-use-line-min", str(counts),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "ERROR" in line]
        raise LabError(f"gcovr failed: {(lines or ['without an error message'])[0]}")
    summary = msgspec.json.decode((folder / SUMMARY).read_bytes(), type=_Summary)
    return summary.files
