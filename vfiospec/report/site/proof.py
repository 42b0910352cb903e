# SPDX-License-Identifier: MIT
"""Reads what shows that the tests of a rule can fail: prove.json, as `vfiospec prove` leaves it.

Its `rules` are a list with ids, or an object by id; `wrongs`, if it is there, says in words what
each wrong kernel did.
"""

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from vfiospec.results.model import ResultsError
from vfiospec.undecodable import UNDECODABLE

PROOF_FILE = "prove.json"


@dataclass(frozen=True, slots=True)
class Proof:
    """The wrong kernels that a test of the rule found out, in words, or why there is none."""

    proven_by: list[str] = field(default_factory=list)
    why_not: str = ""


class _Rule(msgspec.Struct, frozen=True):
    id: str = ""
    proven_by: list[str] = []
    why: str = ""
    why_not: str = ""


class _Wrong(msgspec.Struct, frozen=True):
    id: str
    what: str = ""


class _File(msgspec.Struct, frozen=True):
    rules: dict[str, _Rule] | list[_Rule]
    wrongs: list[_Wrong] = []
    release: str = ""


def read_proof(path: Path) -> dict[str, Proof]:
    """Read a proof, or the one in a folder. ResultsError says what is wrong with it."""
    if path.is_dir():
        path /= PROOF_FILE
    try:
        read = msgspec.json.decode(path.read_bytes(), type=_File)
    except OSError as error:
        raise ResultsError(f"{path} cannot be read: {error.strerror}") from error
    except UNDECODABLE as error:
        raise ResultsError(f"{path} is no proof: {error}; `vfiospec prove` makes one") from error
    words = {wrong.id: f"{wrong.id}: {wrong.what}" for wrong in read.wrongs if wrong.what}
    named = {rule.id: rule for rule in read.rules} if isinstance(read.rules, list) else read.rules
    return {
        name: Proof([words.get(by, by) for by in rule.proven_by], rule.why_not or rule.why)
        for name, rule in named.items()
    }
