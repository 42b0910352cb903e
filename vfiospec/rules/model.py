# SPDX-License-Identifier: MIT
"""What a rule is: a promise, where it was made, and the one answer it accepts."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

HEADER: Final = "include/uapi/linux/vfio.h"
PCI_CORE: Final = "drivers/vfio/pci/vfio_pci_core.c"


class Strength(StrEnum):
    """How we know."""

    DOCUMENTED = "documented"  # words say so: the header, or the thread that settled it
    ENFORCED = "enforced"  # kernel code checks it
    OBSERVED = "observed"  # only measured


@dataclass(frozen=True)
class Source:
    """A place in the kernel: path and symbol, never a line number; `quote` in its own words."""

    path: str
    symbol: str
    quote: str = ""

    def __str__(self) -> str:
        said = f': "{self.quote}"' if self.quote else ""
        return f"{self.path}, {self.symbol}{said}"


@dataclass(frozen=True)
class Thread:
    """A mailing-list thread: who said what, when."""

    subject: str
    author: str
    date: str
    quote: str = ""

    def __str__(self) -> str:
        said = f': "{self.quote}"' if self.quote else ""
        return f'"{self.subject}", {self.author}, {self.date}{said}'


@dataclass(frozen=True)
class Answer:
    """What the rule accepts on some kernels, with the reason why they differ."""

    value: int
    kernels: str = ""  # comma-separated bounds such as ">=6.12,<7.2"; all kernels if empty
    why: str = ""

    def holds_on(self, version: tuple[int, int]) -> bool:
        """Whether a kernel is within the bounds. ValueError if one of them is malformed."""
        # A list: a bound that is malformed shall not hide behind one that does not hold.
        within = [_within(bound, version) for bound in self.kernels.split(",") if bound]
        return all(within)


_BOUND = re.compile(r"(<|<=|>|>=|==)(\d+)\.(\d+)")


def _within(bound: str, version: tuple[int, int]) -> bool:
    match = _BOUND.fullmatch(bound.strip())
    if match is None:
        raise ValueError(f"{bound!r} is not a bound on a kernel version, such as >=6.12")
    other = (int(match[2]), int(match[3]))
    return {
        "<": version < other, "<=": version <= other, ">": version > other,
        ">=": version >= other, "==": version == other,
    }[match[1]]  # fmt: skip


def kernel_version(release: str) -> tuple[int, int]:
    """(6, 12) for `6.12.117+deb13-amd64`."""
    match = re.match(r"(\d+)\.(\d+)", release)
    if match is None:
        raise ValueError(f"{release!r} does not start with a kernel version")
    return int(match[1]), int(match[2])


@dataclass(frozen=True)
class Rule:
    """A promise. `answers` in order; the first that holds on a kernel is what it must give."""

    id: str
    text: str
    strength: Strength
    sources: tuple[Source | Thread, ...]
    answers: tuple[Answer, ...] = ()
    untested: str = ""  # what it would take, where no test can assert it

    @property
    def chapter(self) -> str:
        """The part of the id before the first dot."""
        return self.id.partition(".")[0]

    def answer(self, version: tuple[int, int]) -> int:
        """What a kernel of this version must answer: an errno, or a number the rule names."""
        for answer in self.answers:
            if answer.holds_on(version):
                return answer.value
        raise LookupError(f"rule {self.id} names no answer for kernel {version[0]}.{version[1]}")


_RULES: Final[dict[str, Rule]] = {}
_ID = re.compile(r"[a-z0-9-]+\.[a-z0-9-]+")


def rule(
    id: str,  # noqa: A002 -- the word for it
    text: str,
    strength: Strength,
    *sources: Source | Thread,
    answer: int | tuple[Answer, ...] | None = None,
    untested: str = "",
) -> Rule:
    """Declare a rule. ValueError for an id that is malformed or taken, or a rule without source."""
    if not _ID.fullmatch(id):
        raise ValueError(f"rule id {id!r} is not chapter.words-with-dashes")
    if id in _RULES:
        raise ValueError(f"rule id {id} is taken")
    if not sources:
        raise ValueError(f"rule {id} cites nothing")
    answers = (Answer(answer),) if isinstance(answer, int) else answer or ()
    if len(answers) > 1 and not all(a.why for a in answers):
        raise ValueError(f"rule {id} has several answers: each needs its reason")
    made = Rule(id, text, strength, sources, answers, untested)
    _RULES[id] = made
    return made


def registered() -> dict[str, Rule]:
    """The rules declared so far, by id."""
    return dict(_RULES)
