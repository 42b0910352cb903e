# SPDX-License-Identifier: MIT
"""Which feature a kernel has, concluded from what became of the tests that use it."""

import re
from collections import Counter
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib.resources import files

import msgspec

from vfiospec.report.site.marks import Mark
from vfiospec.report.site.model import Kernel
from vfiospec.results.model import Outcome

YES = Mark("✓", "yes", "pass")
PARTLY = Mark("◐", "partly", "known")
NO = Mark("✗", "no", "no")
UNKNOWN = Mark("?", "unknown", "none")

SUPPORT_LEGEND = (
    (YES, "the tests that use it passed; a note says what could not be tried"),
    (
        PARTLY,
        "a promise about it is broken, or most of it is missing: see the note",
    ),
    (NO, "the kernel has it not: see the note"),
    (UNKNOWN, "nothing that was run could tell: no test of it, or no device that has it"),
)

# A skip whose reason speaks of the kernel says that the kernel has it not; any other says that the
# bench had nothing to try it on, as does one that misses a sample device.
_LACKS = re.compile(r"(?!no type ).*(\bkernel\b|\bCONFIG_[A-Z0-9_]+)")


_WORDS = {
    "failed": "failed",
    "error": "died with the kernel, or could not begin",
    "xpassed": "passed although it is known to fail",
    "xfailed": "failed as is known, by no finding that is named",
}


class Feature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something a user of VFIO asks for by name; rules are globs over the ids of its promises.

    Where a promise is kept with and without the feature, its answer tells: `there` names it.
    """

    name: str
    about: str
    rules: tuple[str, ...]
    there: dict[str, int] = {}  # rules with the answer that they have where the feature is there


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Features that belong together."""

    name: str
    feature: tuple[Feature, ...]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    group: tuple[Group, ...]


@dataclass(frozen=True, slots=True, order=True)
class Note:
    """What is to be known of a mark: words, and the finding they speak of if it is one."""

    text: str
    finding: str = ""


@dataclass(frozen=True, slots=True)
class Support:
    """What a kernel has of a feature; notes say what is missing or broken, and why."""

    mark: Mark
    tests: int
    notes: list[Note] = field(default_factory=list)


def known() -> tuple[Group, ...]:
    """Return the features that are asked for."""
    text = files("vfiospec.report.site").joinpath("features.toml").read_bytes()
    return msgspec.toml.decode(text, type=_File).group


def support(kernel: Kernel, feature: Feature) -> Support:
    """Return what a kernel has of a feature."""
    outcomes = _about(kernel, feature)
    passed = sum(outcome.outcome == "passed" for outcome in outcomes)
    broken = Counter(_broken(o) for o in outcomes if o.outcome not in ("passed", "skipped"))
    skips = Counter(o.message or "" for o in outcomes if o.outcome == "skipped")
    lacking = Counter({why: n for why, n in skips.items() if _LACKS.match(why)})
    judged = passed + broken.total()
    untried = Support(UNKNOWN, 0, [Note(_most(skips))] if skips else [])
    absent = _absent(kernel, feature) if judged else untried
    if absent is not None:
        left_out = lacking and absent.mark is UNKNOWN
        return Support(NO, 0, [Note(_most(lacking))]) if left_out else absent
    notes = sorted(broken)
    if lacking:
        notes.append(Note(f"some of its tests are skipped: {_most(lacking)}"))
    partly = broken or lacking.total() > passed
    return Support(PARTLY if partly else YES, judged, notes)


def _absent(kernel: Kernel, feature: Feature) -> Support | None:
    """What the answers of its promises say where they say that it is not there."""
    for name, answer in feature.there.items():
        rule = kernel.rules.get(name)
        if rule is None or rule.answer is None:
            return Support(UNKNOWN, 0, [Note(f"these results do not hold the answer of {name}")])
        kept = [o for o in kernel.by_rule.get(name, ()) if o.outcome == "passed"]
        if rule.answer != answer:
            if kept:
                return Support(NO, len(kept), [Note(rule.why)])
            return Support(UNKNOWN, 0, [Note(f"no test of {name} passed")])
    return None


def _about(kernel: Kernel, feature: Feature) -> list[Outcome]:
    found = {
        id(outcome): outcome
        for rule, outcomes in kernel.by_rule.items()
        if any(fnmatchcase(rule, glob) for glob in feature.rules)
        for outcome in outcomes
    }
    return list(found.values())


def _broken(outcome: Outcome) -> Note:
    if outcome.finding and outcome.outcome == "xfailed":
        return Note("finding", outcome.finding)
    return Note(f"unexpected: a test of it {_WORDS[outcome.outcome]}")


def _most(reasons: Counter[str]) -> str:
    return min(reasons, key=lambda why: (-reasons[why], why))
