# SPDX-License-Identifier: MIT
"""What a comparison of two layouts finds."""

from dataclasses import dataclass
from enum import StrEnum

from vfiospec.layout.model import Enum, Record
from vfiospec.rules.model import Rule


class Verdict(StrEnum):
    """What a difference means to programs that exist."""

    BREAK = "break"
    ACCEPTED = "accepted"  # it would be one, but is known, with a reason
    ADDITION = "addition"


Subject = Record | Enum | str | None


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One difference: `subject` is a structure, an enum or a macro, `item` a part of it.

    `change` is what changed, short and exact; `bits` the programs that see it; `old` and `new` are
    what to show of both sides; `reason` says why it is no break, or what follows from it.
    """

    verdict: Verdict
    rule: Rule | None
    subject: str
    item: str
    change: str
    bits: tuple[int, ...] = (64,)
    old: Subject = None
    new: Subject = None
    reason: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it the same finding for programs of other sizes."""
        return self.rule.id if self.rule else "", self.subject, self.item

    @property
    def line(self) -> str:
        """It in one line."""
        item = f".{self.item}" if self.item else ""
        only = "" if 64 in self.bits else " (for 32-bit programs)"  # noqa: PLR2004
        return f"{self.subject}{item}: {self.change}{only}"
