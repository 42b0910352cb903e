# SPDX-License-Identifier: MIT
"""The structure GET_INFO fills, to its last byte, and the capabilities behind it."""

from collections.abc import Callable

from vfiospec import expect
from vfiospec.abi import caps, pci, vfio
from vfiospec.device.device import DEVICE_INFO, Device
from vfiospec.device.files import Memory
from vfiospec.device.info import GET_INFO
from vfiospec.device.pci import PciDevice
from vfiospec.rules import conventions
from vfiospec.rules import device_info as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

ATOMIC = vfio.VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP
# DEVCAP2 has the three widths side by side, as the capability has.
ATOMIC_SHIFT = pci.PCI_EXP_DEVCAP2_ATOMIC_COMP32.bit_length() - 1
ATOMIC_WIDTHS = (
    vfio.VFIO_PCI_ATOMIC_COMP32 | vfio.VFIO_PCI_ATOMIC_COMP64 | vfio.VFIO_PCI_ATOMIC_COMP128
)


def completed(config: PciDevice) -> int:
    """The AtomicOp widths the device says it completes, as VFIO_PCI_ATOMIC_COMP* bits."""
    exp = config.capabilities.get(pci.PCI_CAP_ID_EXP)
    if exp is None:
        return 0
    return config.u32(exp + pci.PCI_EXP_DEVCAP2) >> ATOMIC_SHIFT & ATOMIC_WIDTHS


@checks(rules.NO_CAPABILITIES)
def test_without_capabilities_the_rest_is_zero(
    device: Device, promised: Callable[[Rule], int]
) -> None:
    """cap_offset and padding are 0, and argsz is kept, unless CAPS is set."""
    known = promised(conventions.DEVICE_INFO_SIZE)
    call = expect.accepted(device.try_get_info(known))
    info = call.unpack(vfio.vfio_device_info)
    if not info.flags & vfio.VFIO_DEVICE_FLAGS_CAPS:
        rest = call.data[vfio.DEVICE_INFO_MIN : known]
        expect.equal("bytes behind num_irqs", rest.hex(" "), bytes(len(rest)).hex(" "))
        expect.equal("argsz", info.argsz, known)


@checks(rules.NO_CAPABILITIES)
def test_padding_is_zero(device: Device, promised: Callable[[Rule], int]) -> None:
    """What follows cap_offset in the structure is 0, with capabilities or without."""
    known = promised(conventions.DEVICE_INFO_SIZE)
    call = expect.accepted(device.try_get_info(4096))
    padding = call.data[vfio.vfio_device_info.end_of("cap_offset") : known]
    expect.equal("padding", padding.hex(" "), bytes(len(padding)).hex(" "))


@checks(rules.CAPS_FLAG)
def test_the_caps_flag_says_whether_there_are_capabilities(device: Device) -> None:
    """In a buffer with room for any chain, cap_offset leads to one just if the flag is set."""
    call = expect.accepted(device.try_get_info(4096))
    info = call.unpack(vfio.vfio_device_info)
    chain = list(caps.walk(call.data[:4096], info.cap_offset))
    expect.equal(
        "CAPS among the flags", bool(info.flags & vfio.VFIO_DEVICE_FLAGS_CAPS), bool(chain)
    )
    expect.holds(
        not chain or chain[0][0] >= DEVICE_INFO,
        f"capabilities from {DEVICE_INFO} on",
        f"cap_offset = {info.cap_offset}",
    )


@checks(rules.ATOMIC_COMPLETION)
def test_atomic_completion_is_what_the_device_completes(device: Device, pci: PciDevice) -> None:
    """The capability has no width beyond the device's own, and is absent without any."""
    found = device.get_info().capability(ATOMIC)
    if found is None:
        return
    cap = vfio.vfio_device_info_cap_pci_atomic_comp.unpack(found)
    expect.equal("version", cap.header.version, 1)
    expect.equal("reserved", cap.reserved, 0)
    expect.holds(cap.flags != 0, "a width at least", "flags = 0")
    expect.flags("flags", cap.flags, forbidden=~completed(pci) & 0xFFFFFFFF)


@checks(rules.COMPLETE)
def test_the_last_byte_is_written(
    device: Device, memory: Memory, promised: Callable[[Rule], int]
) -> None:
    """A structure whose last byte, or last field, has no memory behind it is refused."""
    known = promised(conventions.DEVICE_INFO_SIZE)
    for short in (known - 1, known - 4):
        memory.write(memory.size - short, GET_INFO.pack(known, size=short))
        call = device.try_ioctl(
            vfio.VFIO_DEVICE_GET_INFO, memory.tail(short), what=f"{short} bytes, not {known}"
        )
        expect.refused(call, promised(rules.COMPLETE))
