# SPDX-License-Identifier: MIT
"""What a wrong port is: which calls it changes, how, and the one rule that breaks. TOML data."""

import errno as errno_names
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from vfiospec.rules import all_rules
from vfiospec.undecodable import UNDECODABLE

PORTS: Final = Path(__file__).parent / "ports"


class WrongError(Exception):
    """Data of wrong ports that says something impossible; one line for the user."""


class Change(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What becomes of a call. All that is given is done."""

    # Before it is made:
    # It is not made; the answer is `ret`, and what was handed over. A close closes nothing.
    swallow: bool = False
    ask: Mapping[str, int] = {}  # fields of the request that become these
    # Of its answer:
    errno: str = ""  # it is refused with this; what it made is undone
    ret: int | None = None  # it succeeds with this; what it should have made is made up
    more: int = 0  # added to its return value
    add: Mapping[str, int] = {}  # to fields of the structure that comes back
    flip: Mapping[str, int] = {}  # bits of such fields
    at: int | None = None  # byte of the data that comes back: `xor` is applied to it
    xor: int = 0
    put: str = ""  # in hexadecimal: the bytes from `at` on become these
    fill: int | None = None  # every byte of the data that comes back
    swap: tuple[str, str] = ("", "")  # in text that comes back
    text: str = ""  # what comes back
    spill: bool = False  # one byte behind the buffer is written
    signal: int | None = None  # a touch gets this signal; 0: none, and `fill`
    answers: tuple[int, int] = (0, 0)  # of a race: errno, which becomes that (0: success)
    ready: int | None = None  # of a poll: how many files are
    lose: bool = False  # none comes: the kernel is dead


class Wrong(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A kernel that breaks one promise. `call` is as vfiospec.wrong.seen names it."""

    id: str
    rule: str
    what: str
    call: str
    where: Mapping[str, int | str] = {}  # all of these fields; "<16", ">=16", "&4", "!4" also
    answered: str = ""  # only where the kernel answers so: ok, or an errno
    nth: int = 0  # only the n-th such call of a test; 0: every one
    role: str = ""  # only on devices with this role
    test: str = ""  # the dotted id of a test that shows it, which is tried first
    change: Change


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    wrong: tuple[Wrong, ...] = ()


def load(folder: Path = PORTS) -> tuple[Wrong, ...]:
    """Read every file of a folder. WrongError names the file and what is wrong in it."""
    found: dict[str, Wrong] = {}
    rules = all_rules()
    for path in sorted(folder.glob("*.toml")):
        try:
            read = msgspec.toml.decode(path.read_bytes(), type=_File)
        except (OSError, *UNDECODABLE) as e:
            raise WrongError(f"{path}: {e}") from e
        for wrong in read.wrong:
            _check(path, wrong, found, rules)
            found[wrong.id] = wrong
    if not found:
        raise WrongError(f"{folder}: no wrong port there; a [[wrong]] in a .toml file is one")
    return tuple(found.values())


def _check(path: Path, wrong: Wrong, others: Iterable[str], rules: Collection[str]) -> None:
    if wrong.id in others:
        raise WrongError(f"{path}: {wrong.id} is there twice")
    if wrong.rule not in rules:
        raise WrongError(f"{path}: {wrong.id} breaks {wrong.rule!r}, no rule")
    if wrong.change == Change():
        raise WrongError(f"{path}: {wrong.id} changes nothing")
    if wrong.change.errno and not hasattr(errno_names, wrong.change.errno):
        raise WrongError(f"{path}: {wrong.id}: {wrong.change.errno!r} is no errno")
    for name, wanted in wrong.where.items():
        try:
            fits(wanted, 0)
        except ValueError as e:
            raise WrongError(f"{path}: {wrong.id}: {name} = {wanted!r}: {e}") from e


def fits(wanted: int | str, value: int | str) -> bool:
    """Whether a field is as wanted. ValueError for a comparison with no number."""
    if isinstance(wanted, int) or isinstance(value, str):
        return wanted == value
    for sign in ("<=", ">=", "<", ">", "&", "!"):
        if wanted.startswith(sign):
            other = int(wanted[len(sign) :], 0)
            return {
                "<=": value <= other, ">=": value >= other, "<": value < other,
                ">": value > other, "&": value & other == other, "!": value != other,
            }[sign]  # fmt: skip
    return False
