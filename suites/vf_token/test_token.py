# SPDX-License-Identifier: MIT
"""The token of a physical function, and who is let in with it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest

from vfiospec import expect
from vfiospec.abi import vfio_feature as feature
from vfiospec.device.call import Call
from vfiospec.device.device import Device
from vfiospec.device.sriov import Pair
from vfiospec.rules import vf_token as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

Promised = Callable[[Rule], int]
FIRST = UUID("bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3")
SECOND = UUID("11223344-5566-7788-99aa-bbccddeeff00")
GET, SET = feature.VFIO_DEVICE_FEATURE_GET, feature.VFIO_DEVICE_FEATURE_SET
PROBE = feature.VFIO_DEVICE_FEATURE_PROBE
TOKEN = feature.VFIO_DEVICE_FEATURE_PCI_VF_TOKEN


def option(token: object) -> str:
    """What follows the name."""
    return f" vf_token={token}"


@pytest.fixture
def both(pair: Pair) -> Pair:
    """The pair, with FIRST as token."""
    expect.accepted(pair.pf.try_set_vf_token(FIRST))
    return pair


@contextmanager
def opened(answer: tuple[Call, Device | None]) -> Iterator[Device]:
    """The device that an open must have given."""
    call, device = answer
    expect.holds(device is not None, "an fd", str(call))
    assert device is not None
    with device:
        yield device


def refused(answer: tuple[Call, Device | None], errno: int) -> None:
    """No device; one that is there all the same is closed."""
    call, device = answer
    if device is not None:
        device.close()
    expect.refused(call, errno)


@checks(rules.GET)
def test_it_is_never_told(both: Pair, promised: Promised) -> None:
    """Not got, not probed for; to set it can be probed."""
    for asked in (GET, GET | PROBE, GET | SET | PROBE):
        call = both.pf.try_feature(TOKEN | asked, bytes(16))
        expect.refused(call, promised(rules.GET))
    for asked in (PROBE, SET | PROBE):
        expect.accepted(both.pf.try_feature(TOKEN | asked))


@checks(rules.SET_LENGTH)
def test_a_short_token(both: Pair, promised: Promised) -> None:
    """Refused; the one before still holds. What is too long is cut."""
    for length in (0, 15):
        call = both.pf.try_feature(TOKEN | SET, SECOND.bytes[:length])
        expect.refused(call, promised(rules.SET_LENGTH))
    with opened(both.open_vf(option(FIRST))):
        pass
    expect.accepted(both.pf.try_feature(TOKEN | SET, SECOND.bytes + bytes(8)))
    with opened(both.open_vf(option(SECOND))):
        pass


@checks(rules.SET, rules.VF_WRONG, rules.VF_RIGHT)
def test_a_new_token(both: Pair, promised: Promised) -> None:
    """The old one is of no use any more; a probe changes nothing."""
    with opened(both.open_vf(option(FIRST))):
        pass
    expect.accepted(both.pf.try_feature(TOKEN | SET | PROBE, SECOND.bytes))
    refused(both.open_vf(option(SECOND)), promised(rules.VF_WRONG))
    expect.accepted(both.pf.try_set_vf_token(SECOND))
    refused(both.open_vf(option(FIRST)), promised(rules.VF_WRONG))
    with opened(both.open_vf(option(SECOND))):
        pass


@checks(rules.VF_NONE, rules.VF_WRONG, rules.VF_RIGHT)
def test_the_door_of_a_vf(both: Pair, promised: Promised) -> None:
    """None, a digit off at either end, zeros; and again while an fd is open."""
    for _ in range(2):
        refused(both.open_vf(), promised(rules.VF_NONE))
        refused(both.open_vf(" "), promised(rules.VF_NONE))
        for wrong in (UUID(int=FIRST.int ^ 1), UUID(int=FIRST.int ^ 1 << 127), UUID(int=0)):
            refused(both.open_vf(option(wrong)), promised(rules.VF_WRONG))
    with opened(both.open_vf(option(FIRST))), opened(both.open_vf(option(str(FIRST).upper()))):
        refused(both.open_vf(), promised(rules.VF_NONE))
        refused(both.open_vf(option(SECOND)), promised(rules.VF_WRONG))


@checks(rules.MALFORMED, rules.NO_SUCH_NAME, rules.VF_RIGHT)
def test_how_it_is_written(both: Pair, promised: Promised) -> None:
    """Blanks are free; all else is as it must be, for the VF and the PF."""
    text = str(FIRST)
    strange = (
        " vf_token=", option(text[:-1]), option(text.replace("-", "")), option("x" + text[1:]),
        option(text[:-1] + "g"), option(text + "x"), option(text) * 2, " token=" + text,
        option(text) + " x", " x" + option(text), " vf_token", " VF_TOKEN=" + text,
    )  # fmt: skip
    for opener in (both.open_vf, both.open_pf):
        for options in strange:
            refused(opener(options), promised(rules.MALFORMED))
        for options in ("x", "0" + option(text), "," + option(text), "\t" + option(text)):
            refused(opener(options), promised(rules.NO_SUCH_NAME))
        for options in ("  " + option(text), option(text) + "  "):
            with opened(opener(options)):
                pass


@checks(rules.PF_WITH_VF_OPEN)
def test_the_door_of_a_pf_with_its_vf_open(both: Pair, promised: Promised) -> None:
    """With the token only, until the last fd of the VF is closed; a wrong one changes nothing."""
    with opened(both.open_vf(option(FIRST))):
        with opened(both.open_vf(option(FIRST))):
            refused(both.open_pf(), promised(rules.PF_WITH_VF_OPEN))
            refused(both.open_pf(option(SECOND)), promised(rules.PF_WITH_VF_OPEN))
            with opened(both.open_pf(option(FIRST))):
                pass
        refused(both.open_pf(), promised(rules.PF_WITH_VF_OPEN))
        refused(both.open_pf(option(SECOND)), promised(rules.PF_WITH_VF_OPEN))
    with opened(both.open_pf()):
        pass
    with opened(both.open_vf(option(FIRST))):
        refused(both.open_pf(), promised(rules.PF_WITH_VF_OPEN))


@checks(rules.PF_SETS, rules.PF_KEEPS, rules.VF_WRONG)
def test_the_door_of_a_pf_alone(both: Pair, promised: Promised) -> None:
    """Without a token it stays, with one it is that."""
    with opened(both.open_pf()), opened(both.open_vf(option(FIRST))):
        pass
    with opened(both.open_pf(option(SECOND))):
        refused(both.open_vf(option(FIRST)), promised(rules.VF_WRONG))
    with opened(both.open_vf(option(SECOND))):
        pass


@checks(rules.SET_TIME)
def test_no_new_token_while_a_vf_is_open(both: Pair) -> None:
    """Those who are in know the old one."""
    with opened(both.open_vf(option(FIRST))):
        call = both.pf.try_set_vf_token(SECOND)
        expect.holds(not call.ok, "an error", str(call))
