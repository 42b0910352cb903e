# SPDX-License-Identifier: MIT
"""Access through a mapping that is taken away and given back."""

import time
from collections.abc import Callable, Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.abi import vfio
from vfiospec.abi import vfio_feature as feature
from vfiospec.device.call import checked
from vfiospec.device.device import Device
from vfiospec.device.files import Mapping
from vfiospec.device.ops import Fork, Load, Race, ReadFile
from vfiospec.device.pci import SYSFS, PciDevice
from vfiospec.device.port import ForkedPort, Port
from vfiospec.device.region import Region, plain_offset
from vfiospec.lab.bench import PortSysfs
from vfiospec.rules import mmap as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

Mapped = list[tuple[Region, Mapping]]
WIDTHS = (1, 2, 4, 8)
D3HOT = 3
ROUNDS = 100
SIGNALLED = -100  # a Race tells of signal S as errno -100-S
MINOR_FAULTS = 7  # fields after the name in /proc/self/stat up to the count of minor faults


def faults(mapping: Mapping, signal: int, offsets: tuple[int, ...]) -> None:
    """Loads and stores at these offsets fault there, with this signal."""
    for offset in offsets:
        for width in WIDTHS:
            at = offset // width * width
            for touch, reply in (
                ("load", mapping.load(at, width)),
                ("store", mapping.store(at, width, 0)),
            ):
                what = f"{touch} of {width} bytes at {at:#x}"
                expect.equal(f"signal of a {what}", reply.signal, signal)
                expect.equal(f"address of a {what}", reply.address, mapping.address + at)


def ends(mapping: Mapping) -> tuple[int, ...]:
    """The first word of a mapping, one in the middle, the last."""
    return 0, mapping.size // 2 + 16, mapping.size - 8


def works(mapping: Mapping) -> None:
    """Loads from both ends of a mapping give no signal."""
    for offset in ends(mapping):
        expect.equal(f"signal of a load at {offset:#x}", mapping.load(offset, 4).signal, 0)


@checks(rules.FAULT, rules.RECOVERS)
@pytest.mark.parametrize("touched", [False, True], ids=["untouched", "touched"])
def test_memory_that_is_off_faults_and_recovers(
    mapped: Mapped,
    memory: Callable[[bool], None],
    promised: Callable[[Rule], int],
    *,
    touched: bool,
) -> None:
    """Each BAR, several times over, with one and the same mapping."""
    for _ in range(3):
        for _, mapping in mapped:
            if touched:
                works(mapping)
        memory(False)
        for _, mapping in mapped:
            faults(mapping, promised(rules.FAULT), ends(mapping))
        memory(True)
    for _, mapping in mapped:
        works(mapping)


@checks(rules.FAULT)
def test_a_mapping_made_while_memory_is_off(
    mappable: list[Region], page: int, memory: Callable[[bool], None],
    promised: Callable[[Rule], int],
) -> None:  # fmt: skip
    """It is made, faults, and works once memory is on."""
    memory(False)
    for region in mappable:
        with region.map(page) as mapping:
            faults(mapping, promised(rules.FAULT), (0, page - 8))
            memory(True)
            works(mapping)
            memory(False)


