# SPDX-License-Identifier: MIT
"""The calls that are made in each way: in each group of them an altered answer is seen."""

from collections.abc import Sequence
from errno import EPERM
from itertools import product

import pytest

from vfiospec.abi import vfio
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device import ops as o
from vfiospec.device.comparison import unexplained
from vfiospec.device.group import Assigned
from vfiospec.device.ops import AnyOp, Reply
from vfiospec.device.survey import Answers, Subject
from vfiospec.device.surveys import GROUPS
from vfiospec.device.ways import Way
from vfiospec.rules.model import Rule
from vfiospec.tests.made_up_port import MadeUpPort

BDF, PAGE, ROOM = "0000:00:01.0", 4096, 4096
EDU = (0x11E8 << 16 | 0x1234).to_bytes(4, "little")
INFO = iommu.vfio_iommu_type1_info
RANGE_AT = INFO.sizeof() + 16 + iommu.vfio_iommu_type1_info_cap_iova_range.sizeof()


def _region(request: bytes) -> bytes:
    made = vfio.vfio_region_info.unpack(request)
    made.flags, made.size, made.offset = 7, ROOM, made.index << 40
    return made.pack() + request[made.sizeof() :]


def _container_info(request: bytes) -> bytes:
    avail = iommu.vfio_iommu_type1_info_dma_avail(avail=9)
    avail.header.id, avail.header.version = iommu.VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, 1
    avail.header.next = INFO.sizeof() + 16
    ranges = iommu.vfio_iommu_type1_info_cap_iova_range(nr_iovas=1)
    ranges.header.id, ranges.header.version = iommu.VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, 1
    made = INFO(argsz=128, flags=3, iova_pgsizes=PAGE, cap_offset=INFO.sizeof()).pack()
    made += avail.pack().ljust(16, b"\0") + ranges.pack()
    made += iommu.vfio_iova_range(0, 0xFFFF).pack()
    return (made + request[len(made) :])[: len(request)]


def _read(size: int, offset: int) -> bytes:
    """The device's numbers in configuration space, zeros anywhere else."""
    there = offset >> 40 == vfio.VFIO_PCI_CONFIG_REGION_INDEX
    return (EDU[offset & 0xFFF :][:size] if there else b"").ljust(size, b"\0")


def _answer(op: AnyOp) -> Reply:
    """A kernel and a device that say yes to everything."""
    data = b""
    match op:
        case o.Ioctl(_, vfio.VFIO_DEVICE_GET_REGION_INFO, _, bytes(request)):
            data = _region(request)
        case o.Ioctl(_, iommu.VFIO_IOMMU_GET_INFO, _, bytes(request)):
            data = _container_info(request)
        case o.Ioctl(_, _, _, bytes(request)):
            data = request
        case o.Pread(_, size, offset):
            return Reply(size, 0, _read(size, offset or 0))
        case o.Pwrite(_, bytes(written)):
            return Reply(len(written))
        case o.Peek(_, size):
            data = bytes(size)
        case _:
            pass
    return Reply(0, 0, data)


class AlteredPort(MadeUpPort):
    """Answers one operation, by its number, in another way; there are a few."""

    def __init__(self) -> None:
        super().__init__(_answer)
        self.number, self.how = -1, 0

    def exchange(self, ops: Sequence[AnyOp]) -> Sequence[Reply]:
        """Count them."""
        made = []
        for op in ops:
            reply = _answer(op)
            if len(self.asked) == self.number:
                reply = _altered(op, reply)[self.how]
            made.append(reply)
            self.asked.append(op)
        return made


def _altered(op: AnyOp, reply: Reply) -> tuple[Reply, Reply]:
    """Refused or struck by a signal; and with other bytes, its length left alone."""
    data = bytearray(reply.bytes)
    at = RANGE_AT if getattr(op, "request", 0) == iommu.VFIO_IOMMU_GET_INFO else 0
    for i in range(at, len(data)):
        data[i] ^= 1
    struck = isinstance(op, o.Load)
    refused = Reply(0, 0, b"", (), 7) if struck else Reply(-1, EPERM, reply.bytes)
    return refused, Reply(reply.ret, 0, bytes(data))


def _ask(rule: Rule, number: int = -1, how: int = 0) -> tuple[Answers, int]:
    """The answers to a group of calls, and how many operations it took."""
    port = AlteredPort()
    access = Assigned(port, 1)
    device = access.open(BDF)
    port.asked.clear()
    port.number, port.how = number, how
    answers = dict(GROUPS[rule](Subject(Way.TYPE1V2, access, device, BDF, PAGE)))
    return answers, len(port.asked)


@pytest.mark.parametrize("rule", GROUPS, ids=lambda rule: rule.id)
def test_an_altered_answer_is_seen(rule: Rule) -> None:
    """Each operation in turn gets another answer, until one shows; then it shows by its name."""
    plain, count = _ask(rule)
    assert plain
    assert _ask(rule)[0] == plain
    for number, how in product(range(count), (0, 1)):
        try:
            altered, _ = _ask(rule, number, how)
        except (OSError, LookupError):
            continue  # a step that leads to the calls, not one of them
        if altered != plain:
            differ = [q for q in {**plain, **altered} if plain.get(q) != altered.get(q)]
            lines = unexplained({Way.TYPE1V2: plain, Way.TYPE1: altered}, [])
            assert [line.rpartition(": ")[0] for line in lines] == differ
            return
    pytest.fail(f"none of {count} altered answers was seen")
