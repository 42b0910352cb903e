# SPDX-License-Identifier: MIT
"""Whether programs built for one layout of a structure can be served with another."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Final

from vfiospec.layout.declared import PADDING
from vfiospec.layout.finding import Finding, Verdict
from vfiospec.layout.model import BYTE, Leaf, Record, leaves
from vfiospec.rules import layout as rules
from vfiospec.rules.model import Rule

_COMMAND_HEADER: Final = "linux/iommufd.h"
_COMMANDS: Final = "iommu_"  # how iommufd's structures are called, where no header is known


def is_padding(leaf: Leaf) -> bool:
    """Whether the name says that its bytes mean nothing."""
    return PADDING.fullmatch(leaf.name.rpartition(".")[2]) is not None


def tells_size(record: Record) -> bool:
    """Whether its first field is how large the caller's structure is."""
    first = record.members[0].name if record.members else ""
    return first == "argsz" or (first == "size" and checks_zeroes(record))


def checks_zeroes(record: Record) -> bool:
    """Whether it is a command of iommufd, whose unknown bytes have always had to be zero."""
    from_header = record.header == _COMMAND_HEADER or not record.header
    starts = bool(record.members) and record.members[0].name == "size"
    return from_header and starts and record.name.startswith(_COMMANDS)


@dataclass
class StructJudge:
    """Compares a structure with what became of it; `flags` are new names of bits within it."""

    old: Record
    new: Record
    bits: int
    flags: tuple[str, ...] = ()
    findings: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Sort the fields of both into common, gone and fresh ones."""
        self.before, self.after = leaves(self.old), leaves(self.new)
        after = {leaf.name: leaf for leaf in self.after}
        known = {leaf.name for leaf in self.before}
        self.common = [(leaf, after[leaf.name]) for leaf in self.before if leaf.name in after]
        self.gone = [leaf for leaf in self.before if leaf.name not in after]
        self.fresh = [leaf for leaf in self.after if leaf.name not in known]

    def judge(self) -> list[Finding]:
        """Every difference, its cause once."""
        causes: list[int] = []  # where a field came, went or was resized: what is behind it moves
        grown = False
        for leaf in self._renamed():
            self.fresh.remove(leaf)
        for leaf in self.gone:
            causes.append(leaf.start)
            self._removed(leaf)
        for old, new in self.common:
            if self._changed(old, new):
                causes.append(old.start)
        for leaf in self.fresh:
            if self._displaces(leaf):
                causes.append(min(leaf.start, *(o.start for o, _ in self._displaced(leaf))))
                places = ", ".join(
                    f"{o.name} from {o.where} to {n.where}" for o, n in self._displaced(leaf)
                )
                change = f"inserted at {leaf.where}: moves {places}"
                self._break(rules.FIELD_INSERTED, leaf, change)
            else:
                grown |= self._placed(leaf)
        first = min(causes, default=None)
        moved = [(old, new) for old, new in self.common if old.start != new.start]
        for old, new in moved:
            if first is None or old.start < first:
                self._break(rules.FIELD_MOVED, new, f"moved from {old.where} to {new.where}")
        self._frame(explained=grown or bool(causes or moved))
        return self.findings

    def _renamed(self) -> Iterator[Leaf]:
        """Take a field with a new name at the old place out of gone ones and judge it."""
        for old in list(self.gone):
            twin = next((n for n in self.fresh if _same_place(old, n)), None)
            if twin is None:
                continue
            self.gone.remove(old)
            if is_padding(old) and not is_padding(twin):
                self._meaning(twin, f"{old.name} at {old.where} is now {twin.name}")
            elif is_padding(old):
                self._add(twin, f"{old.name} is now called {twin.name}")
            else:
                self._break(rules.FIELD_REMOVED, old, f"renamed to {twin.name}")
            yield twin

    def _removed(self, leaf: Leaf) -> None:
        carved = [n for n in self.fresh if leaf.start <= n.start and n.end <= leaf.end]
        if is_padding(leaf) and carved:
            return  # judged as what has been made of it
        self._break(rules.FIELD_REMOVED, leaf, f"removed, it was at {leaf.where}")

    def _changed(self, old: Leaf, new: Leaf) -> bool:
        """Judge what a field is. Whether it takes other room."""
        was, now = old.member, new.member
        if old.width != new.width or was.flexible != now.flexible:
            shrinks = new.start == old.start and new.end < old.end
            behind = [n for n in self.fresh if new.end <= n.start and n.end <= old.end]
            if is_padding(old) and shrinks and behind:
                return False  # judged as what has been made of it
            change = f"{was.declaration} became {now.declaration}"
            self._break(rules.FIELD_RESIZED, new, f"{change}, {_bytes(old)} became {_bytes(new)}")
            return True
        element = prod(was.dims), prod(now.dims)
        if _nature(old) != _nature(new) or element[0] != element[1]:
            self._break(rules.FIELD_RETYPED, new, f"{was.declaration} became {now.declaration}")
        return False

    def _displaced(self, leaf: Leaf) -> list[tuple[Leaf, Leaf]]:
        """The fields that were at or before its place, and are behind it."""
        return [
            (old, new)
            for old, new in self.common
            if old.start < leaf.end and new.start >= leaf.end and new.start > old.start
        ]

    def _displaces(self, leaf: Leaf) -> bool:
        return bool(self._displaced(leaf))

    def _placed(self, leaf: Leaf) -> bool:
        """Judge a new field that moves nothing. Whether the structure grows by it."""
        end = max((old.end for old in self.before), default=0)
        if leaf.end > self.old.size * BYTE:
            self._grows(leaf)
            return True
        over = [old for old in self.before if old.start < leaf.end and leaf.start < old.end]
        if leaf.member.flexible and leaf.start >= end:
            self._add(leaf, "an array that ends with the buffer is added")
        elif over and all(is_padding(old) for old in over):
            names = ", ".join(old.name for old in over)
            self._meaning(leaf, f"{leaf.name} at {leaf.where} is made of {names}")
        elif over:
            self._add(leaf, f"another name for the bytes at {leaf.where}")
        elif is_padding(leaf):
            self._add(leaf, f"names the padding at {leaf.where}")
        else:
            self._meaning(leaf, f"{leaf.name} at {leaf.where} was padding")
        return False

    def _grows(self, leaf: Leaf) -> None:
        sizes = f"{self.old.size} bytes became {self.new.size}"
        change = f"added at the tail at {leaf.where}: {sizes}"
        if not tells_size(self.old):
            self._break(rules.TAIL_GROWTH, leaf, change)
        elif is_padding(leaf) or checks_zeroes(self.old):
            teller = self.old.members[0].name
            self._add(leaf, change, rules.TAIL_GROWTH, f"{teller} tells the size")
        elif self.flags:
            told = f"argsz tells the size, and of {', '.join(self.flags)} one that it is valid"
            self._add(leaf, change, rules.TAIL_FLAG, told)
        else:
            self._break(rules.TAIL_FLAG, leaf, f"{change}, and no flag is added to tell")

    def _meaning(self, leaf: Leaf, change: str) -> None:
        """Judge bytes that meant nothing and now do."""
        if checks_zeroes(self.old):
            why = "the kernel has always refused what is not zero there"
            self._add(leaf, change, rules.RESERVED_BYTES, why)
        elif self.flags:
            why = f"of the new flags {', '.join(self.flags)} one tells"
            self._add(leaf, change, rules.RESERVED_BYTES, why)
        else:
            self._break(rules.RESERVED_BYTES, leaf, f"{change}, and no flag is added to tell")

    def _frame(self, *, explained: bool) -> None:
        if self.old.kind != self.new.kind:
            change = f"a {self.old.kind} became a {self.new.kind}"
            self._note(Verdict.BREAK, rules.FIELD_RETYPED, "", change)
        if self.old.size != self.new.size and not explained:
            change = f"{self.old.size} bytes became {self.new.size}"
            self._note(Verdict.BREAK, rules.STRUCT_SIZE, "", change)
        if self.old.align != self.new.align:
            self._alignment()

    def _alignment(self) -> None:
        change = f"alignment {self.old.align} became {self.new.align}"
        tail = [leaf for leaf in self.fresh if leaf.end > self.old.size * BYTE]
        wide = any(_natural(leaf) == self.new.align for leaf in tail)
        if tells_size(self.old) and self.new.align > self.old.align and wide:
            why = "by a field at the tail, and the kernel copies what it is handed"
            self._note(Verdict.ADDITION, rules.ALIGNMENT, "", change, why)
        else:
            self._note(Verdict.BREAK, rules.ALIGNMENT, "", change)

    def _break(self, rule: Rule, leaf: Leaf, change: str) -> None:
        self._note(Verdict.BREAK, rule, leaf.name, change)

    def _add(self, leaf: Leaf, change: str, rule: Rule | None = None, reason: str = "") -> None:
        self._note(Verdict.ADDITION, rule, leaf.name, change, reason)

    def _note(
        self, verdict: Verdict, rule: Rule | None, item: str, change: str, reason: str = ""
    ) -> None:
        self.findings.append(
            Finding(
                verdict=verdict, rule=rule, subject=self.old.tag, item=item, change=change,
                bits=(self.bits,), old=self.old, new=self.new, reason=reason,
            )
        )  # fmt: skip


def _nature(leaf: Leaf) -> tuple[str, bool, str, bool]:
    """What a field is, apart from its size: an enum is a number."""
    member = leaf.member
    kind = "int" if member.kind == "enum" else member.kind
    named = member.type if member.kind in {"struct", "union"} else ""
    order = member.type.lstrip("_")[:2]
    return kind, member.signed, named or (order if order in {"le", "be"} else ""), bool(member.bits)


def _natural(leaf: Leaf) -> int:
    """The alignment that a number has by itself."""
    return leaf.member.align or leaf.member.size // max(prod(leaf.member.dims), 1)


def _same_place(old: Leaf, new: Leaf) -> bool:
    same = (old.start, old.width, _nature(old)) == (new.start, new.width, _nature(new))
    return same and (old.width > 0 or old.member.flexible == new.member.flexible)


def _bytes(leaf: Leaf) -> str:
    if leaf.width % BYTE:
        return f"{leaf.width} bits"
    return f"{leaf.width // BYTE} bytes"
