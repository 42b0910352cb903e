# SPDX-License-Identifier: MIT
"""MSI and MSI-X as sets of vectors: sizes, blocks, sparse ones, bad ones, growing."""

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.call import checked
from vfiospec.device.files import EventFd
from vfiospec.device.irq_model import (
    BOOL,
    EVENTFD,
    MSI,
    MSIX,
    NONE,
    TRIGGER,
    Fd,
    Promised,
    Request,
)
from vfiospec.rules import set_irqs as rules
from vfiospec.session.irqs import Irqs
from vfiospec.session.marks import checks, devices

GOOD, SKIP, CLOSED, OTHER = Fd.EVENTFD, Fd.MINUS_ONE, Fd.CLOSED, Fd.OTHER


def block(index: int, start: int, *fds: Fd) -> Request:
    return Request(index, EVENTFD | TRIGGER, start, len(fds), fds=fds)


def most(irqs: Irqs, index: int, limit: int = 1 << 16) -> int:
    """Vectors of the largest set that can be had, up to a limit."""
    if index == MSI and irqs.shape.one_msi:
        return 1
    return min(irqs.shape.counts[index], limit)


def sizes(count: int) -> list[int]:
    return sorted({n for n in (1, 2, 3, 4, 5, 8, 9, count - 1, count) if 0 < n <= count})


class Sets:
    """What holds for both, and for sets of any size."""

    @checks(rules.ENABLE, rules.DISABLE, rules.SET_HAS_SIZE, rules.INTERRUPTS_NAMED)
    def test_a_set_of_each_size(self, irqs: Irqs, index: int) -> None:
        """Each vector is requested and signals its own eventfd; off again, nothing is left."""
        for count in sizes(irqs.shape.counts[index]):
            irqs.on(index, count)
            irqs.prove()
            irqs.apply(Request(index, NONE | TRIGGER))
            irqs.check()

    @checks(rules.LOOPBACK, rules.LOOPBACK_ZERO)
    def test_loopback_of_a_part(self, irqs: Irqs, index: int) -> None:
        """Each start and count; each byte of a BOOL stands for one vector."""
        count = most(irqs, index, 5)
        irqs.on(index, count)
        ranges = [(s, n) for s in range(count) for n in range(1, count - s + 1)]
        irqs.apply(*(Request(index, NONE | TRIGGER, s, n) for s, n in ranges))
        irqs.apply(
            *(
                Request(index, BOOL | TRIGGER, s, n, bytes(i == hot for i in range(n)))
                for s, n in ranges
                for hot in range(-1, n)
            )
        )
        irqs.apply(Request(index, BOOL | TRIGGER, 0, count, bytes([0xFF] * count)))

    @checks(rules.EMPTY_SET)
    def test_an_empty_block_while_off(self, irqs: Irqs, index: int) -> None:
        """From the first vector on, it would be a set of none."""
        irqs.apply(block(index, 0))
        irqs.prove()

    @checks(rules.MINUS_ONE_ENABLES, rules.NEGATIVE, rules.LOOPBACK_UNASSIGNED)
    @pytest.mark.parametrize("fd", [SKIP, Fd.NEGATIVE], ids=["minus-one", "negative"])
    def test_on_without_eventfds(self, irqs: Irqs, index: int, fd: Fd) -> None:
        """The set is there; its vectors are silent until they are assigned."""
        count = most(irqs, index, 4)
        irqs.apply(block(index, 0, *[fd] * count))
        irqs.prove()
        irqs.loopback(index, count)
        irqs.on(index, count)
        irqs.prove()

    @checks(rules.BAD_BLOCK, rules.FD_CLOSED, rules.FD_NO_EVENTFD)
    @pytest.mark.parametrize("bad", [CLOSED, OTHER], ids=["closed", "other-file"])
    def test_a_bad_block_while_off_turns_nothing_on(self, irqs: Irqs, index: int, bad: Fd) -> None:
        """Wherever in it the bad one is."""
        count = most(irqs, index, 4)
        for place in range(count):
            fds = [GOOD] * count
            fds[place] = bad
            irqs.apply(block(index, 0, *fds))
            irqs.prove()
        irqs.on(index)
        irqs.prove()

    @checks(rules.BAD_BLOCK, rules.FD_CLOSED, rules.FD_NO_EVENTFD)
    @pytest.mark.parametrize("bad", [CLOSED, OTHER], ids=["closed", "other-file"])
    def test_a_bad_block_while_on(self, irqs: Irqs, index: int, bad: Fd) -> None:
        """The vectors up to the bad one lose their eventfds, the others do not."""
        count = most(irqs, index, 4)
        for start in range(min(count, 2)):
            for place in range(start, count):
                irqs.on(index, count)
                fds = [GOOD] * count
                fds[place] = bad
                irqs.apply(block(index, start, *fds[start:]))
                irqs.prove()
                irqs.apply(block(index, 0, *[GOOD] * count))
                irqs.prove()
                irqs.all_off()

    @checks(rules.REPLACE, rules.MINUS_ONE)
    def test_replaced_and_taken_away(self, irqs: Irqs, index: int) -> None:
        """Each vector alone: the others keep their eventfds, and none is signalled."""
        count = most(irqs, index, 4)
        irqs.on(index, count)
        for vector in range(count):
            irqs.on(index, 1, vector)
            irqs.prove()
        for vector in range(count):
            irqs.apply(block(index, vector, SKIP))
            irqs.prove()
            irqs.apply(block(index, vector, SKIP))
        irqs.on(index, count)
        irqs.prove()

    @checks(rules.DISABLE, rules.SET_HAS_SIZE)
    def test_off_from_anywhere_and_on_again(self, irqs: Irqs, index: int) -> None:
        """A start above 0 turns off all of the set too; the next set may have another size."""
        count = most(irqs, index)
        for start in sorted({0, 1, count - 1} & set(range(count))):
            irqs.on(index, count - start)
            irqs.apply(Request(index, NONE | TRIGGER, start))
            irqs.prove()
            irqs.apply(Request(index, NONE | TRIGGER, start))


