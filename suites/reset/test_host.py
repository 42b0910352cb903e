# SPDX-License-Identifier: MIT
"""The two resets of a device that nobody has open, told apart by what the host sees in between.

Either hides it from a user if the other is not made.
"""

import mmap as m
import os
from collections.abc import Callable, Iterator

import pytest

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.device.access import Access, Attach
from vfiospec.device.files import File, Mapping
from vfiospec.device.ops import Pread, Pwrite
from vfiospec.device.pci import SYSFS
from vfiospec.device.port import Port
from vfiospec.device.scratch import Scratch, decode_memory
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.rules import reset as rules
from vfiospec.session.marks import checks, devices

pytestmark = devices("flr")
Mapped = Callable[[], Mapping]


@pytest.fixture
def awake(closed: int, machine: object, spec: BenchDevice, sysfs: PortSysfs) -> Iterator[str]:
    """Where the device is in sysfs, which the host keeps awake while it is closed."""
    del closed, machine
    control = f"{SYSFS}/{spec.bdf}/power/control"
    before = sysfs.read(control)
    sysfs.write(control, "on")
    yield f"{SYSFS}/{spec.bdf}"
    sysfs.write(control, before)


@pytest.fixture
def by_host(awake: str, port: Port, scratch: Scratch, page: int) -> Mapped:
    """Maps the register of the closed device without VFIO, once it decodes memory."""

    def map_it() -> Mapping:
        with File.open(port, f"{awake}/config", os.O_RDWR) as config:
            command = port.do(Pread(config.handle, 2, regs.PCI_COMMAND)).value
            command |= regs.PCI_COMMAND_MEMORY
            port.do(Pwrite(config.handle, command.to_bytes(2, "little"), regs.PCI_COMMAND))
        with File.open(port, f"{awake}/resource{scratch.bar}", os.O_RDWR) as resource:
            prot = m.PROT_READ | m.PROT_WRITE
            reply, mapping = Mapping.of(resource, page, prot=prot, flags=m.MAP_SHARED)
        expect.holds(mapping is not None, "a mapping by sysfs", f"errno {reply.errno}")
        assert mapping is not None
        return mapping

    return map_it


@pytest.fixture
def group(attach: Attach) -> Iterator[Access]:
    """The group in a container, none of its devices open."""
    made = attach()
    yield made
    made.close()


@checks(rules.CLOSE_DEVICE)
def test_it_is_reset_by_the_last_close(
    group: Access, spec: BenchDevice, scratch: Scratch, by_host: Mapped
) -> None:
    """Not only once somebody opens it again."""
    with group.open(spec.bdf) as device:
        decode_memory(device)
        scratch.write(device, scratch.value)
        expect.equal("register while open", scratch.read(device), scratch.value)
    with by_host() as mapping:
        expect.equal("register once closed", mapping.load(scratch.offset, scratch.width).value, 0)


@checks(rules.OPEN_DEVICE)
def test_it_is_reset_by_the_first_open(
    group: Access, spec: BenchDevice, scratch: Scratch, by_host: Mapped
) -> None:
    """What the host did to it since the last close is gone."""
    with by_host() as mapping:
        mapping.store(scratch.offset, scratch.width, scratch.value)
        written = mapping.load(scratch.offset, scratch.width).value
        expect.equal("register while closed", written, scratch.value)
    with group.open(spec.bdf) as device:
        decode_memory(device)
        expect.equal("register at the first open", scratch.read(device), 0)
