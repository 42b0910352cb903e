# SPDX-License-Identifier: MIT
"""The history as a page: what each kernel added to the user headers, and what it changed."""

from collections.abc import Iterator
from itertools import pairwise

from vfiospec.layout.finding import Verdict
from vfiospec.layout.history import History
from vfiospec.layout.judge import judge
from vfiospec.layout.model import Record, leaves
from vfiospec.layout.show import number

_ABSENT = "-"


def table(history: History) -> Iterator[str]:
    """The page in Markdown, line by line."""
    kernels = [version.kernel for version in history.versions]
    yield from [
        "# What came when", "",
        "Made by `vfiospec abi history` from the user headers of Debian's kernels; the same as",
        "data: `corpora/abi/history.json`. What the oldest of them has may be older.", "",
        "| kernel | headers |", "|---|---|",
    ]  # fmt: skip
    yield from (f"| {version.kernel} | {version.source} |" for version in history.versions)
    yield from _ioctls(history)
    yield from _structs(history, kernels)
    yield from _fields(history, kernels[0])
    yield from _constants(history, kernels[0])
    yield from _changes(history, kernels)


def _ioctls(history: History) -> Iterator[str]:
    yield from ["", "## ioctls", "", "| number | name | first in |", "|---|---|---|"]
    rows = [
        (eras[-1].what.value, name, history.first(eras))
        for name, eras in history.constants.items()
        if eras[-1].what.ioctl
    ]
    yield from (f"| {value:#x} | {name} | {first} |" for value, name, first in sorted(rows))


def _structs(history: History, kernels: list[str]) -> Iterator[str]:
    yield from ["", "## Structures: their size in bytes", ""]
    yield "Two numbers, where 32-bit programs see another one: theirs is the second."
    yield from ["", f"| structure | {' | '.join(kernels)} |", f"|---{'|---' * len(kernels)}|"]
    abis = [history.abi(kernel) for kernel in kernels]
    for name in history.structs:
        sizes = []
        for abi in abis:
            wide = abi.wide.structs.get(name)
            narrow = abi.narrow.structs.get(name) if abi.narrow else None
            sizes.append(_size(wide, narrow))
        changes = len({size for size in sizes if size != _ABSENT}) > 1
        shown = [f"**{s}**" if changes and _new(sizes, at) else s for at, s in enumerate(sizes)]
        yield f"| {name} | {' | '.join(shown)} |"


def _size(wide: Record | None, narrow: Record | None) -> str:
    if wide is None:
        return _ABSENT
    return str(wide.size) if narrow is None or narrow.size == wide.size else (
        f"{wide.size} / {narrow.size}"
    )  # fmt: skip


def _new(sizes: list[str], at: int) -> bool:
    return at > 0 and _ABSENT != sizes[at - 1] != sizes[at]


def _fields(history: History, oldest: str) -> Iterator[str]:
    yield from ["", "## Fields that came to a structure", ""]
    yield from ["| field | offset | first in |", "|---|---|---|"]
    for name, eras in history.structs.items():
        begun = history.first(eras)
        seen: dict[str, tuple[str, str]] = {}
        for kernel in (version.kernel for version in history.versions):
            record = history.abi(kernel).wide.structs.get(name)
            for leaf in leaves(record) if record else ():
                seen.setdefault(leaf.name, (leaf.where, kernel))
        for field, (where, first) in seen.items():
            if first not in {begun, oldest}:
                yield f"| {name}.{field} | {where} | {first} |"


def _constants(history: History, oldest: str) -> Iterator[str]:
    yield from ["", f"## Flags, indexes and ids since {oldest}", ""]
    yield from ["| name | value | of | first in | last in |", "|---|---|---|---|---|"]
    newest = history.versions[-1].kernel
    rows: dict[str, tuple[int, str]] = {}
    present: dict[str, list[str]] = {}
    for version in history.versions:
        layout = history.abi(version.kernel).wide
        owners = {n: c.owner for n, c in layout.constants.items()}
        owners |= {n: enum.name for enum in layout.enums for n in enum.values}
        for name, value in layout.numbers().items():
            if name in layout.constants and layout.constants[name].ioctl:
                continue
            rows[name] = value, owners[name]
            present.setdefault(name, []).append(version.kernel)
    for name, kernels in present.items():
        gone = "" if kernels[-1] == newest else kernels[-1]
        if kernels[0] != oldest or gone:
            value, owner = rows[name]
            first = kernels[0] if kernels[0] != oldest else f"<= {oldest}"
            yield f"| {name} | {number(value)} | {owner} | {first} | {gone} |"


def _changes(history: History, kernels: list[str]) -> Iterator[str]:
    yield from ["", "## Changes that are known and accepted", ""]
    yield from ["| to | rule | what | why it is accepted |", "|---|---|---|---|"]
    for old, new in pairwise(kernels):
        for finding in judge(history.abi(old), history.abi(new)).of(Verdict.ACCEPTED):
            rule = finding.rule.id if finding.rule else ""
            yield f"| {new} | {rule} | {finding.line} | {finding.reason} |"