class Several:
    """What takes more than one vector."""

    @checks(rules.MINUS_ONE, rules.LOOPBACK, rules.SET_HAS_SIZE)
    def test_a_sparse_block(self, irqs: Irqs, index: int) -> None:
        """-1 skips a vector: the others of the block are assigned, that one is silent."""
        room = irqs.shape.counts[index]
        for fds in ((GOOD, SKIP), (SKIP, GOOD), (GOOD, SKIP, GOOD), (SKIP, SKIP, GOOD, SKIP)):
            if len(fds) > room:
                continue
            irqs.apply(block(index, 0, *fds))
            irqs.prove()
            irqs.loopback(index, len(fds))
            irqs.all_off()

    @checks(rules.MINUS_ONE, rules.REPLACE)
    def test_a_sparse_block_over_a_full_one(self, irqs: Irqs, index: int) -> None:
        """-1 takes away what was there; vectors outside of the block stay."""
        count = min(irqs.shape.counts[index], 4)
        for start in range(count - 1):
            irqs.on(index, count)
            irqs.apply(block(index, start, GOOD, SKIP))
            irqs.prove()
            irqs.all_off()

    @checks(rules.EMPTY_BLOCK_ENABLES)
    def test_an_empty_block_behind_some_vectors(self, irqs: Irqs, index: int) -> None:
        """While the index is off: those below it are turned on, or none is."""
        for start in range(1, min(irqs.shape.counts[index], 4)):
            irqs.apply(block(index, start))
            irqs.prove()
            irqs.all_off()

    @checks(rules.NO_RESIZE, rules.RESIZE, rules.MINUS_ONE_BEYOND, rules.LOOPBACK_BEYOND)
    def test_behind_the_set(self, irqs: Irqs, index: int) -> None:
        """A set of each size below the largest, and the vectors it was not turned on with."""
        count = irqs.shape.counts[index]
        for size in sorted({n for n in (1, 2, 3, count - 1) if 0 < n <= most(irqs, index)}):
            irqs.on(index, size)
            behind = sorted({v for v in (size, size + 1, count - 1) if size <= v < count})
            for vector in behind:
                irqs.apply(
                    Request(index, NONE | TRIGGER, vector, 1),
                    Request(index, BOOL | TRIGGER, vector, 0),
                    Request(index, BOOL | TRIGGER, vector, 1, b"\x01"),
                    block(index, vector, SKIP),
                    block(index, vector),
                )
                irqs.prove()
                irqs.apply(block(index, vector, CLOSED))
                irqs.apply(block(index, vector, GOOD))
                irqs.prove()
            irqs.loopback(index, count)
            irqs.all_off()
            irqs.check()

    @checks(rules.NO_RESIZE, rules.RESIZE)
    def test_its_flag_tells_whether_a_set_grows(
        self, irqs: Irqs, index: int, port_event: EventFd, promised: Promised
    ) -> None:
        """By what GET_IRQ_INFO says right before; the vector that was on stays as it is."""
        fixed = irqs.device.get_irq_info(index).flags & vfio.VFIO_IRQ_INFO_NORESIZE
        irqs.on(index)
        behind = irqs.device.try_set_irqs(index, EVENTFD | TRIGGER, 1, 1, eventfds=(port_event,))
        if fixed:
            expect.refused(behind, promised(rules.NO_RESIZE))
        else:
            expect.accepted(behind, promised(rules.RESIZE))
            checked(irqs.device.try_set_irqs(index, NONE | TRIGGER, 1, 1))
        expect.equal("signals of the vector behind", port_event.count(), 0 if fixed else 1)
        irqs.loopback(index)

    @checks(rules.ENABLE, rules.SET_HAS_SIZE)
    def test_a_block_that_starts_later(self, irqs: Irqs, index: int) -> None:
        """The set reaches from vector 0; those before the block have no eventfd."""
        for start in sizes(irqs.shape.counts[index] - 1)[-3:]:
            irqs.on(index, 1, start)
            irqs.prove()
            irqs.all_off()


of_msi = pytest.mark.parametrize("index", [MSI], ids=["msi"])
of_msix = pytest.mark.parametrize("index", [MSIX], ids=["msix"])


@of_msi
@devices("msi")
class TestMsi(Sets):
    """MSI, of devices with one vector or more."""


@of_msix
@devices("msix")
class TestMsix(Sets):
    """MSI-X."""


@of_msi
@devices("multivector-msi")
class TestSeveralMsi(Several):
    """MSI, of devices with more than one vector."""


@of_msix
@devices("msix")
class TestSeveralMsix(Several):
    """MSI-X."""
