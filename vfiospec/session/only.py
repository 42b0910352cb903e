# SPDX-License-Identifier: MIT
"""Tests chosen by their dotted ids, as results.jsonl has them.

An id without its parameters stands for the test with all of them.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

from vfiospec.lab import LabError

_NEAR = 3


def is_id(test: str) -> bool:
    """Whether it can only be a dotted id: pytest's own names have a slash or a colon."""
    return not {"/", ":"}.intersection(test) and not test.endswith(".py")


def file_of(suites: Path, test: str) -> Path:
    """The file an id is from. LabError, with ids that are near, if there is none."""
    chapter, _, rest = test.partition(".")
    path = suites / chapter / f"test_{rest.partition('.')[0]}.py"
    if not path.is_file():
        files = suites.glob("*/test_*.py")
        known = [f"{one.parent.name}.{one.stem.removeprefix('test_')}" for one in files]
        begin = ".".join(test.split(".")[:2])
        raise LabError(f"--test {test}: no test begins with {begin}{_near(begin, known)}")
    return path


def choose(wanted: Sequence[str], there: Iterable[str]) -> set[str]:
    """Those of the ids that are there which are wanted. LabError for one that fits none."""
    ids, chosen = list(there), set[str]()
    for test in wanted:
        fits = {one for one in ids if one == test or one.startswith(f"{test}.")}
        if not fits:
            raise LabError(
                f"--test {test}: there is no such test on these devices{_near(test, ids)}"
            )
        chosen |= fits
    return chosen


def _near(test: str, known: Iterable[str]) -> str:
    near = get_close_matches(test, list(known), _NEAR)
    return f"; near are {', '.join(near)}" if near else "; ids are in results.jsonl"
