# SPDX-License-Identifier: MIT
"""Reasons not to take a device away from the machine it sits in. There is no override.

What cannot be read cannot be cleared: it is a reason too.
"""

import errno
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from vfiospec.lab.bind import BDF, PCI, driver_of, is_pci_bridge
from vfiospec.lab.sysfs import (
    Sysfs,
    link_name,
    names_in,
    open_nodes,
    processes,
    read_or_none,
    vfio_nodes,
)

BLOCK = "/sys/class/block"
IFF_UP = 1
# Classes whose devices are used through a node: an open one means someone works with it.
NODES = {
    "accel": "/dev/accel",
    "drm": "/dev/dri",
    "graphics": "/dev",
    "infiniband_verbs": "/dev/infiniband",
    "nvme": "/dev",
    "tty": "/dev",
    "watchdog": "/dev",
}


def refusals(fs: Sysfs, bdf: str) -> list[str]:
    """Return why `bdf`, or a device of its IOMMU group, must not be taken; empty if it may."""
    if not BDF.fullmatch(bdf):
        return [f"{bdf!r} is not a PCI address: write it like 0000:01:00.0"]
    try:
        if not fs.exists(f"{PCI}/devices/{bdf}"):
            return [f"{bdf} is not on this machine"]
        if fs.read(f"{PCI}/devices/{bdf}/class").startswith("0x06"):
            return [f"{bdf} is a bridge: choose a device behind it"]
        return _judge_group(fs, bdf)
    except OSError as error:
        return [f"{bdf} cannot be judged, so it is not taken: {error}"]


def _judge_group(fs: Sysfs, bdf: str) -> list[str]:
    uses = _Uses.of(fs)
    group = link_name(fs, f"{PCI}/devices/{bdf}/iommu_group")
    base = f"/sys/kernel/iommu_groups/{group}"
    if group is None or read_or_none(fs, f"{base}/name") == "vfio-noiommu":
        alone = f"{bdf} has no IOMMU group: nothing isolates it; turn the IOMMU on"
        return [alone, *(f"{bdf} {why}" for why in _judge(fs, uses, bdf))]
    reasons = []
    for name in fs.listdir(f"{base}/devices"):
        who = name if name == bdf else f"{name}, in IOMMU group {group} with {bdf},"
        if not BDF.fullmatch(name):
            if driver := link_name(fs, f"{base}/devices/{name}/driver"):
                reasons.append(f"{who} is not a PCI device and is driven by {driver}")
        elif not is_pci_bridge(fs, name):
            reasons += [f"{who} {why}" for why in _judge(fs, uses, name)]
    return reasons


@dataclass(frozen=True, slots=True)
class _Uses:
    """What the machine is using. Block devices go by name (sda1), mounts also by 8:1."""

    blocks: Mapping[str, str]  # where the link of each block device points
    mounts: Mapping[str, str]  # first mount point
    swaps: frozenset[str]
    btrfs: frozenset[str]
    loops: Mapping[str, str]  # the loop device on top
    pools: tuple[str, ...]  # ZFS does not tell which disks it uses
    opens: Mapping[str, set[int]]
    me: str | None

    @classmethod
    def of(cls, fs: Sysfs) -> "_Uses":
        blocks = {name: fs.readlink(f"{BLOCK}/{name}") for name in names_in(fs, BLOCK)}
        swaps = (read_or_none(fs, "/proc/swaps") or "").splitlines()[1:]
        volumes = names_in(fs, "/sys/fs/btrfs")
        backing = {name: read_or_none(fs, f"{BLOCK}/{name}/loop/backing_file") for name in blocks}
        zfs = "/proc/spl/kstat/zfs"
        return cls(
            blocks=blocks,
            mounts=_mounts(fs),
            swaps=frozenset(_node_name(fs, line.split()[0]) for line in swaps if line.strip()),
            btrfs=frozenset(
                name for uuid in volumes for name in names_in(fs, f"/sys/fs/btrfs/{uuid}/devices")
            ),
            loops={_node_name(fs, path): loop for loop, path in backing.items() if path},
            pools=tuple(pool for pool in names_in(fs, zfs) if fs.exists(f"{zfs}/{pool}/state")),
            opens=open_nodes(fs),
            me=link_name(fs, "/proc/self"),
        )

    def openers(self, node: str) -> str:
        """Return the processes other than this one that hold `node` open, for a sentence."""
        pids = sorted(self.opens.get(node, ()))
        return ", ".join(str(pid) for pid in pids if str(pid) != self.me)

    def below(self, *markers: str) -> list[str]:
        """Return the block devices, partitions too, whose place in sysfs has a marker in it."""
        return [n for n, at in self.blocks.items() if any(f"/{m}/" in at for m in markers)]

    def block(self, fs: Sysfs, name: str) -> str | None:
        """Say how one block device is in use, to follow "which", or None."""
        number = read_or_none(fs, f"{BLOCK}/{name}/dev") or ""
        where = self.mounts.get(number) or self.mounts.get(name)
        if where is not None:
            return f"is mounted on {where}"
        if name in self.swaps:
            return "is swap"
        if name in self.btrfs:
            return "is part of a mounted btrfs"
        if name in self.loops:
            return f"is under {self.loops[name]}"
        pids = self.openers(f"/dev/{name}")
        return f"is held open by process {pids}" if pids else None


