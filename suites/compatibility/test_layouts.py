# SPDX-License-Identifier: MIT
"""Programs with the structures that compilers made of the headers of five kernels."""

from dataclasses import replace
from functools import cache
from operator import attrgetter
from pathlib import Path

import pytest

from vfiospec import expect
from vfiospec.device.device import Device
from vfiospec.device.info import INFO_CALLS, InfoCall
from vfiospec.layout.fixtures import Fixtures
from vfiospec.layout.history import HISTORY, read
from vfiospec.rules import compatibility, conventions
from vfiospec.session.marks import checks, devices

ROOT = Path(__file__).parents[2]
KERNELS = ["5.10", "6.1", "6.12", "7.2", "7.3"]
each_layout = pytest.mark.parametrize("kernel_of_headers", KERNELS, ids="headers-of-{}".format)
each_info = pytest.mark.parametrize("info", INFO_CALLS, ids=attrgetter("name"))


@cache
def fixtures(kernel: str, bits: int) -> Fixtures:
    """The classes of a kernel's headers, as programs of so many bits are compiled with."""
    abi = read(ROOT / HISTORY).abi(kernel)
    layout = abi.wide if bits == 64 else abi.narrow
    assert layout is not None
    return Fixtures(layout)


def indexes(info: InfoCall, device: Device) -> list[int | None]:
    """What to ask of: each index, or the one thing there is."""
    return [None if info.index is None else at for at in range(info.count(device))]


@checks(compatibility.OLD_HEADER)
@each_layout
@each_info
@pytest.mark.parametrize("bits", [64, 32], ids="bits-{}".format)
@devices("msix")
def test_each_field_has_the_same_value(
    device: Device, info: InfoCall, kernel_of_headers: str, bits: int
) -> None:
    """Field by field, by the names that both headers have, in a buffer of just that structure."""
    made = fixtures(kernel_of_headers, bits).struct(info.struct.__name__)
    then = replace(info, struct=made)
    names = {m.name for m in made.members()} & {m.name for m in info.struct.members()}
    for index in indexes(info, device):
        now = info.ask(device, index=index)
        old = then.ask(device, size=made.sizeof(), index=index)
        expect.equal(f"answer to {old.what}", old.answer(), now.answer())
        if not now.ok or info.struct.unpack(now.data).argsz != info.struct.sizeof():
            continue  # refused, or it has capabilities, for which an offset depends on argsz
        expect.inside(old)
        for name in sorted(names - {"argsz", "pad"}):
            got, wanted = getattr(old.unpack(made), name), getattr(now.unpack(info.struct), name)
            expect.equal(f"{name} of {old}", got, wanted)


@checks(conventions.ARGSZ_BEYOND)
@each_layout
@each_info
@devices("rom")
def test_a_structure_larger_than_the_kernels_is_answered(
    device: Device, info: InfoCall, kernel_of_headers: str
) -> None:
    """A program of newer headers on an older kernel, and the other way round, is not refused."""
    made = fixtures(kernel_of_headers, 64).struct(info.struct.__name__)
    then = replace(info, struct=made)
    call = expect.accepted(then.ask(device, index=info.index))
    expect.inside(call)


@checks(conventions.ARGSZ_MINIMUM)
@each_layout
@each_info
@devices("rom")
def test_the_first_version_of_a_structure_is_in_all(
    device: Device, info: InfoCall, kernel_of_headers: str
) -> None:
    """What the kernel asks at least for ends with a field that every header has."""
    made = fixtures(kernel_of_headers, 64).struct(info.struct.__name__)
    ends = {made.end_of(member.name) for member in made.members()}
    expect.equal(f"{info.minsz} is where a field of {made.__name__} ends", info.minsz in ends, True)
    expect.accepted(replace(info, struct=made).ask(device, info.minsz, index=info.index))
