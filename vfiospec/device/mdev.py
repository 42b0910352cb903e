# SPDX-License-Identifier: MIT
"""Mediated devices: their types below a parent in sysfs, how they are made and taken away."""

import os
from dataclasses import dataclass

from vfiospec.device import ops as o
from vfiospec.device.call import Call
from vfiospec.device.port import Port

PARENTS = "/sys/class/mdev_bus"
INSTANCES = "/sys/bus/mdev/devices"


def _names(port: Port, folder: str) -> list[str]:
    reply = port.do(o.ListDir(folder))
    return sorted(n.decode() for n in reply.bytes.split(b"\0") if n) if reply.ok else []


def _text(port: Port, path: str) -> str:
    reply = port.do(o.ReadFile(path))
    if not reply.ok:
        raise OSError(reply.errno, os.strerror(reply.errno), path)
    return reply.bytes.decode().rstrip("\n")


def _link(port: Port, path: str) -> str:
    """The last part of where a symbolic link points."""
    reply = port.do(o.ReadLink(path))
    if not reply.ok:
        raise OSError(reply.errno, os.strerror(reply.errno), path)
    return reply.bytes.decode().rpartition("/")[2]


def instances(port: Port) -> list[str]:
    """The names of all mediated devices there are."""
    return _names(port, INSTANCES)


@dataclass(frozen=True)
class Mdev:
    """A mediated device. Its name is its UUID; it may be gone."""

    port: Port
    name: str

    @property
    def folder(self) -> str:
        """Its folder in sysfs."""
        return f"{INSTANCES}/{self.name}"

    @property
    def group(self) -> int:
        """The number of its group; OSError if it has none."""
        return int(_link(self.port, f"{self.folder}/iommu_group"))

    @property
    def type_name(self) -> str:
        """The name of its type; OSError if it has none."""
        return _link(self.port, f"{self.folder}/mdev_type")

    @property
    def exists(self) -> bool:
        """Whether it is there."""
        return self.name in instances(self.port)

    def try_remove(self, text: str = "1") -> Call:
        """Write to `remove`, which waits until nobody uses the device."""
        reply = self.port.do(o.WriteFile(f"{self.folder}/remove", text.encode()))
        return Call("write to remove", repr(text), 0, reply)


@dataclass(frozen=True)
class MdevType:
    """A type of mediated devices that a parent, such as mtty, can make."""

    port: Port
    parent: str
    name: str

    @property
    def folder(self) -> str:
        """Its folder in sysfs."""
        return f"{PARENTS}/{self.parent}/mdev_supported_types/{self.name}"

    @property
    def exists(self) -> bool:
        """Whether the parent is there and has such a type."""
        return self.name in _names(self.port, f"{PARENTS}/{self.parent}/mdev_supported_types")

    def attributes(self) -> list[str]:
        """What its folder holds."""
        return _names(self.port, self.folder)

    def read(self, attribute: str) -> str:
        """One of its attributes."""
        return _text(self.port, f"{self.folder}/{attribute}")

    def available(self) -> int:
        """How many more can be made."""
        return int(self.read("available_instances"))

    def devices(self) -> list[str]:
        """The names of those there are."""
        return _names(self.port, f"{self.folder}/devices")

    def try_create(self, text: str) -> Call:
        """Write to `create`: a UUID, which becomes the name."""
        reply = self.port.do(o.WriteFile(f"{self.folder}/create", text.encode()))
        return Call("write to create", repr(text), 0, reply)
