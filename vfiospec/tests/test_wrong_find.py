# SPDX-License-Identifier: MIT
"""What a wrong kernel could have answered: nearest to the promise first, and each one different."""

import errno

import pytest

from vfiospec.abi import vfio
from vfiospec.device import ops as o
from vfiospec.device.ops import AnyOp, Reply
from vfiospec.session.proof_plan import Index
from vfiospec.wrong.change import answered, swallowed
from vfiospec.wrong.find import changes
from vfiospec.wrong.model import Change, Wrong
from vfiospec.wrong.seen import Seen, Things

ASK = o.Ioctl(
    3, vfio.VFIO_DEVICE_GET_IRQ_INFO, 0, vfio.vfio_irq_info(16, 0, 2, 0).pack() + bytes(8)
)
GIVEN = vfio.vfio_irq_info(16, 0x5, 2, 8).pack() + bytes(8)
CASES = [
    (ASK, Reply(0, 0, GIVEN), "has bit 0 of flags flipped"),
    (ASK, Reply(-1, errno.EINVAL, ASK.data), "fails with ENOTTY"),
    (o.Pread(3, 4, 7 << 40), Reply(4, 0, b"abcd"), "has bit 0 flipped"),
    (o.Pread(3, 4, 7 << 40), Reply(-1, errno.EIO, bytes(4)), "fails with EINVAL"),
    (o.Pwrite(3, b"ab", 7 << 40), Reply(2), "does nothing"),
    (o.Load(o.Ref(9), 4), Reply(0, 0, bytes(4)), "has bit 0 flipped"),
    (o.Load(o.Ref(9), 4), Reply(-1, signal=7, address=4096), "does not fault"),
    (o.Store(o.Ref(9), 4, 1), Reply(), "does nothing"),
    (o.Poll((4,), 1), Reply(1, values=(1,)), "has none ready"),
    (o.ReadFile("/a"), Reply(3, 0, b"a1\n"), "has other digits for 1"),
    (o.Mmap(9, 4096, 3, 1, 3), Reply(-1, errno.ENODEV), "fails with EINVAL"),
    (o.Race(((),)), Reply(values=(0, 0, -1, errno.EBUSY, 3)), "answers EINVAL for 16"),
]


def _seen(op: AnyOp) -> Seen:
    things = Things()
    things.note(o.Open(3, "/dev/vfio/devices/vfio0"), Reply(3))
    return things.see(op)


@pytest.mark.parametrize(
    ("op", "reply", "first"), CASES, ids=[f"{n}-{c[2]}" for n, c in enumerate(CASES)]
)
def test_every_change_changes_the_answer(op: AnyOp, reply: Reply, first: str) -> None:
    """Or nothing is done, and success is said."""
    found = list(changes(_seen(op), op, reply))
    assert found[0][0] == first
    assert len({words for words, _ in found}) == len(found)
    for words, change in found:
        if not change.swallow:
            kind = "device" if isinstance(op, o.Ioctl) else ""
            differs = answered(op, reply, kind, change) != reply
            # All ones are no change where all were ones.
            assert differs or words in ("is all ones", "is all zeros"), words
        else:
            assert swallowed(op, change).ok


def test_calls_on_the_untouched_kernel_say_which_wrong_ports_a_test_meets() -> None:
    """As often as the wrong port waits for, and with the answer it is about."""

    def wrong(name: str, **more: object) -> Wrong:
        change = Change(errno="EIO")
        return Wrong(
            id=name,
            rule="a.b",
            what="",
            call="read device",
            change=change,
            **more,  # type: ignore[arg-type]
        )

    wrongs = [
        wrong("any"), wrong("third", nth=3), wrong("refused", answered="EIO"),
        wrong("elsewhere", where={"region": 6}), wrong("named", nth=9, test="t"),
    ]  # fmt: skip
    index = Index(wrongs)
    index.start("t")
    op = o.Pread(3, 4, 7 << 40)
    for _ in range(2):
        index.see(_seen(op), op, Reply(4, 0, bytes(4)))
    assert {w.id for w in wrongs if index.meets(w, "t")} == {"any", "named"}
    index.see(_seen(op), op, Reply(-1, errno.EIO))
    assert {w.id for w in wrongs if index.meets(w, "t")} == {"any", "third", "refused", "named"}
    assert not any(index.meets(w, "another") for w in wrongs)
