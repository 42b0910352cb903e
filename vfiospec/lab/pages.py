# SPDX-License-Identifier: MIT
"""Lay the small BARs of devices into one page, which firmware never does of its own will."""

import os
from collections.abc import Sequence

from vfiospec.abi import pci
from vfiospec.device import ops as o
from vfiospec.device.pci import ROM, Bar, PciDevice
from vfiospec.device.port import Port
from vfiospec.lab.cache import LabError

_BARS = bytes(6 * 4)


def share_page(port: Port, bdfs: Sequence[str]) -> None:
    """Have the kernel place the BARs of these devices anew, next to each other. LabError if not.

    A BAR that reads 0 when a device is found counts as unassigned: the kernel then packs BARs as
    tightly as their own alignment allows, where firmware had given each a page.
    """
    ops: list[o.AnyOp] = []
    for bdf in bdfs:
        config = port.handle()
        ops += [
            o.Open(config, f"/sys/bus/pci/devices/{bdf}/config", os.O_RDWR),
            o.Pwrite(config, bytes(2), pci.PCI_COMMAND),
            o.Pwrite(config, _BARS, pci.PCI_BASE_ADDRESS_0),
            o.Close(config),
        ]
    ops += [o.WriteFile(f"/sys/bus/pci/devices/{bdf}/remove", b"1") for bdf in bdfs]
    ops.append(o.WriteFile("/sys/bus/pci/rescan", b"1"))
    for op, reply in zip(ops, port.run(ops), strict=True):
        if not reply.ok:
            raise LabError(f"BARs cannot be placed anew: {op!r}: {os.strerror(reply.errno)}")
    _check(port, bdfs)


def small_bars(pci: PciDevice, page: int) -> dict[int, Bar]:
    """The memory BARs of a device that are smaller than a page, by index."""
    return {i: b for i, b in enumerate(pci.bars[:ROM]) if b.is_memory and 0 < b.size < page}


def _check(port: Port, bdfs: Sequence[str]) -> None:
    """LabError unless each device has a small BAR in one and the same page."""
    page = port.hello.page_size
    places = {}
    for bdf in bdfs:
        try:
            pci = PciDevice(port, bdf)
        except OSError as e:
            raise LabError(f"{bdf} was not found again: {e}") from e
        places[bdf] = [b.start for b in small_bars(pci, page).values() if b.start]
    pages = [{start // page for start in starts} for starts in places.values()]
    if not set.intersection(*pages):
        shown = "; ".join(
            f"{bdf} at {', '.join(map(hex, starts)) or 'nowhere'}" for bdf, starts in places.items()
        )
        raise LabError(f"the kernel put no small BARs of these devices into one page: {shown}")
