# SPDX-License-Identifier: MIT
"""Calls on what a device's DMA goes through, the same whatever way it was reached."""

from errno import EEXIST
from typing import Final

from vfiospec.abi import iommufd as abi
from vfiospec.abi import vfio
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device.call import Call
from vfiospec.device.edu import IDS, Edu
from vfiospec.device.files import Memory
from vfiospec.device.scratch import decode_memory
from vfiospec.device.survey import CONFIG, Subject, Telling
from vfiospec.device.ways import STANDS_IN

READ, WRITE = iommu.VFIO_DMA_MAP_FLAG_READ, iommu.VFIO_DMA_MAP_FLAG_WRITE
BASE: Final = 1 << 20
_MSI_WINDOW: Final = 0xFEE00000  # where interrupts are written to, on x86: no memory of DMA
_TOP: Final = 1 << 64
FEW: Final = 8  # pages


def _unmap(subject: Subject, iova: int, size: int) -> str:
    """Unmap, in words: how many pages it says, or the error."""
    call = subject.access.mappings.try_unmap(iova, size)
    return pages(call, subject.page) if call.ok else call.answer()


def pages(call: Call, page: int) -> str:
    """What an answer says was unmapped."""
    if call.name.startswith("IOMMU_IOAS"):
        size = int(call.unpack(abi.iommu_ioas_unmap).length)
    else:
        size = int(call.unpack(iommu.vfio_iommu_type1_dma_unmap).size)
    return f"{size // page} pages" if size % page == 0 else f"{size} bytes"


def _mapped(subject: Subject, memory: Memory, count: int) -> str:
    """Which of the first pages are mapped, by their numbers: those cannot be mapped once more."""
    found = []
    for number in range(count):
        iova = BASE + number * subject.page
        call = subject.access.mappings.try_map(memory, iova, subject.page)
        if call.errno == EEXIST:
            found.append(str(number))
    return " ".join(found) or "none"


def _clear(subject: Subject) -> None:
    """Whatever is left below 2^32, one page after the other: no way may need it whole."""
    subject.access.mappings.try_unmap(BASE - subject.page, (FEW + 2) * subject.page)
    for number in range(-1, FEW + 1):
        subject.access.mappings.try_unmap(BASE + number * subject.page, subject.page)


