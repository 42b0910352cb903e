# SPDX-License-Identifier: MIT
"""The comparison of a structure with a header's: what it lets pass, and what it finds."""

import pytest

from vfiospec.abi.base import AbiStruct, s32, u8, u32, u64
from vfiospec.layout.declared import differences
from vfiospec.layout.model import Member, Record


class sample(AbiStruct):
    """Ours, in the tests of the comparison itself."""

    _fields_ = [("argsz", u32), ("fd", s32), ("size", u64), ("kind", u8), ("tag", u8)]


def member(name: str, offset: int, size: int, *, signed: bool = False, struct: str = "") -> Member:
    """A field of a header: an array without bound if it has no size."""
    return Member(
        name=name, type=f"struct {struct}" if struct else "int", offset=offset, size=size,
        signed=signed, kind="struct" if struct else "int", dims=() if size else (0,),
    )  # fmt: skip


ARGSZ, FD, SIZE = member("argsz", 0, 4), member("fd", 4, 4, signed=True), member("size", 8, 8)


@pytest.mark.parametrize(
    "fields",
    [
        (ARGSZ, FD, SIZE),
        (ARGSZ, FD),
        (ARGSZ, FD, SIZE, member("reserved", 16, 2)),
        (ARGSZ, FD, SIZE, member("kind", 16, 1), member("tag", 17, 1), member("data", 18, 0)),
    ],
    ids=["older", "much older", "reserved bytes", "flexible array"],
)
def test_the_comparison_accepts_growth(fields: tuple[Member, ...]) -> None:
    """A header that is older, or that only reserves what we name, is no difference."""
    size = {2: 8, 3: 16}.get(len(fields), 24)
    assert differences(sample, Record(name="sample", size=size, align=8, members=fields)) == []


@pytest.mark.parametrize(
    ("size", "fields"),
    [
        (24, (ARGSZ, member("fd", 4, 4), SIZE)),
        (24, (ARGSZ, FD, member("size", 8, 4))),
        (24, (ARGSZ, FD, member("length", 8, 8))),
        (24, (ARGSZ, SIZE)),
        (24, (ARGSZ, FD, SIZE, member("reserved", 16, 4))),
        (24, (ARGSZ, FD, SIZE, member("data", 16, 0))),
        (32, (ARGSZ, FD, SIZE)),
        (24, (ARGSZ, FD, SIZE, member("kind", 16, 1, struct="other"))),
    ],
    ids=["sign", "size", "name", "gap", "uncovered", "array", "shorter", "struct"],
)
def test_the_comparison_finds_a_difference(size: int, fields: tuple[Member, ...]) -> None:
    """One wrong thing in a structure is reported."""
    assert differences(sample, Record(name="sample", size=size, align=8, members=fields)) != []
