# SPDX-License-Identifier: MIT
"""Give a PCI device, with its whole IOMMU group, to vfio-pci, and put everything back.

Nothing is written before the state to return to has been handed to the caller's `record`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

import msgspec

from vfiospec.lab.cache import LabError
from vfiospec.lab.sysfs import Sysfs, link_name, open_nodes, read_or_none, vfio_nodes

PCI = "/sys/bus/pci"
BDF = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]")
PCI_BRIDGE = "0x0604"


class Member(msgspec.Struct, frozen=True):
    """One device as it was found; None stands for no driver, no override, no SR-IOV."""

    bdf: str
    driver: str | None
    driver_override: str | None
    sriov_numvfs: int | None


class Before(msgspec.Struct, frozen=True, kw_only=True):
    """An IOMMU group as it was found, before `target` was bound to its devices."""

    bdf: str
    group: int
    members: tuple[Member, ...]
    target: str = "vfio-pci"
    boot: str = ""  # boot id of the machine: tells another machine, or an earlier boot, apart

    @property
    def driver(self) -> str | None:
        """The driver of the device that was asked for."""
        return self._asked.driver

    @property
    def driver_override(self) -> str | None:
        """The driver override of the device that was asked for."""
        return self._asked.driver_override

    @property
    def sriov_numvfs(self) -> int | None:
        """The number of virtual functions of the device that was asked for."""
        return self._asked.sriov_numvfs

    @property
    def _asked(self) -> Member:
        return next(member for member in self.members if member.bdf == self.bdf)


def group_of(fs: Sysfs, bdf: str) -> int:
    """Return the number of the IOMMU group; LabError when the device has none."""
    name = link_name(fs, f"{PCI}/devices/{bdf}/iommu_group")
    if name is None:
        msg = f"{bdf} has no IOMMU group: turn the IOMMU on in the firmware and on the kernel line"
        raise LabError(msg)
    return int(name)


def driver_of(fs: Sysfs, bdf: str) -> str | None:
    """Return the name of the driver bound to a device, or None."""
    return link_name(fs, f"{PCI}/devices/{bdf}/driver")


def members(fs: Sysfs, bdf: str) -> list[str]:
    """Return the PCI devices of the IOMMU group of `bdf`, PCI-to-PCI bridges left out."""
    group = fs.listdir(f"/sys/kernel/iommu_groups/{group_of(fs, bdf)}/devices")
    return [name for name in group if BDF.fullmatch(name) and not is_pci_bridge(fs, name)]


def is_pci_bridge(fs: Sysfs, bdf: str) -> bool:
    """Tell a PCI-to-PCI bridge: part of groups, but never bound to vfio-pci."""
    return fs.read(f"{PCI}/devices/{bdf}/class").startswith(PCI_BRIDGE)


def boot_id(fs: Sysfs) -> str:
    """Return the id of this boot of this machine, empty where the kernel tells none."""
    return read_or_none(fs, "/proc/sys/kernel/random/boot_id") or ""


def bind(
    fs: Sysfs, bdf: str, driver: str = "vfio-pci", *, record: Callable[[Before], None]
) -> Before:
    """Bind `driver` to every non-bridge device of the group of `bdf`; LabError and undo if not.

    The gate is the caller's: this takes whatever it is given.
    """
    if not fs.exists(f"{PCI}/drivers/{driver}"):
        msg = f"{bdf}: driver {driver} is not loaded: modprobe {driver}"
        raise LabError(msg)
    try:
        found = tuple(_as_found(fs, name) for name in members(fs, bdf))
    except OSError as error:
        msg = f"{bdf} was left alone, its group could not be read: {error}"
        raise LabError(msg) from error
    if bdf not in [member.bdf for member in found]:
        msg = f"{bdf} is a PCI bridge: choose a device behind it"
        raise LabError(msg)
    before = Before(
        bdf=bdf, group=group_of(fs, bdf), members=found, target=driver, boot=boot_id(fs)
    )
    record(before)
    try:
        for member in found:
            _take(fs, member, driver)
    except (OSError, LabError) as error:
        left = restore(fs, before)
        undone = f"; could not be undone: {'; '.join(left)}" if left else "; undone"
        msg = f"{bdf} could not be bound to {driver}: {error}{undone}"
        raise LabError(msg) from error
    except BaseException:
        restore(fs, before)
        raise
    return before


def bind_alone(fs: Sysfs, bdf: str, driver: str = "vfio-pci") -> None:
    """Bind `driver` to a device of a machine without an IOMMU; LabError if it does not take it.

    For machines that are thrown away: nothing is kept to return to.
    """
    try:
        _take(fs, _as_found(fs, bdf), driver)
    except OSError as error:
        msg = f"{bdf} could not be bound to {driver}: {error}"
        raise LabError(msg) from error


def _as_found(fs: Sysfs, bdf: str) -> Member:
    vfs = read_or_none(fs, f"{PCI}/devices/{bdf}/sriov_numvfs")
    return Member(
        bdf=bdf,
        driver=driver_of(fs, bdf),
        driver_override=_override_of(fs, bdf),
        sriov_numvfs=None if vfs is None else int(vfs),
    )


def _override_of(fs: Sysfs, bdf: str) -> str | None:
    text = read_or_none(fs, f"{PCI}/devices/{bdf}/driver_override")
    # The kernel prints its NULL pointer.
    return None if text in {None, "", "(null)"} else text


def _set_override(fs: Sysfs, bdf: str, driver: str | None) -> None:
    if _override_of(fs, bdf) != driver:
        # A write of nothing never reaches the kernel; a bare newline clears.
        fs.write(f"{PCI}/devices/{bdf}/driver_override", f"{driver or ''}\n")


def _take(fs: Sysfs, member: Member, driver: str) -> None:
    _set_override(fs, member.bdf, driver)
    if member.driver == driver:
        return
    if member.driver is not None:
        fs.write(f"{PCI}/drivers/{member.driver}/unbind", member.bdf)
    fs.write(f"{PCI}/drivers_probe", member.bdf)
    now = driver_of(fs, member.bdf)
    if now != driver:
        msg = f"after the probe {member.bdf} is on {now or 'no driver'} (see the kernel log)"
        raise LabError(msg)


def restore(fs: Sysfs, before: Before) -> list[str]:
    """Put a group back as it was found; return what could not be, one sentence each.

    Writes nothing where nothing differs, so it may be called again at any time.
    """
    left: list[str] = []
    for member in reversed(before.members):
        try:
            left += _put_back(fs, member, before.target)
        except OSError as error:
            left.append(f"{member.bdf} was not put back: {error}")
    return left


def _put_back(fs: Sysfs, member: Member, target: str) -> list[str]:
    bdf, base = member.bdf, f"{PCI}/devices/{member.bdf}"
    if not fs.exists(base):
        return [f"{bdf} is gone from the machine: rescan the PCI bus, then restore again"]
    now = driver_of(fs, bdf)
    if now not in {None, target, member.driver}:
        return [f"{bdf} has been given to {now} by someone else: left alone"]
    if now is not None and now != member.driver:
        nodes = open_nodes(fs)
        holders = {pid for node in vfio_nodes(fs, bdf) for pid in nodes.get(node, ())}
        if holders:
            # The kernel would let us wait in the write until the last holder closes it.
            pids = ", ".join(map(str, sorted(holders)))
            return [f"{bdf} is still held open by process {pids}: end it, then restore again"]
        _set_vfs(fs, member, wanted=0)
        fs.write(f"{PCI}/drivers/{now}/unbind", bdf)
    _set_override(fs, bdf, member.driver_override)
    if member.driver is not None and now != member.driver:
        if not fs.exists(f"{PCI}/drivers/{member.driver}"):
            return [f"{bdf} was on {member.driver}, which is not loaded: modprobe {member.driver}"]
        # By name, not drivers_probe: another driver may claim the same ids.
        fs.write(f"{PCI}/drivers/{member.driver}/bind", bdf)
        if driver_of(fs, bdf) != member.driver:
            return [f"{bdf} was on {member.driver}, which does not take it back"]
    _set_vfs(fs, member, wanted=member.sriov_numvfs)
    return []


def _set_vfs(fs: Sysfs, member: Member, wanted: int | None) -> None:
    path = f"{PCI}/devices/{member.bdf}/sriov_numvfs"
    now = read_or_none(fs, path)
    if now is None or wanted is None or int(now) == wanted:
        return
    if int(now) and wanted:
        # The kernel answers EBUSY to a change from one number to another.
        fs.write(path, "0")
    fs.write(path, str(wanted))


@dataclass
class Binding:
    """`with Binding(fs, bdf, record=state.add_binding) as before:`, put back at the end."""

    fs: Sysfs
    bdf: str
    record: Callable[[Before], None]
    driver: str = "vfio-pci"
    before: Before | None = None

    def bind(self) -> Before:
        """Bind the group; see `bind`."""
        self.before = bind(self.fs, self.bdf, self.driver, record=self.record)
        return self.before

    def restore(self) -> list[str]:
        """Put back what was bound; return what could not be."""
        return [] if self.before is None else restore(self.fs, self.before)

    def __enter__(self) -> Before:
        """Bind the group."""
        return self.bind()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Put the group back; LabError when that fails and nothing worse is under way."""
        left = self.restore()
        if left and error is None:
            raise LabError("; ".join(left))