@checks(rules.FAULT)
@devices("vga")
def test_all_pages_are_taken_away(
    framebuffer: Region, page: int, memory: Callable[[bool], None], promised: Callable[[Rule], int]
) -> None:
    """Of two mappings, one of which starts in the middle."""
    whole = framebuffer.map()
    size = int(framebuffer.info.size)
    call, part = framebuffer.try_map(size // 2, offset=size // 2)
    assert part is not None, call
    with whole, part:
        places = [(whole, n * page) for n in range(0, size // page, 97)]
        places += [(part, n * page) for n in range(0, size // 2 // page, 97)]
        for mapping, offset in places:
            mapping.load(offset, 1)
        memory(False)
        signals = {mapping.load(offset, 1).signal for mapping, offset in places}
        memory(True)
        again = {mapping.load(offset, 1).signal for mapping, offset in places}
    expect.equal("signals", signals, {promised(rules.FAULT)})
    expect.equal("signals once it is on", again, {0})


@checks(rules.FORKED, rules.FAULT)
def test_a_child_has_the_mapping_and_loses_access_too(
    mapped: Mapped, port: Port, memory: Callable[[bool], None], promised: Callable[[Rule], int]
) -> None:
    """Pages touched before the fork and after."""
    for _, mapping in mapped:
        mapping.load(0, 4)
    process = port.handle()
    port.do(Fork(process))
    child = ForkedPort(port, process)
    loads = [Load(mapping.at(o), 4) for _, mapping in mapped for o in (0, mapping.size - 4)]
    before = {reply.signal for reply in child.run(loads)}
    memory(False)
    off = {reply.signal for reply in child.run(loads)}
    memory(True)
    after = {reply.signal for reply in child.run(loads)}
    child.close()
    expect.equal("signals in the child", before, {0})
    expect.equal("signals in the child with memory off", off, {promised(rules.FAULT)})
    expect.equal("signals in the child with memory on", after, {0})


@pytest.fixture
def power(decoding: Device, pci: PciDevice) -> Iterator[Callable[[int], None]]:
    """Set the power state through the device's capability; D0 afterwards."""
    at = pci.capabilities[regs.PCI_CAP_ID_PM] + regs.PCI_PM_CTRL

    def write(state: int) -> None:
        now = decoding.read_config(at, 2) & ~regs.PCI_PM_CTRL_STATE_MASK
        decoding.write_config(at, 2, now | state)

    yield write
    write(0)


@checks(rules.D3HOT, rules.RECOVERS)
@devices("pm")
@pytest.mark.parametrize("touched", [False, True], ids=["untouched", "touched"])
def test_d3hot(
    mapped: Mapped, power: Callable[[int], None], promised: Callable[[Rule], int], *, touched: bool
) -> None:
    """Memory decoding stays on all the while; in D0 the mapping works."""
    for _, mapping in mapped:
        if touched:
            works(mapping)
    power(D3HOT)
    signals = {mapping.load(o, 4).signal for _, mapping in mapped for o in ends(mapping)}
    power(0)
    expect.equal("signals in D3hot", signals, {promised(rules.D3HOT)})
    for _, mapping in mapped:
        works(mapping)


@pytest.fixture
def low_power(decoding: Device) -> Iterator[Callable[[bool], None]]:
    """Enter low power, or leave it; left afterwards."""
    change = feature.VFIO_DEVICE_FEATURE_SET
    entry = feature.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY
    leave = feature.VFIO_DEVICE_FEATURE_LOW_POWER_EXIT
    if not decoding.try_feature(feature.VFIO_DEVICE_FEATURE_PROBE | change | entry).ok:
        pytest.skip("the kernel has no VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY")
    yield lambda on: void(checked(decoding.try_feature(change | (entry if on else leave))))
    checked(decoding.try_feature(change | leave))


def void(_: object) -> None:
    """Leave a value alone."""


@checks(rules.LOW_POWER, rules.RECOVERS)
def test_low_power_lasts_until_its_exit(
    mapped: Mapped,
    low_power: Callable[[bool], None],
    pci: PciDevice,
    promised: Callable[[Rule], int],
) -> None:
    """Even after a read has woken the device."""
    for _, mapping in mapped:
        works(mapping)
    low_power(True)
    for region, mapping in mapped:
        faults(mapping, promised(rules.LOW_POWER), ends(mapping))
        expect.accepted(region.try_read(plain_offset(pci, region.index), 4), 4)
        faults(mapping, promised(rules.LOW_POWER), ends(mapping))
    low_power(False)
    for _, mapping in mapped:
        works(mapping)


@checks(rules.LOW_POWER)
def test_a_fault_does_not_wake_a_device(
    mapped: Mapped, low_power: Callable[[bool], None], pci: PciDevice, sysfs: PortSysfs
) -> None:
    """It sleeps before and after."""
    status = f"{SYSFS}/{pci.bdf}/power/runtime_status"
    if not sysfs.exists(status):
        pytest.skip("the kernel has no runtime power management: it needs CONFIG_PM")
    low_power(True)
    end = time.monotonic() + 5
    while sysfs.read(status) != "suspended" and time.monotonic() < end:
        pass
    expect.equal("status", sysfs.read(status), "suspended")
    for _, mapping in mapped:
        mapping.load(0, 4)
    expect.equal("status", sysfs.read(status), "suspended")


@checks(rules.RESET, rules.RECOVERS)
def test_a_mapping_works_after_a_reset(mapped: Mapped, decoding: Device) -> None:
    """With memory decoding as it was before."""
    if not decoding.get_info().struct.flags & vfio.VFIO_DEVICE_FLAGS_RESET:
        pytest.skip("the device cannot be reset on its own")
    command = decoding.read_config(regs.PCI_COMMAND, 2)
    for _, mapping in mapped:
        works(mapping)
    expect.accepted(decoding.try_reset())
    expect.equal("command", decoding.read_config(regs.PCI_COMMAND, 2), command)
    for _, mapping in mapped:
        works(mapping)


@checks(rules.RESET)
def test_a_reset_takes_the_pages_away(mapped: Mapped, decoding: Device, port: Port) -> None:
    """The first load after it is a minor fault, each time; without a reset, loads are none."""
    if not decoding.get_info().struct.flags & vfio.VFIO_DEVICE_FLAGS_RESET:
        pytest.skip("the device cannot be reset on its own")
    stat = ReadFile("/proc/self/stat", 1024)
    for _, mapping in mapped:
        load = Load(mapping.at(), 4)
        plain, after = [], []
        for _ in range(4):
            counts = [minor_faults(r.bytes) for r in port.run([stat, load, stat])[::2]]
            plain.append(counts[1] - counts[0])
            expect.accepted(decoding.try_reset())
            counts = [minor_faults(r.bytes) for r in port.run([stat, load, stat])[::2]]
            after.append(counts[1] - counts[0])
        expect.equal("faults of a load of a page that is there", min(plain[1:]), 0)
        expect.holds(min(after) > 0, "a fault after each reset", f"{after} faults")


def minor_faults(stat: bytes) -> int:
    """The count in /proc/self/stat."""
    return int(stat.rpartition(b")")[2].split()[MINOR_FAULTS])


@checks(rules.RACE)
@devices("irq-stimulus")
def test_loads_while_memory_goes_off_and_on(
    mapped: Mapped, decoding: Device, promised: Callable[[Rule], int]
) -> None:
    """Each gives what the device has, or faults; nothing else."""
    command = decoding.read_config(regs.PCI_COMMAND, 2)
    off, on = command & ~regs.PCI_COMMAND_MEMORY, command
    config = decoding.region(vfio.VFIO_PCI_CONFIG_REGION_INDEX)
    toggle = tuple(config.write_op(regs.PCI_COMMAND, v.to_bytes(2, "little")) for v in (off, on))
    loads = tuple(Load(mapping.at(), 4) for _, mapping in mapped)
    values = decoding.port.do(Race((toggle, loads, loads), ROUNDS)).values
    answers = [values[i : i + 5] for i in range(0, len(values), 5)]
    signalled = SIGNALLED - promised(rules.RACE)
    for program, _, _, errno, _ in answers:
        wanted = [0] if program == 0 else [0, signalled]
        expect.one_of(f"answer of program {program}", errno, wanted)
    expect.equal("answers", sum(a[4] for a in answers), ROUNDS * (len(toggle) + 2 * len(loads)))
