# SPDX-License-Identifier: MIT
"""Line coverage of a kernel as a person sees it: one table, and where the pages are."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from vfiospec.lab import gcov
from vfiospec.lab.coverage import FOLDER, PAGES, VFIO, Covered, check_tools, render, sources
from vfiospec.lab.kernel import resolve


def counted(kernel: str | None) -> Path:
    """The tree of a kernel that counts. LabError if it does not, or if nothing could render it."""
    check_tools()
    return gcov.check(resolve(kernel or "debian", None, lambda _: None))


def present(out: Path, tree: Path, console: Console) -> None:
    """Render the counts of a folder, and print the table."""
    with console.status("rendering what was counted"):
        files = render(out, sources(tree))
    ours = [f for f in files if f.filename.startswith(VFIO)]
    console.print(table(ours))
    console.print(f"Lines that ran: {out / FOLDER / PAGES}", soft_wrap=True, highlight=False)


def table(files: Sequence[Covered]) -> Table:
    """Of each file how many lines, functions and branches there are, and how many ran."""
    out = Table(box=None, show_footer=True, footer_style="")
    columns = (
        ("lines", "line_covered", "line_total"),
        ("functions", "function_covered", "function_total"),
        ("branches", "branch_covered", "branch_total"),
    )
    out.add_column("file", footer="all")
    for name, ran, there in columns:
        whole = _share(_sum(files, ran), _sum(files, there))
        out.add_column(name, footer=whole, justify="right")
    for one in sorted(files, key=lambda f: f.filename):
        cells = [_share(getattr(one, ran), getattr(one, there)) for _, ran, there in columns]
        out.add_row(one.filename.removeprefix(VFIO), *cells)
    return out


def _sum(files: Iterable[Covered], what: str) -> int:
    return sum(getattr(one, what) for one in files)


def _share(ran: int, there: int) -> str:
    return f"{ran}/{there} {100 * ran / there:5.1f} %" if there else "-"
