# SPDX-License-Identifier: MIT
"""A BAR as a dma-buf in an address space of iommufd: usable while the device's memory is."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.abi import vfio_feature as feature
from vfiospec.device.call import Call
from vfiospec.device.cdev import Bound, Cdev
from vfiospec.device.dmabuf import is_known, request_of, try_get
from vfiospec.device.edu import Edu
from vfiospec.device.files import EventFd, File, Memory
from vfiospec.device.observe import runtime_status, suspends
from vfiospec.device.pci import ROM, PciDevice
from vfiospec.device.scratch import decode_memory
from vfiospec.lab.bench import BenchDevice
from vfiospec.rules import cdev as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

Promised = Callable[[Rule], int]
SET = feature.VFIO_DEVICE_FEATURE_SET
ENTRY = feature.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY | SET
WITH_WAKEUP = feature.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP | SET
EXIT = feature.VFIO_DEVICE_FEATURE_LOW_POWER_EXIT | SET
IOVA, MEMORY_IOVA = 0x100000, 0x200000
UNLIKELY = 0x5AA5C33C


@pytest.fixture
def bar(bound: Bound, pci: PciDevice, page: int) -> int:
    """A memory BAR that can be a dma-buf; memory decoding is on until the device is closed."""
    if not is_known(bound.cdev):
        pytest.skip("the kernel has no DMA_BUF: needs 7.2 or newer with CONFIG_VFIO_PCI_DMABUF")
    found = [i for i, b in enumerate(pci.bars[:ROM]) if b.is_memory and b.size >= page]
    if not found:
        pytest.skip("the device has no memory BAR of a page or more")
    decode_memory(bound.cdev)
    return found[0]


def dma_buf(bound: Bound, bar: int, *slices: tuple[int, int]) -> File:
    """Slices of a BAR, each with its offset and length, as a dma-buf."""
    call, file = try_get(bound.cdev, request_of(bar, slices))
    if file is None:
        raise expect.Mismatch("a dma-buf", str(call))
    return file


def keep_file(bound: Bound, file: File, size: int, start: int = 0) -> Call:
    """IOMMU_IOAS_MAP_FILE of it, or of a part that starts further on."""
    return bound.iommufd.try_map_file(bound.ioas, file, IOVA, size, start)


def unmap(bound: Bound, size: int) -> None:
    """IOMMU_IOAS_UNMAP of what is mapped there."""
    expect.accepted(bound.iommufd.try_unmap_ioas(bound.ioas, IOVA, size))


def map_file(bound: Bound, file: File, size: int) -> Call:
    """IOMMU_IOAS_MAP_FILE of it; what is mapped is unmapped again."""
    call = keep_file(bound, file, size)
    if call.ok:
        unmap(bound, size)
    return call


@checks(rules.DMA_BUF)
def test_it_can_be_mapped(bound: Bound, bar: int, page: int) -> None:
    """As memory can."""
    with dma_buf(bound, bar, (0, page)) as file:
        expect.accepted(map_file(bound, file, page))


@checks(rules.DMA_BUF_RANGES)
def test_one_of_two_slices_cannot(bound: Bound, bar: int, page: int, promised: Promised) -> None:
    """Neither both together nor the first alone."""
    with dma_buf(bound, bar, (0, page), (0, page)) as file:
        for size in (2 * page, page):
            expect.refused(map_file(bound, file, size), promised(rules.DMA_BUF_RANGES))


@checks(rules.DMA_BUF_MEMORY_OFF)
def test_while_memory_is_off_it_cannot(
    bound: Bound, bar: int, page: int, promised: Promised
) -> None:
    """Made before it was turned off, or after; once it is on again all can; and once more."""
    with dma_buf(bound, bar, (0, page)) as one, dma_buf(bound, bar, (0, page)) as two:
        for _ in range(2):
            decode_memory(bound.cdev, on=False)
            with dma_buf(bound, bar, (0, page)) as after:
                for file in (one, two, after):
                    expect.refused(map_file(bound, file, page), promised(rules.DMA_BUF_MEMORY_OFF))
                decode_memory(bound.cdev)
                for file in (one, two, after):
                    expect.accepted(map_file(bound, file, page))


@checks(rules.DMA_BUF_MEMORY_OFF)
@devices("pm")
def test_in_d3hot_it_cannot(
    bound: Bound, bar: int, page: int, pci: PciDevice, promised: Promised
) -> None:
    """Until it is in D0 again."""
    control = pci.capabilities[regs.PCI_CAP_ID_PM] + regs.PCI_PM_CTRL
    with dma_buf(bound, bar, (0, page)) as file:
        bound.cdev.write_config(control, 2, regs.PCI_PM_CTRL_STATE_MASK)
        for _ in range(2):
            expect.refused(map_file(bound, file, page), promised(rules.DMA_BUF_MEMORY_OFF))
            decode_memory(bound.cdev)  # asleep it does not
        bound.cdev.write_config(control, 2, 0)
        expect.accepted(map_file(bound, file, page))


@checks(rules.DMA_BUF_ASLEEP)
def test_while_it_may_sleep_it_cannot(
    bound: Bound, bar: int, page: int, promised: Promised
) -> None:
    """Until it is told to stay awake."""
    with dma_buf(bound, bar, (0, page)) as file:
        for _ in range(2):
            expect.accepted(bound.cdev.try_feature(ENTRY))
            expect.refused(map_file(bound, file, page), promised(rules.DMA_BUF_ASLEEP))
            expect.accepted(bound.cdev.try_feature(EXIT))
            expect.accepted(map_file(bound, file, page))


@checks(rules.DMA_BUF_ASLEEP)
@pytest.mark.parametrize("how", ["made", "memory-on"])
def test_while_it_may_sleep_it_is_not_brought_back(
    bound: Bound, bar: int, page: int, promised: Promised, how: str
) -> None:
    """By making it then, nor by turning on the memory that is on."""
    made = [dma_buf(bound, bar, (0, page))] if how == "memory-on" else []
    expect.accepted(bound.cdev.try_feature(ENTRY))
    if how == "memory-on":
        decode_memory(bound.cdev)
    with made[0] if made else dma_buf(bound, bar, (0, page)) as file:
        expect.refused(map_file(bound, file, page), promised(rules.DMA_BUF_ASLEEP))


@checks(rules.DMA_BUF)
def test_woken_it_can_again(
    bound: Bound, bar: int, page: int, spec: BenchDevice, event: EventFd
) -> None:
    """By an access, which ends the low power."""
    port = bound.cdev.port
    with dma_buf(bound, bar, (0, page)) as file:
        fixups = (event.fixup(feature.FEATURE_MIN),)
        entered = bound.cdev.try_feature(WITH_WAKEUP, bytes(8), fixups=fixups)
        expect.equal("return of the entry", entered.ret, 0)
        expect.holds(suspends(port, spec.bdf), "suspended", runtime_status(port, spec.bdf))
        bound.cdev.read_config(regs.PCI_VENDOR_ID, 2)
        expect.equal("woken", event.count(), 1)
        expect.accepted(map_file(bound, file, page))


@checks(rules.DMA_BUF)
@devices("flr")
@pytest.mark.parametrize("by", ["ioctl", "device-control"])
def test_after_a_reset_it_can_again(
    bound: Bound, bar: int, page: int, pci: PciDevice, by: str
) -> None:
    """Its memory is where it was, and on as it was."""
    control = pci.capabilities[regs.PCI_CAP_ID_EXP] + regs.PCI_EXP_DEVCTL
    with dma_buf(bound, bar, (0, page)) as file:
        if by == "ioctl":
            expect.accepted(bound.cdev.try_reset())
        else:
            bound.cdev.write_config(control, 2, regs.PCI_EXP_DEVCTL_BCR_FLR)
        expect.accepted(map_file(bound, file, page))


@checks(rules.DMA_BUF_MEMORY_OFF)
@devices("flr")
def test_after_a_reset_with_memory_off_it_cannot(
    bound: Bound, bar: int, page: int, promised: Promised
) -> None:
    """Its memory is off as it was, until it is turned on."""
    with dma_buf(bound, bar, (0, page)) as file:
        decode_memory(bound.cdev, on=False)
        expect.accepted(bound.cdev.try_reset())
        expect.refused(map_file(bound, file, page), promised(rules.DMA_BUF_MEMORY_OFF))
        decode_memory(bound.cdev)
        expect.accepted(map_file(bound, file, page))


@checks(rules.DMA_BUF)
@devices("below-bridge")
def test_after_a_hot_reset_it_can_again(bound: Bound, bar: int, page: int) -> None:
    """Of a device that decodes memory, as its command register still says."""
    with dma_buf(bound, bar, (0, page)) as file:
        expect.accepted(bound.cdev.try_hot_reset())
        expect.accepted(map_file(bound, file, page))


@checks(rules.DMA_BUF_MEMORY_OFF)
@devices("below-bridge")
def test_after_a_hot_reset_with_memory_off_it_cannot(
    bound: Bound, bar: int, page: int, promised: Promised
) -> None:
    """Its memory is off as it was."""
    with dma_buf(bound, bar, (0, page)) as file:
        decode_memory(bound.cdev, on=False)
        expect.accepted(bound.cdev.try_hot_reset())
        expect.refused(map_file(bound, file, page), promised(rules.DMA_BUF_MEMORY_OFF))


def seen(edu: Edu, memory: Memory, iova: int = IOVA) -> int:
    """Four bytes as the device reads them there; what it cannot read is no register of its own."""
    memory.write(0, UNLIKELY.to_bytes(4, "little"))
    for at in (MEMORY_IOVA, iova):
        expect.equal("DMA ended", edu.read_memory(at, 4), True)
    expect.equal("DMA ended", edu.write_memory(MEMORY_IOVA, 4), True)
    return int.from_bytes(memory.read(0, 4), "little")


@pytest.fixture
def dma(bar: int, bound: Bound, edu: Edu, memory: Memory) -> Edu:
    """A device attached where memory is mapped, whose registers are in its first BAR."""
    expect.equal("BAR of its registers", bar, 0)
    expect.accepted(bound.iommufd.try_map_ioas(bound.ioas, memory, MEMORY_IOVA, memory.size))
    bound.cdev.attach(bound.ioas)
    return edu


@checks(rules.DMA_BUF_SLICE)
@devices("dma-stimulus")
def test_a_device_reaches_the_slice(
    bound: Bound, dma: Edu, pci: PciDevice, memory: Memory, page: int
) -> None:
    """Of the first, the second and the last page, or as much of all of it: its own registers."""
    size = pci.bars[0].size
    there = {at: dma.bar.read(at, 4) for at in (0, page, size - page)}
    expect.holds(there[0] != there[page], "pages that can be told apart", str(there))
    with dma_buf(bound, 0, (0, size)) as whole:
        for at, register in there.items():
            with dma_buf(bound, 0, (at, page)) as file:
                for mapped, start in ((file, 0), (whole, at)):
                    expect.accepted(keep_file(bound, mapped, page, start))
                    expect.equal(f"register at {at:#x}", seen(dma, memory), register)
                    unmap(bound, page)


@checks(rules.DMA_BUF_REVOKED)
@devices("dma-stimulus")
@pytest.mark.parametrize("how", ["memory-off", "low-power"])
def test_what_was_mapped_is_out_of_reach(
    bound: Bound, dma: Edu, memory: Memory, page: int, how: str
) -> None:
    """Though memory is on again; mapped anew, it is not."""
    register = dma.bar.read(0, 4)
    with dma_buf(bound, 0, (0, page)) as file:
        expect.accepted(keep_file(bound, file, page))
        expect.equal("reached", seen(dma, memory) == register, True)
        if how == "memory-off":
            decode_memory(bound.cdev, on=False)
            decode_memory(bound.cdev)
        else:
            expect.accepted(bound.cdev.try_feature(ENTRY))
            expect.accepted(bound.cdev.try_feature(EXIT))
        expect.equal("reached afterwards", seen(dma, memory) == register, False)
        unmap(bound, page)
        expect.accepted(keep_file(bound, file, page))
        expect.equal("reached anew", seen(dma, memory) == register, True)


@checks(rules.DMA_BUF_REVOKED)
@devices("dma-stimulus")
def test_closed_it_is_out_of_reach(
    bound: Bound, dma: Edu, memory: Memory, page: int, path: str
) -> None:
    """For its next user, who attaches it where its last one had it mapped."""
    register = dma.bar.read(0, 4)
    with dma_buf(bound, 0, (0, page)) as file:
        expect.accepted(keep_file(bound, file, page))
        expect.equal("reached", seen(dma, memory) == register, True)
        bound.cdev.close()
        with Cdev.at(bound.cdev.port, path) as again:
            again.bind(bound.iommufd)
            again.attach(bound.ioas)
            edu = Edu(again)
            edu.enable()
            expect.equal("reached afterwards", seen(edu, memory) == register, False)