def _mounts(fs: Sysfs) -> dict[str, str]:
    """Return the first mount point by major:minor and by device name, in all namespaces."""
    tables = {"": fs.read("/proc/self/mountinfo")}
    for pid in processes(fs):
        # A process may end while we look, or be another user's.
        with suppress(OSError):
            namespace = fs.readlink(f"/proc/{pid}/ns/mnt")
            if namespace not in tables:
                tables[namespace] = fs.read(f"/proc/{pid}/mountinfo")
    mounts: dict[str, str] = {}
    for line in "\n".join(tables.values()).splitlines():
        place, _, source = line.partition(" - ")
        number, _, where = place.split()[2:5]
        mounts.setdefault(number, where)
        # btrfs and others mount under a number of their own; options name journals.
        for node in re.findall(r"/dev/[^\s,:]+", source):
            mounts.setdefault(_node_name(fs, node), where)
    return mounts


def _node_name(fs: Sysfs, path: str) -> str:
    """Return the kernel's name for a device node: /dev/mapper/root is a link to ../dm-0."""
    # Most nodes are no links, and a mount table may name one that is not in our /dev.
    with suppress(OSError):
        path = fs.readlink(path)
    return path.rpartition("/")[2]


def _judge(fs: Sysfs, uses: _Uses, bdf: str) -> Iterator[str]:
    """Give the reasons against one device, to follow its name in a sentence."""
    base = f"{PCI}/devices/{bdf}"
    code = fs.read(f"{base}/class")
    if code.startswith("0x06"):
        yield "is part of the chipset: taking it can stop the machine"
    yield from _judge_blocks(fs, uses, bdf)
    yield from _judge_net(fs, bdf, code)
    yield from _judge_nodes(fs, uses, bdf)
    if int(read_or_none(fs, f"{base}/sriov_numvfs") or 0):
        yield "has virtual functions, whose settings would be lost: write 0 to sriov_numvfs"
    for node in vfio_nodes(fs, bdf):
        if pids := uses.openers(node):
            yield f"is in use through {node}, held open by process {pids}"


def _judge_blocks(fs: Sysfs, uses: _Uses, bdf: str) -> Iterator[str]:
    own = [name for name, at in _class_links(fs, "nvme").items() if f"/{bdf}/" in at]
    # With native multipath the disk hangs below the subsystem, not below the controller.
    shared = [
        subsystem
        for subsystem in names_in(fs, "/sys/class/nvme-subsystem")
        if set(own) & set(fs.listdir(f"/sys/class/nvme-subsystem/{subsystem}"))
    ]
    blocks = uses.below(bdf, *shared)
    for name in blocks:
        above = _above(fs, uses, name)
        used = [(top, why) for top in (name, *above) if (why := uses.block(fs, top))]
        for top, why in used:
            yield f"holds {name}{'' if top == name else f', part of {top}'}, which {why}"
        if above and not used:
            yield f"holds {name}, part of {above[-1]}, which is active"
    if blocks and uses.pools:
        pools = ", ".join(uses.pools)
        yield f"holds {blocks[0]} while ZFS ({pools}) is in use: unbind its driver if it is spare"


def _above(fs: Sysfs, uses: _Uses, name: str) -> list[str]:
    """Return the dm and md devices made of `name`, their partitions too, nearest first."""
    above: list[str] = []
    todo = [name]
    while todo:
        for holder in names_in(fs, f"{BLOCK}/{todo.pop(0)}/holders"):
            found = [holder, *uses.below(holder)]
            todo += [new for new in found if new not in above]
            above += [new for new in found if new not in above]
    return above


def _judge_net(fs: Sysfs, bdf: str, code: str) -> Iterator[str]:
    own = [name for name, at in _class_links(fs, "net").items() if f"/{bdf}/" in at]
    for name in own:
        flags = int(fs.read(f"/sys/class/net/{name}/flags"), 16)
        if flags & IFF_UP or read_or_none(fs, f"/sys/class/net/{name}/operstate") == "up":
            yield f"has network interface {name}, which is up: ip link set {name} down"
    driver = driver_of(fs, bdf)
    if code.startswith("0x0200") and not own and driver not in {None, "vfio-pci", "pci-stub"}:
        yield f"is on {driver} and shows no interface: another network namespace may use it"


def _judge_nodes(fs: Sysfs, uses: _Uses, bdf: str) -> Iterator[str]:
    if read_or_none(fs, f"{PCI}/devices/{bdf}/boot_vga") == "1":
        yield "is the boot display"
    for kind, folder in NODES.items():
        for name, at in _class_links(fs, kind).items():
            if f"/{bdf}/" not in at:
                continue
            if pids := uses.openers(f"{folder}/{name}"):
                yield f"has {folder}/{name}, held open by process {pids}"
            elif kind == "graphics" and _console_on_framebuffer(fs):
                yield f"has {name}, and the console is on a frame buffer: unbind its driver first"


def _console_on_framebuffer(fs: Sysfs) -> bool:
    base = "/sys/class/vtconsole"
    return any(
        read_or_none(fs, f"{base}/{name}/bind") == "1"
        and "frame buffer" in (read_or_none(fs, f"{base}/{name}/name") or "")
        for name in names_in(fs, base)
    )


def _class_links(fs: Sysfs, kind: str) -> dict[str, str]:
    """Return where the devices of a class lie; plain files (net/bonding_masters) left out."""
    links = {}
    for name in names_in(fs, f"/sys/class/{kind}"):
        try:
            links[name] = fs.readlink(f"/sys/class/{kind}/{name}")
        except OSError as error:
            if error.errno not in {errno.EINVAL, errno.ENOENT}:
                raise
    return links
