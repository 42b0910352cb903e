# SPDX-License-Identifier: MIT
"""Topologies: which devices an emulated machine has, read from TOML.

A topology is data: the devices at their slots, the bridges they sit behind, and the roles that
say which tests each device can serve.
"""

import hashlib
import re
import subprocess
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from vfiospec.lab.cache import LabError
from vfiospec.undecodable import UNDECODABLE

FOLDER = Path(__file__).parent / "topologies"

# What a device can be used for. The first group can be read off its configuration space, and is
# checked against it at every boot; the second is known only of the emulated models.
PROBED_ROLES = (
    "pcie", "conventional", "intx", "msi", "msix", "multivector-msi", "rom", "io-bar", "bar64",
    "subpage", "vga", "sriov", "flr", "pm", "below-bridge",
)  # fmt: skip
STATED_ROLES = ("irq-stimulus", "dma-stimulus", "aer", "unplug", "grouped", "shared-page")

Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]*$")]
Slot = Annotated[str, Meta(pattern=r"^[0-9a-f]{1,2}\.[0-7]$")]
Value = str | int | bool


class _Item(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Name
    model: str
    slot: Slot
    behind: str | None = None
    properties: dict[str, Value] = {}
    needs: tuple[str, ...] = ()  # further -device arguments it refers to


class Bridge(_Item, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A port or bridge; devices name it in `behind`."""


class Device(_Item, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A device vfio-pci is to drive."""

    roles: tuple[str, ...]


class Spare(Device, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A device vfio-pci does not get: for what it must leave alone."""


# Where memory is known to be broken, what follows may hang: a kernel whose console is written by a
# thread of its own (7.x) then never says why. So it panics at the first report, which is said.
DIES_OF_KASAN: Final = "kasan.fault=panic"
# While a kernel looks at its processor again at boot, page tables of five levels pass for four, and
# KASAN takes what an interrupt uses just then for wild memory: once in some fifteen boots.
FOUR_LEVELS: Final = "no5lvl"


class Topology(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An emulated machine."""

    description: str
    device: tuple[Device, ...] = ()
    bridge: tuple[Bridge, ...] = ()
    spare: tuple[Spare, ...] = ()
    like: str = ""  # another topology: what it has comes first, except for the next three
    intremap: bool = True
    iommu: bool = True
    chapters: tuple[str, ...] = ()  # the only suites that can be judged on it; empty: all
    kernel_arguments: tuple[str, ...] = ()
    parameters: dict[str, str] = {}  # of modules, "vfio_pci.nointxmask", set once they are loaded
    repack: tuple[tuple[str, ...], ...] = ()  # devices whose BARs are to share a page
    name: str = ""
    sha256: str = ""
    left_out: tuple[str, ...] = ()

    def without(self, models: frozenset[str]) -> "Topology":
        """The same machine without devices of models this QEMU has not."""
        gone = tuple(d.name for d in (*self.device, *self.spare) if d.model not in models)
        kept = tuple(d for d in self.device if d.model in models)
        spare = tuple(d for d in self.spare if d.model in models)
        return msgspec.structs.replace(self, device=kept, spare=spare, left_out=gone)

    def told(self, *words: str) -> "Topology":
        """The same machine, whose kernel gets more arguments."""
        more = (*self.kernel_arguments, *words)
        return msgspec.structs.replace(self, kernel_arguments=more)

    def path(self, device: _Item) -> tuple[str, ...]:
        """Slots from the root bus to the device."""
        above = next((b for b in self.bridge if b.name == device.behind), None)
        return (*(self.path(above) if above else ()), device.slot)

    def arguments(self) -> list[str]:
        """QEMU's -device arguments, bridges first."""
        out = []
        for item in (*self.bridge, *self.device, *self.spare):
            for need in item.needs:
                out += ["-device", need]
            words = [item.model, f"id={item.name}", f"addr=0x{item.slot.replace('.', '.0x')}"]
            if item.behind:
                words.append(f"bus={item.behind}")
            words += [f"{k}={_text(v)}" for k, v in item.properties.items()]
            out += ["-device", ",".join(words)]
        return out


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value).replace(",", ",,")


def known() -> dict[str, Path]:
    """The topologies that come with vfiospec, by name."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.toml"))}


def load(spec: str) -> Topology:
    """Read a topology by its name or from a file. LabError says what is wrong and where."""
    path = known().get(spec) or Path(spec)
    if not path.is_file():
        raise LabError(
            f"no topology {spec!r}: it is neither a file nor one of {', '.join(known())}"
        )
    data = path.read_bytes()
    try:
        topology = msgspec.toml.decode(data, type=Topology)
    except UNDECODABLE as e:
        raise LabError(f"{path}: {e}") from e
    digest = hashlib.sha256(data)
    if topology.like:
        if topology.like == spec:
            raise LabError(f"{path}: it is like itself")
        other = load(topology.like)
        digest.update(other.sha256.encode())
        topology = msgspec.structs.replace(
            topology,
            device=(*other.device, *topology.device),
            bridge=(*other.bridge, *topology.bridge),
            spare=(*other.spare, *topology.spare),
            kernel_arguments=(*other.kernel_arguments, *topology.kernel_arguments),
            parameters={**other.parameters, **topology.parameters},
            repack=(*other.repack, *topology.repack),
        )
    _check(path, topology)
    _check_settings(path, topology)
    return msgspec.structs.replace(topology, name=path.stem, sha256=digest.hexdigest())


def _check(path: Path, topology: Topology) -> None:
    seen: set[tuple[str | None, str]] = set()
    names: set[str] = set()
    bridges: set[str] = set()
    for item in (*topology.bridge, *topology.device, *topology.spare):
        if item.name in names:
            raise LabError(f"{path}: two devices are called {item.name!r}")
        place = item.behind, item.slot.rjust(4, "0")  # 4.0 is 04.0
        if place in seen:
            raise LabError(f"{path}: {item.name!r} is at slot {item.slot}, which is taken")
        if item.behind is not None and item.behind not in bridges:
            raise LabError(
                f"{path}: {item.name!r} is behind {item.behind!r}, no bridge declared before it"
            )
        names.add(item.name)
        seen.add(place)
        if isinstance(item, Bridge):
            bridges.add(item.name)
    for device in (*topology.device, *topology.spare):
        strange = [r for r in device.roles if r not in PROBED_ROLES + STATED_ROLES]
        if strange:
            raise LabError(
                f"{path}: {device.name!r} has the role {strange[0]!r}; "
                f"there are {', '.join(PROBED_ROLES + STATED_ROLES)}"
            )
    if not topology.device:
        raise LabError(f"{path}: no device at all")


def _check_settings(path: Path, topology: Topology) -> None:
    for name in (n for together in topology.repack for n in together):
        if name not in [d.name for d in topology.device]:
            raise LabError(f"{path}: repack names {name!r}, which is no device")
    for parameter in topology.parameters:
        if parameter.count(".") != 1:
            raise LabError(f"{path}: {parameter!r} is not module.parameter")


def models(qemu: str) -> frozenset[str]:
    """The device models this QEMU was built with."""
    text = subprocess.run(  # noqa: S603
        [qemu, "-device", "help"], capture_output=True, text=True, check=False
    ).stdout
    return frozenset(re.findall(r'^name "([^"]+)"', text, re.MULTILINE))