def map_dma(subject: Subject) -> Telling:
    """What can be mapped and what not; and what is mapped then."""
    mappings, page = subject.access.mappings, subject.page
    with Memory(mappings.port, FEW * page, guard=True) as memory:
        whole = memory.size
        for what, vaddr, iova, size, flags in (
            ("of memory", memory.at(), BASE, whole, READ | WRITE),
            ("of the same again", memory.at(), BASE, whole, READ | WRITE),
            ("over the start", memory.at(), BASE - page, 2 * page, READ | WRITE),
            ("over the end", memory.at(), BASE + whole - page, 2 * page, READ | WRITE),
            ("within", memory.at(), BASE + page, page, READ | WRITE),
            ("around", memory.at(), BASE - page, whole + 2 * page, READ | WRITE),
            ("for reading", memory.at(), 2 * BASE, page, READ),
            ("for writing", memory.at(), 3 * BASE, page, WRITE),
            ("for neither", memory.at(), 4 * BASE, page, 0),
            ("of no bytes", memory.at(), 5 * BASE, 0, READ | WRITE),
            ("of half a page", memory.at(), 5 * BASE, page // 2, READ | WRITE),
            ("at half a page", memory.at(), 5 * BASE + page // 2, page, READ | WRITE),
            ("of memory from half a page on", memory.at(page // 2), 5 * BASE, page, READ | WRITE),
            ("of memory with a hole behind", memory.at(), 5 * BASE, whole + page, READ | WRITE),
            ("of no memory", 0, 5 * BASE, page, READ | WRITE),
            ("that wraps around", memory.at(), _TOP - page, 2 * page, READ | WRITE),
            ("of memory that wraps around", _TOP - page, 5 * BASE, 2 * page, READ | WRITE),
            ("at the last page there is", memory.at(), _TOP - page, page, READ | WRITE),
            ("where interrupts go", memory.at(), _MSI_WINDOW, page, READ | WRITE),
        ):
            if not flags & (READ | WRITE) and subject.way in STANDS_IN:
                continue  # it would warn: finding compat-map-of-neither-warns
            yield f"map {what}", mappings.try_map(vaddr, iova, size, flags).answer()
        yield "unmapped of the first", _unmap(subject, BASE, whole)
        for n in range(2, 6):
            yield f"unmapped at {n} MiB", _unmap(subject, n * BASE, page)
    _clear(subject)


def map_bar(subject: Subject) -> Telling:
    """A BAR of the device itself, for other devices to reach."""
    device, page = subject.device, subject.page
    before = decode_memory(device)
    for index in range(CONFIG):
        info = device.try_get_region_info(index).unpack(vfio.vfio_region_info)
        if not info.flags & vfio.VFIO_REGION_INFO_FLAG_MMAP or info.size < page:
            continue
        _, mapping = device.region(index).try_map(page)
        if mapping is None:
            continue
        with mapping:
            call = subject.access.mappings.try_map(mapping.at(), BASE, page)
            yield "map of a BAR", call.answer()
            if call.ok:
                subject.access.mappings.try_unmap(BASE, page)
        break
    device.write_config(4, 2, before)


def unmap_dma(subject: Subject) -> Telling:
    """Whole mappings, several, parts of one, nothing; each from the same start."""
    mappings, page = subject.access.mappings, subject.page
    with Memory(mappings.port, FEW * page) as memory:
        for what, start, count in (
            ("all of one", 0, 4),
            ("more than one", -1, 6),
            ("two", 0, 6),
            ("the start of one", 0, 1),
            ("the middle of one", 1, 2),
            ("the end of one", 3, 1),
            ("the end of one and all of the next", 3, 3),
            ("from before one to its middle", -1, 3),
            ("what was never mapped", 6, 2),
            ("no pages", 0, 0),
        ):
            mappings.map(memory, BASE, 4 * page)
            mappings.map(memory.at(4 * page), BASE + 4 * page, 2 * page)
            yield f"unmap {what}", _unmap(subject, BASE + start * page, count * page)
            yield f"mapped still, after {what}", _mapped(subject, memory, 6)
            _clear(subject)
        for what, iova, size in (
            ("half a page", BASE, page // 2),
            ("from half a page on", BASE + page // 2, page),
            ("what wraps around", _TOP - page, 2 * page),
            ("the last page there is", _TOP - page, page),
        ):
            yield f"unmap {what}", _unmap(subject, iova, size)


def iova_ranges(subject: Subject) -> Telling:
    """Where the device's memory may be mapped, and in what steps."""
    mappings = subject.access.mappings
    yield "ranges", ", ".join(f"{first:#x}-{last:#x}" for first, last in mappings.iova_ranges())
    yield "step", f"{mappings.page_size():#x}"


def dma(subject: Subject) -> Telling:
    """What a device that does DMA at our word reaches, and what not. Nothing for other devices."""
    if subject.ids != IDS:
        return
    mappings, page = subject.access.mappings, subject.page
    edu, pattern = Edu(subject.device), bytes(range(1, 65))
    edu.enable()
    with Memory(mappings.port, FEW * page) as memory:
        memory.write(0, pattern)
        mappings.map(memory, BASE, page, READ)
        mappings.map(memory.at(page), BASE + page, page, READ | WRITE)
        edu.read_memory(BASE, len(pattern))

        def arrives(iova: int, page_of_memory: int) -> str:
            at = page_of_memory * page
            memory.write(at, bytes(len(pattern)))
            edu.write_memory(iova, len(pattern))
            return "arrives" if memory.read(at, len(pattern)) == pattern else "does not"

        yield "a write to what is mapped", arrives(BASE + page, 1)
        yield "a write to what is not mapped", arrives(BASE + 2 * page, 2)
        yield "a write to what may be read", arrives(BASE, 0)
        edu.enable(bus_master=False)
        yield "a write by who is not bus master", arrives(BASE + page, 1)
        edu.enable()
        mappings.try_unmap(BASE, 2 * page)
        yield "a write to what was unmapped", arrives(BASE + page, 1)
    _clear(subject)
