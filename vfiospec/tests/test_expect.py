# SPDX-License-Identifier: MIT
"""Each judgement: what it lets pass, and what it says of what it does not."""

from collections.abc import Callable
from errno import EFAULT, EINVAL

import pytest

from vfiospec import expect
from vfiospec.abi.base import AbiStruct, u8, u16, u32
from vfiospec.abi.vfio import vfio_irq_info
from vfiospec.device.call import Call
from vfiospec.device.ops import Reply
from vfiospec.expect import Mismatch

SENT = bytes(range(8))


def call(ret: int = 0, errno: int = 0, after: bytes | None = SENT, **more: object) -> Call:
    """A GET_INFO with a buffer of eight bytes."""
    spill = more.get("spill", ())
    return Call("GET", "argsz=8", SENT, Reply(ret, errno, after, spill))  # type: ignore[arg-type]


def words(judge: Callable[[], object]) -> tuple[str, str]:
    """Both sides of what a judgement says; it must fail."""
    with pytest.raises(Mismatch) as caught:
        judge()
    error = caught.value
    assert str(error) == f"expected: {error.expected}\n  actual: {error.actual}"
    return error.expected, error.actual


def test_a_mismatch_is_an_assertion_with_both_sides() -> None:
    error = Mismatch("EINVAL", "GET(argsz=8) -> 0")
    assert isinstance(error, AssertionError)
    assert (error.expected, error.actual) == ("EINVAL", "GET(argsz=8) -> 0")


def test_refused() -> None:
    expect.refused(call(-1, EINVAL), EINVAL)
    assert words(lambda: expect.refused(call(-1, EFAULT), EINVAL)) == (
        "EINVAL",
        "GET(argsz=8) -> EFAULT",
    )
    assert words(lambda: expect.refused(call(0), EINVAL)) == ("EINVAL", "GET(argsz=8) -> 0")
    # A call that went well while errno is left from another one.
    assert words(lambda: expect.refused(call(0, EINVAL), EINVAL))[1] == "GET(argsz=8) -> 0"


def test_what_is_refused_leaves_the_buffer_alone() -> None:
    after = SENT[:5] + b"\xff" + SENT[6:]
    assert words(lambda: expect.refused(call(-1, EINVAL, after), EINVAL)) == (
        "bytes 0 to 7 left alone",
        "GET(argsz=8) -> EINVAL, and byte 5 changed from 0x05 to 0xff",
    )


def test_accepted() -> None:
    assert expect.accepted(call()).ok
    assert expect.accepted(call(16), 16).ret == 16
    assert words(lambda: expect.accepted(call(1))) == ("0", "GET(argsz=8) -> 1")
    assert words(lambda: expect.accepted(call(-1, EFAULT))) == ("0", "GET(argsz=8) -> EFAULT")


@pytest.mark.parametrize(
    "judge",
    [
        expect.inside,
        expect.accepted,
        lambda made: expect.untouched(made, 0),
        lambda made: expect.reply(made, vfio_irq_info.unpack(SENT)),
    ],
    ids=["inside", "accepted", "untouched", "reply"],
)
def test_nothing_is_written_outside_of_the_buffer(judge: Callable[[Call], object]) -> None:
    made = call(spill=((12, b"\x01\x02"),))
    assert words(lambda: judge(made)) == (
        "nothing written outside of the buffer",
        "GET(argsz=8) -> 0, and 2 bytes at offset 12 became 01 02",
    )


def test_inside() -> None:
    expect.inside(call())


def test_untouched() -> None:
    first = b"\xff" + SENT[1:]
    expect.untouched(call(after=first), 1)
    expect.untouched(call(after=SENT[:4] + b"\xff" + SENT[5:]), 0, 4)
    expect.untouched(Call("SET", "1", 1, Reply()), 0)  # a number has no buffer
    expect.untouched(Call("GET", "", b"", Reply()), 0)  # nor has a place in memory
    assert words(lambda: expect.untouched(call(after=first), 0, 4)) == (
        "bytes 0 to 3 left alone",
        "GET(argsz=8) -> 0, and byte 0 changed from 0x00 to 0xff",
    )


class sample(AbiStruct):
    """Six bytes: two numbers, of which the second is an array."""

    _fields_ = [("argsz", u32), ("kinds", u8 * 2), ("count", u16)]


def test_reply_compares_each_field_and_what_is_behind() -> None:
    wanted = vfio_irq_info(16, 7, 0, 1)
    sent = bytes(16) + b"\xa5" * 4

    def answer(data: bytes) -> Call:
        return Call("GET", "", sent, Reply(0, 0, data))

    expect.reply(answer(wanted.pack() + sent[16:]), wanted)
    assert words(lambda: expect.reply(answer(vfio_irq_info(16, 7, 0, 2).pack()), wanted)) == (
        "GET() -> 0: count = 1",
        "GET() -> 0: count = 2",
    )
    assert words(lambda: expect.reply(answer(wanted.pack() + b"\xa5\xa5\0\xa5"), wanted)) == (
        "bytes 16 to 19 left alone",
        "GET() -> 0, and byte 18 changed from 0xa5 to 0x00",
    )


def test_reply_compares_arrays_by_what_they_hold() -> None:
    wanted = sample(8, (u8 * 2)(1, 2), 3)
    same = Call("GET", "", bytes(8), Reply(0, 0, wanted.pack()))
    expect.reply(same, wanted)
    other = sample(8, (u8 * 2)(1, 4), 3)
    assert words(lambda: expect.reply(same, other)) == (
        "GET() -> 0: kinds = [1, 4]",
        "GET() -> 0: kinds = [1, 2]",
    )


def test_equal() -> None:
    expect.equal("num_irqs", 5, 5)
    assert words(lambda: expect.equal("num_irqs", 4, 5)) == ("num_irqs = 5", "num_irqs = 4")
    assert words(lambda: expect.equal("size", 0x1000, 0xFFF)) == ("size = 4095", "size = 0x1000")
    assert words(lambda: expect.equal("fd", -2, -1)) == ("fd = -1", "fd = -0x2")
    works = words(lambda: expect.equal("works", actual=True, expected=False))
    assert works == ("works = False", "works = True")


def test_one_of() -> None:
    expect.one_of("ret", 1, iter([0, 1]))
    assert words(lambda: expect.one_of("ret", 2, iter([0, 1]))) == ("ret in 0, 1", "ret = 2")


def test_flags() -> None:
    expect.flags("flags", 0b0101, needed=0b0101, forbidden=0b1010)
    assert words(lambda: expect.flags("flags", 0b0100, needed=0b0101)) == (
        "flags has 0x5",
        "flags = 0x4",
    )
    assert words(lambda: expect.flags("flags", 0b0110, forbidden=0b1010)) == (
        "flags has none of 0xa",
        "flags = 0x6",
    )


def test_holds() -> None:
    expect.holds(True, "order", "disorder")
    assert words(lambda: expect.holds(False, "order", "disorder")) == ("order", "disorder")
