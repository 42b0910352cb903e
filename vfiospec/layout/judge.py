# SPDX-License-Identifier: MIT
"""The judgement: what changed from one layout of the ABI to another, and whether programs break."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from vfiospec.layout import LayoutError
from vfiospec.layout.accepted import accept
from vfiospec.layout.finding import Finding, Verdict
from vfiospec.layout.judge_number import judge_numbers
from vfiospec.layout.judge_struct import StructJudge
from vfiospec.layout.model import Abi, Layout, Record, leaves
from vfiospec.rules import layout as rules


@dataclass(frozen=True)
class Judgement:
    """What was compared, and every difference: breaks first."""

    old: Abi
    new: Abi
    findings: tuple[Finding, ...]

    def of(self, verdict: Verdict) -> list[Finding]:
        """The findings of one kind."""
        return [f for f in self.findings if f.verdict is verdict]

    @property
    def compatible(self) -> bool:
        """Whether no program breaks."""
        return not self.of(Verdict.BREAK)


def judge(old: Abi, new: Abi) -> Judgement:
    """Compare two sources. LayoutError if they have nothing in common to compare."""
    if not old.wide.structs.keys() & new.wide.structs.keys():
        raise LayoutError(f"{old.source} and {new.source} have no structure in common")
    if old.wide.bits != new.wide.bits:
        words = f"{old.source} is for {old.wide.bits} bits, {new.source} for {new.wide.bits}"
        raise LayoutError(f"{words}: give two of the same")
    findings = [*_structs(old.wide, new.wide)]
    if old.narrow is not None and new.narrow is not None:
        findings = _merged(findings, _structs(old.narrow, new.narrow))
    if not (old.wide.partial or new.wide.partial):
        findings += judge_numbers(old.wide, new.wide)
    findings += _unequal(old, new)
    order = list(Verdict)
    judged = sorted(map(accept, findings), key=lambda f: order.index(f.verdict))
    return Judgement(old, new, tuple(judged))


def _structs(old: Layout, new: Layout) -> Iterator[Finding]:
    for name, record in old.structs.items():
        if name in new.structs:
            flags = _new_flags(name, old, new)
            yield from StructJudge(record, new.structs[name], new.bits, flags).judge()
        elif not new.partial:
            yield Finding(
                verdict=Verdict.BREAK, rule=rules.STRUCT_REMOVED, subject=record.tag, item="",
                change=f"removed, it had {record.size} bytes", bits=(old.bits,), old=record,
            )  # fmt: skip
    if old.partial or new.partial:
        return
    for name, record in new.structs.items():
        if name not in old.structs:
            yield Finding(
                verdict=Verdict.ADDITION, rule=None, subject=record.tag, item="",
                change=f"new, {record.size} bytes", bits=(new.bits,), new=record,
            )  # fmt: skip


def _new_flags(name: str, old: Layout, new: Layout) -> tuple[str, ...]:
    """Bits that came into a structure."""
    return tuple(
        flag
        for flag, constant in new.constants.items()
        if constant.owner == name and flag not in old.constants
        if constant.value and not constant.value & (constant.value - 1)
    )


def _merged(wide: list[Finding], narrow: Iterator[Finding]) -> list[Finding]:
    """What programs of both sizes see, once; then what only 32-bit ones see."""
    both = {finding.key: finding for finding in wide}
    only = []
    for finding in narrow:
        twin = both.get(finding.key)
        if twin is None:
            only.append(finding)
        else:
            both[finding.key] = replace(twin, bits=(*twin.bits, *finding.bits))
    return [*both.values(), *only]


def _unequal(old: Abi, new: Abi) -> Iterator[Finding]:
    """Structures that came to be laid out differently for 32-bit programs."""
    if new.narrow is None:
        return
    for name, record in new.wide.structs.items():
        narrow = new.narrow.structs.get(name)
        if narrow is None or _places(record) == _places(narrow):
            continue
        before = old.wide.structs.get(name)
        before32 = old.narrow.structs.get(name) if old.narrow is not None else None
        if before is not None and (before32 is None or _places(before) != _places(before32)):
            continue  # it always was
        yield Finding(
            verdict=Verdict.BREAK, rule=rules.SAME_FOR_I386, subject=record.tag, item="",
            change=f"{record.size} bytes, {narrow.size} for 32-bit programs: other places",
            old=record, new=narrow,
        )  # fmt: skip


def _places(record: Record) -> tuple[int, list[tuple[str, int, int]]]:
    return record.size, [(leaf.name, leaf.start, leaf.width) for leaf in leaves(record)]
