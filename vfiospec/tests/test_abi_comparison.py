# SPDX-License-Identifier: MIT
"""The comparison of a structure with a header's: what it lets pass, and what it finds."""

import pytest

from vfiospec.abi.base import AbiStruct, s32, u8, u32, u64
from vfiospec.tests.dwarf import Field, Struct
from vfiospec.tests.layout import differences


class sample(AbiStruct):
    """Ours, in the tests of the comparison itself."""

    _fields_ = [("argsz", u32), ("fd", s32), ("size", u64), ("kind", u8), ("tag", u8)]


ARGSZ, FD, SIZE = Field("argsz", 0, 4), Field("fd", 4, 4, signed=True), Field("size", 8, 8)


@pytest.mark.parametrize(
    "fields",
    [
        (ARGSZ, FD, SIZE),
        (ARGSZ, FD),
        (ARGSZ, FD, SIZE, Field("reserved", 16, 2)),
        (ARGSZ, FD, SIZE, Field("kind", 16, 1), Field("tag", 17, 1), Field("data", 18, 0)),
    ],
    ids=["older", "much older", "reserved bytes", "flexible array"],
)
def test_the_comparison_accepts_growth(fields: tuple[Field, ...]) -> None:
    """A header that is older, or that only reserves what we name, is no difference."""
    size = {2: 8, 3: 16}.get(len(fields), 24)
    assert differences(sample, Struct("sample", size, fields)) == []


@pytest.mark.parametrize(
    ("size", "fields"),
    [
        (24, (ARGSZ, Field("fd", 4, 4), SIZE)),
        (24, (ARGSZ, FD, Field("size", 8, 4))),
        (24, (ARGSZ, FD, Field("length", 8, 8))),
        (24, (ARGSZ, SIZE)),
        (24, (ARGSZ, FD, SIZE, Field("reserved", 16, 4))),
        (24, (ARGSZ, FD, SIZE, Field("data", 16, 0))),
        (32, (ARGSZ, FD, SIZE)),
        (24, (ARGSZ, FD, SIZE, Field("kind", 16, 1, struct="other"))),
    ],
    ids=["sign", "size", "name", "gap", "uncovered", "array", "shorter", "struct"],
)
def test_the_comparison_finds_a_difference(size: int, fields: tuple[Field, ...]) -> None:
    """One wrong thing in a structure is reported."""
    assert differences(sample, Struct("sample", size, fields)) != []
