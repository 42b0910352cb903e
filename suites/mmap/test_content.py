# SPDX-License-Identifier: MIT
"""What a mapping shows, wherever it starts, however often it is made, and after it was moved."""

import re
from collections.abc import Callable
from signal import SIGSEGV

import pytest

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.abi import vfio
from vfiospec.device.access import Attach
from vfiospec.device.call import Call
from vfiospec.device.files import Mapping, Memory
from vfiospec.device.ops import Munmap, ReadFile, Syscall
from vfiospec.device.pci import ROM, PciDevice
from vfiospec.device.port import Port
from vfiospec.device.region import Region, table_window
from vfiospec.lab.bench import BenchDevice
from vfiospec.rules import mmap as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

Mapped = list[tuple[Region, Mapping]]
HUGE = 2 << 20
MAYMOVE, FIXED = 1, 2  # of mremap(2)
NOT_GIVEN_BACK = {"io", "pf", "de", "dd"}  # VM_IO, VM_PFNMAP, VM_DONTEXPAND, VM_DONTDUMP
COPIED = "dc"  # VM_DONTCOPY is not set: children have it


def marks(region: Region, page: int) -> dict[int, int]:
    """Offsets of some pages and the values that are put there."""
    count = int(region.info.size) // page
    chosen = {0, 1, 2, count - 1, count // 2, *range(0, count, max(count // 8, 1) | 1)}
    return {n * page + 8 * (n % 16): 0x5A000000 + n for n in sorted(chosen) if n < count}


def put(region: Region, values: dict[int, int]) -> dict[int, int]:
    """Write values by pwrite(2); what was there."""
    before = {offset: region.read(offset, 4) for offset in values}
    for offset, value in values.items():
        region.write(offset, 4, value)
    return before


@checks(rules.CONTENT)
@devices("vga")
def test_each_page_shows_the_page_at_its_offset(framebuffer: Region, page: int) -> None:
    """Values written by pwrite(2) all over the region are loaded from the mapping."""
    values = marks(framebuffer, page)
    before = put(framebuffer, values)
    with framebuffer.map() as mapping:
        seen = {offset: mapping.load(offset, 4).value for offset in reversed(values)}
    put(framebuffer, before)
    expect.equal("values loaded", seen, dict(reversed(values.items())))


@checks(rules.CONTENT)
@devices("vga")
@pytest.mark.parametrize("start", [1, 3, 511, 512, 513, 1024, -1, -512], ids="page{}".format)
def test_a_mapping_of_a_part_shows_that_part(framebuffer: Region, page: int, start: int) -> None:
    """From any page on, to the end of the region."""
    size = int(framebuffer.info.size)
    at = start * page if start > 0 else size + start * page
    values = {at: 0x600D0001, at + page // 2: 0x600D0002, size - 4: 0x600D0003}
    before = put(framebuffer, values)
    call, mapping = framebuffer.try_map(size - at, offset=at)
    assert mapping is not None, call
    with mapping:
        seen = {offset: mapping.load(offset - at, 4).value for offset in values}
    put(framebuffer, before)
    expect.equal("values loaded", seen, values)


@checks(rules.CONTENT)
@devices("irq-stimulus")
def test_a_register_is_the_same_either_way(mapped: Mapped) -> None:
    """Edu's identification, and its liveness check, which takes what is stored."""
    for region, mapping in mapped:
        expect.equal("identification", mapping.load(0, 4).value, region.read(0, 4))
        mapping.store(4, 4, 0x13579BDF)
        expect.equal("liveness", region.read(4, 4), 0x13579BDF ^ 0xFFFFFFFF)


@checks(rules.CONTENT)
@devices("pcie", "msix")
def test_registers_of_a_function_are_the_same_either_way(
    mapped: Mapped, pci: PciDevice, page: int
) -> None:
    """The first words of each page of a BAR that do not change by themselves."""
    for region, mapping in mapped:
        hidden = table_window(pci, region.index)
        for offset in range(0, min(int(region.info.size), 4 * page), page):
            if offset in hidden:
                continue
            first, second = region.read(offset, 4), region.read(offset, 4)
            if first == second:
                expect.equal(f"word at {offset:#x}", mapping.load(offset, 4).value, first)


@checks(rules.CONTENT)
@devices("vga")
def test_two_mappings_show_the_same(framebuffer: Region, page: int) -> None:
    """What is stored through one is loaded through the other, where they overlap."""
    before = put(framebuffer, {page: 0, 2 * page: 0})
    _, one = framebuffer.try_map(3 * page)
    _, two = framebuffer.try_map(3 * page, offset=page)
    assert one is not None
    assert two is not None
    one.store(page, 4, 0x0BADCAFE)
    two.store(page, 4, 0x00C0FFEE)
    seen = (two.load(0, 4).value, one.load(2 * page, 4).value)
    one.unmap()
    left = two.load(0, 4).value
    two.unmap()
    put(framebuffer, before)
    expect.equal("values loaded", seen, (0x0BADCAFE, 0x00C0FFEE))
    expect.equal("after one is gone", left, 0x0BADCAFE)


@checks(rules.MSIX)
@devices("msix")
def test_the_table_is_mapped(mapped: Mapped, pci: PciDevice) -> None:
    """Each vector is masked there, as after a reset; read(2) shows ones instead."""
    for region, mapping in mapped:
        window = table_window(pci, region.index)
        for entry in window[:: regs.PCI_MSIX_ENTRY_SIZE]:
            control = mapping.load(entry + regs.PCI_MSIX_ENTRY_VECTOR_CTRL, 4).value
            expect.equal(f"control of the vector at {entry:#x}", control, 1)


@checks(rules.SPECIAL)
def test_a_mapping_is_no_ordinary_memory(mapped: Mapped, port: Port) -> None:
    """The kernel's flags of it, as /proc/self/smaps tells them."""
    text = port.do(ReadFile("/proc/self/smaps", 1 << 20)).bytes.decode()
    if "VmFlags:" not in text:
        pytest.skip("no VmFlags in /proc/self/smaps: it needs CONFIG_PROC_PAGE_MONITOR")
    for region, mapping in mapped:
        found = re.search(rf"^{mapping.address:08x}-(?s:.*?)^VmFlags: (.*)$", text, re.MULTILINE)
        assert found, f"no mapping at {mapping.address:#x}"
        flags = set(found[1].split())
        expect.equal(f"flags BAR {region.index} lacks", NOT_GIVEN_BACK - flags, set())
        expect.equal(f"{COPIED} of BAR {region.index}", COPIED in flags, False)


@checks(rules.SPECIAL)
def test_advice_and_locks_leave_it_alone(
    mapped: Mapped, port: Port, promised: Callable[[Rule], int]
) -> None:
    """Its pages are not given back, and there is nothing to lock."""
    dontneed = 4
    for _, mapping in mapped:
        first = mapping.load(mapping.size - 4, 4)
        reply = port.do(Syscall("madvise", (mapping.address, mapping.size, dontneed)))
        expect.refused(Call("madvise", "MADV_DONTNEED", 0, reply), promised(rules.SPECIAL))
        for name in ("mlock", "munlock"):
            reply = port.do(Syscall(name, (mapping.address, mapping.size)))
            expect.accepted(Call(name, "a BAR", 0, reply))
        expect.equal("signal", (first.signal, mapping.load(0, 4).signal), (0, 0))


@checks(rules.GROW)
@pytest.mark.parametrize("flags", [0, MAYMOVE], ids=["in-place", "may-move"])
def test_a_mapping_does_not_grow(
    mappable: list[Region], page: int, flags: int, port: Port, promised: Callable[[Rule], int]
) -> None:
    """Not beyond the region, and not within it either."""
    for region in mappable:
        with region.map(page) as mapping:
            for size in (2 * page, 4 * page):
                reply = port.do(Syscall("mremap", (mapping.address, page, size, flags)))
                expect.refused(Call("mremap", f"to {size}", 0, reply), promised(rules.GROW))
            expect.equal("signal", mapping.load(0, 4).signal, 0)


@checks(rules.MOVED)
@devices("vga")
@pytest.mark.parametrize("shift", [0, 5, 512], ids="by-{}-pages".format)
def test_a_moved_mapping_shows_the_same(
    framebuffer: Region, page: int, shift: int, port: Port
) -> None:
    """Also at an address where the kernel can use huge pages, and one where it cannot."""
    size = int(framebuffer.info.size) // 2
    values = {o: v for o, v in marks(framebuffer, page).items() if o < size}
    values |= {HUGE - 4: 0x600D0004, HUGE: 0x600D0005}
    before = put(framebuffer, values)
    mapping = framebuffer.map(size)
    with Memory(port, size + 3 * HUGE) as room:
        start = -room.address % HUGE + HUGE + shift * page
        to = (mapping.address, size, size, MAYMOVE | FIXED, room.address + start)
        moved, _ = port.run([Syscall("mremap", to), Munmap(mapping.handle)])
        seen = {}
        if moved.ret == room.address + start:
            view = Mapping(port, room.handle, size, room.address)
            seen = {offset: view.load(start + offset, 4).value for offset in values}
    put(framebuffer, before)
    expect.equal("values loaded", seen, values)


@checks(rules.MOVED)
@devices("vga")
def test_what_is_left_of_a_mapping_shows_the_same(
    framebuffer: Region, page: int, port: Port
) -> None:
    """After the pages before it, between it, and behind it were unmapped."""
    values = {n * page: 0x600D0100 + n for n in range(8)}
    before = put(framebuffer, values)
    with framebuffer.map(8 * page) as mapping:
        for gone in (0, 3, 7):
            reply = port.do(Syscall("munmap", (mapping.address + gone * page, page)))
            expect.accepted(Call("munmap", f"page {gone}", 0, reply))
        left = {n * page: values[n * page] for n in (1, 2, 4, 5, 6)}
        seen = {offset: mapping.load(offset, 4).value for offset in left}
        signals = {mapping.load(n * page, 4).signal for n in (0, 3, 7)}
    put(framebuffer, before)
    expect.equal("values loaded", seen, left)
    expect.equal("signals of what is gone", signals, {SIGSEGV})


@checks(rules.OUTLIVES)
def test_a_mapping_outlives_its_files(attach: Attach, spec: BenchDevice, page: int) -> None:
    """Pages that were touched and pages that were not."""
    own = attach()
    device = own.open(spec.bdf)
    regions = [device.region(i) for i in range(ROM)]
    found = [r for r in regions if r.info.flags & vfio.VFIO_REGION_INFO_FLAG_MMAP]
    mappings = [r.map(min(int(r.info.size), 2 * page)) for r in found]
    for mapping in mappings:
        mapping.load(0, 4)
    device.close()
    own.close()
    signals = [mapping.load(at, 4).signal for mapping in mappings for at in (0, mapping.size - 4)]
    for mapping in mappings:
        mapping.unmap()
    expect.equal("signals", signals, [0] * 2 * len(mappings))
