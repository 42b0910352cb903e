# SPDX-License-Identifier: MIT
"""Whether programs built with one set of numbers can be served with another."""

import re
from collections.abc import Iterator
from typing import Final

from vfiospec.layout.finding import Finding, Verdict
from vfiospec.layout.model import Constant, Enum, Layout
from vfiospec.rules import layout as rules
from vfiospec.rules.model import Rule

_COUNT: Final = re.compile(r"\w*_(NUM(_\w+)?|NR|MAX|LAST|COUNT)")
_RETIRED: Final = {"", "VFIO", "RESERVED", "DEPRECATED", "V1"}
_NUMBER_BITS: Final = 16  # of an ioctl: type and number; above them size and direction


def judge_numbers(old: Layout, new: Layout) -> list[Finding]:
    """Every macro and enumerator that changed, went or came."""
    findings = [*_enums(old, new)]
    shifted = {f.item for f in findings if f.rule is rules.ENUM_SHIFTED}
    findings += _values(old, new, shifted)
    findings += _others(old, new)
    return findings


def _enums(old: Layout, new: Layout) -> Iterator[Finding]:
    for enum in old.enums:
        now = _same_enum(enum, new)
        if now is None:
            continue
        moved = {
            name: (value, now.values[name])
            for name, value in enum.values.items()
            if name in now.values and now.values[name] != value
        }
        counts = {name: change for name, change in moved.items() if _is_count(name, enum)}
        for name, (was, value) in counts.items():
            if len(moved) == len(counts) and value > was:
                within = [n for n, v in now.values.items() if was <= v < value]
                change = f"{name} = {was} became {value}: {', '.join(within)} in the fixed range"
                yield _finding(rules.FIXED_RANGE, enum.tag, name, change, enum, now)
        rest = moved if len(moved) != len(counts) else {
            name: c for name, c in counts.items() if c[1] < c[0]
        }  # fmt: skip
        for name, (was, value) in rest.items():
            change = f"{was} became {value}"
            yield _finding(rules.ENUM_SHIFTED, enum.tag, name, change, enum, now)


def _same_enum(enum: Enum, layout: Layout) -> Enum | None:
    """The enum of the same name or, without one, with most of the same values."""
    if enum.name:
        return next((e for e in layout.enums if e.name == enum.name), None)
    shared = [(len(e.values.keys() & enum.values.keys()), e) for e in layout.enums]
    best = max(shared, key=lambda pair: pair[0], default=(0, None))
    return best[1] if best[0] else None


def _is_count(name: str, enum: Enum) -> bool:
    """Whether it says how many there are, as the last of an enum does."""
    return name == list(enum.values)[-1] and _COUNT.fullmatch(name) is not None


def _values(old: Layout, new: Layout, shifted: set[str]) -> Iterator[Finding]:
    before, after = old.numbers(), new.numbers()
    counts = {n for e in old.enums for n in e.values if _is_count(n, e)}
    for name, was in before.items():
        if name not in after:
            yield _gone(name, was, old, new)
        elif after[name] != was and name not in shifted and not (
            name in counts and name not in new.constants
        ):  # fmt: skip
            yield _changed(name, was, after[name], old)
    for name, value in after.items():
        if name not in before:
            yield _came(name, value, old, new)


def _changed(name: str, was: int, now: int, old: Layout) -> Finding:
    if _is_ioctl(name, old):
        text = f"{was:#x} became {now:#x}"
        if now >> _NUMBER_BITS != was >> _NUMBER_BITS:
            size = now >> _NUMBER_BITS & 0x3FFF
            return _finding(rules.IOCTL_SIZE, name, "", f"{text}, which encodes {size} bytes")
        return _finding(rules.IOCTL_NUMBER, name, "", text)
    return _finding(rules.CONSTANT_VALUE, name, "", f"{_shown(was)} became {_shown(now)}")


