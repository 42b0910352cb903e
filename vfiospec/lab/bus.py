# SPDX-License-Identifier: MIT
"""The bus of a PCI device: who is reset together with it."""

from vfiospec.lab.bind import BDF, PCI
from vfiospec.lab.sysfs import Sysfs


def devices_of_bus(fs: Sysfs, bdf: str) -> tuple[str, ...]:
    """The devices of its bus and below, itself among them; empty on a root bus."""
    bridge = fs.readlink(f"{PCI}/devices/{bdf}").split("/")[-2]
    return tuple(_below(fs, f"{PCI}/devices/{bridge}")) if BDF.fullmatch(bridge) else ()


def _below(fs: Sysfs, folder: str) -> list[str]:
    found = [name for name in fs.listdir(folder) if BDF.fullmatch(name)]
    return found + [b for name in found for b in _below(fs, f"{folder}/{name}")]