def _gone(name: str, was: int, old: Layout, new: Layout) -> Finding:
    before = old.numbers()
    heirs = [n for n, v in new.numbers().items() if v == was and n not in before]
    renamed = [n for n in heirs if _plain(name) == _plain(n)]
    akin = [n for n in heirs if _akin(name, n, old, new)]
    if renamed:
        return _finding(rules.CONSTANT_REMOVED, name, "", f"renamed to {renamed[0]}")
    if akin:
        change = f"removed, and its value {_shown(was)} is now {akin[0]}"
        return _finding(rules.VALUE_REUSED, name, "", change)
    return _finding(rules.CONSTANT_REMOVED, name, "", f"removed, it was {_shown(was)}")


def _came(name: str, value: int, old: Layout, new: Layout) -> Finding:
    if _is_ioctl(name, new):
        if value >> _NUMBER_BITS:
            size = value >> _NUMBER_BITS & 0x3FFF
            change = f"a new ioctl {value:#x}, which encodes {size} bytes"
            return _finding(rules.IOCTL_SIZE, name, "", change)
        return _added(name, f"a new ioctl {value:#x}")
    kept = new.numbers()
    twins = [
        n for n, v in old.numbers().items()
        if v == value and kept.get(n) == v and _akin(n, name, old, new)
    ]  # fmt: skip
    if twins:
        change = f"{_shown(value)} is already {twins[0]}"
        return _finding(rules.VALUE_REUSED, name, "", change)
    return _added(name, f"new, {_shown(value)}")


def _akin(a: str, b: str, old: Layout, new: Layout) -> bool:
    """Whether two names are values of the same thing: an enum, a field of flags, a list of ids."""
    enum = next((e for e in old.enums if a in e.values), None)
    if enum is not None:
        now = _same_enum(enum, new)
        return now is not None and b in now.values
    first, second = old.constants.get(a), new.constants.get(b)
    if first is None or second is None or first.owner != second.owner:
        return False
    if first.ioctl or second.ioctl:
        return first.ioctl and second.ioctl
    if first.owner and _is_bit(first) and _is_bit(second):
        return True  # of the flags of one structure
    families = a.rpartition("_")[0], b.rpartition("_")[0]
    # Below VFIO_ alone there are lists of all kinds.
    within = [f for f in families if "_" in f and a.startswith(f"{f}_") and b.startswith(f"{f}_")]
    return bool(within)


def _is_bit(constant: Constant) -> bool:
    return constant.value > 0 and not constant.value & (constant.value - 1)


def _plain(name: str) -> str:
    """A name without the words that retire it."""
    return "_".join(word for word in name.split("_") if word not in _RETIRED)


def _is_ioctl(name: str, layout: Layout) -> bool:
    constant = layout.constants.get(name, Constant(value=0))
    return constant.ioctl


def _others(old: Layout, new: Layout) -> Iterator[Finding]:
    """Strings, and macros with arguments."""
    for name, text in old.strings.items():
        now = new.strings.get(name)
        if now is None:
            yield _finding(rules.CONSTANT_REMOVED, name, "", f'removed, it was "{text.value}"')
        elif now.value != text.value:
            change = f'"{text.value}" became "{now.value}"'
            yield _finding(rules.CONSTANT_VALUE, name, "", change)
    for name in old.functions.keys() - new.functions.keys():
        yield _finding(rules.CONSTANT_REMOVED, f"{name}()", "", "removed")
    for name in new.strings.keys() - old.strings.keys():
        yield _added(name, f'new, "{new.strings[name].value}"')
    for name in new.functions.keys() - old.functions.keys():
        yield _added(f"{name}()", "new")


def _shown(value: int) -> str:
    return str(value) if value < 10 else f"{value:#x}"  # noqa: PLR2004 -- where they differ


def _finding(  # noqa: PLR0913, PLR0917 -- what a finding has
    rule: Rule,
    subject: str,
    item: str,
    change: str,
    old: Enum | None = None,
    new: Enum | None = None,
) -> Finding:
    return Finding(
        verdict=Verdict.BREAK,
        rule=rule,
        subject=subject,
        item=item,
        change=change,
        old=old,
        new=new,
    )


def _added(name: str, change: str) -> Finding:
    return Finding(verdict=Verdict.ADDITION, rule=None, subject=name, item="", change=change)
