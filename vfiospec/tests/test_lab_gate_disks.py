# SPDX-License-Identifier: MIT
"""The gate on disks: whatever keeps data on them in use, however deep, is found."""

from pathlib import Path

import pytest

from vfiospec.lab.gate import refusals
from vfiospec.lab.sysfs import LocalSysfs
from vfiospec.tests.made_up_pci import PCI, MadeUpMachine

DISK, MATE, BRIDGE = "0000:01:00.0", "0000:01:00.1", "0000:00:1c.0"


@pytest.fixture
def machine(tmp_path: Path) -> MadeUpMachine:
    """Return a machine with no PCI device in it."""
    return MadeUpMachine(tmp_path)


def add_disk(machine: MadeUpMachine, bdf: str = DISK) -> str:
    """Plug in an NVMe disk with two partitions and return where the disk lies."""
    base = machine.device(bdf, driver="nvme")
    machine.child("nvme", "nvme0", f"{base}/nvme")
    disk = f"{base}/nvme/nvme0/nvme0n1"
    machine.child("block", "nvme0n1", f"{base}/nvme/nvme0", dev="259:0")
    machine.child("block", "nvme0n1p1", disk, dev="259:1")
    machine.child("block", "nvme0n1p2", disk, dev="259:2")
    return disk


def put_on_top(machine: MadeUpMachine, below: str, name: str, number: str) -> None:
    """Make a dm or md device out of the block device `below`."""
    machine.child("block", name, "/sys/devices/virtual/block", dev=number)
    machine.link(f"/sys/class/block/{below}/holders/{name}", f"../../{name}")


def test_a_mounted_partition_is_refused(machine: MadeUpMachine) -> None:
    """The partition and its mount point are named; the mount is found by major:minor."""
    add_disk(machine)
    machine.mount("259:2", "/", "/dev/root")
    assert refusals(machine, DISK) == [f"{DISK} holds nvme0n1p2, which is mounted on /"]


def test_a_mount_in_another_namespace_is_refused(machine: MadeUpMachine) -> None:
    """A container's mount counts, though our own table does not show it."""
    add_disk(machine)
    machine.process(300, mounts="9 8 259:1 / /data rw - xfs /dev/nvme0n1p1 rw\n")
    assert refusals(machine, DISK) == [f"{DISK} holds nvme0n1p1, which is mounted on /data"]


def test_a_mount_of_a_group_mate_is_refused(machine: MadeUpMachine) -> None:
    """The whole group is taken, so the whole group is judged."""
    machine.device(DISK)
    add_disk(machine, MATE)
    machine.mount("259:1", "/boot", "/dev/nvme0n1p1")
    assert refusals(machine, DISK) == [
        f"{MATE}, in IOMMU group 7 with {DISK}, holds nvme0n1p1, which is mounted on /boot"
    ]


def test_a_btrfs_mount_is_refused(machine: MadeUpMachine) -> None:
    """Btrfs mounts under a number of its own: the source and its device list are used."""
    add_disk(machine)
    machine.mount("0:40", "/srv", "/dev/nvme0n1p1", "btrfs")
    machine.link("/sys/fs/btrfs/1234/devices/nvme0n1p2", "../../../../devices/x")
    assert refusals(machine, DISK) == [
        f"{DISK} holds nvme0n1p1, which is mounted on /srv",
        f"{DISK} holds nvme0n1p2, which is part of a mounted btrfs",
    ]


def test_a_journal_of_a_mounted_file_system_is_refused(machine: MadeUpMachine) -> None:
    """An external log is named in the mount options only."""
    add_disk(machine)
    machine.mount("8:1", "/big", "/dev/sda1 logdev=/dev/nvme0n1p1,rw", "xfs")
    assert refusals(machine, DISK) == [f"{DISK} holds nvme0n1p1, which is mounted on /big"]


def test_a_volume_below_a_mount_is_refused(machine: MadeUpMachine) -> None:
    """RAID, then LVM, then a file system: the bottom disk is in use."""
    add_disk(machine)
    put_on_top(machine, "nvme0n1p2", "md0", "9:0")
    put_on_top(machine, "md0", "dm-3", "253:3")
    machine.mount("253:3", "/home", "/dev/mapper/vg-home")
    assert refusals(machine, DISK) == [
        f"{DISK} holds nvme0n1p2, part of dm-3, which is mounted on /home"
    ]


def test_a_mounted_partition_of_a_raid_is_refused(machine: MadeUpMachine) -> None:
    """The file system may sit in a partition of the RAID."""
    add_disk(machine)
    put_on_top(machine, "nvme0n1", "md0", "9:0")
    machine.child("block", "md0p1", "/sys/devices/virtual/block/md0", dev="259:9")
    machine.mount("259:9", "/var", "/dev/md0p1")
    assert refusals(machine, DISK) == [
        f"{DISK} holds nvme0n1, part of md0p1, which is mounted on /var"
    ]


def test_an_active_raid_is_refused(machine: MadeUpMachine) -> None:
    """A RAID would be degraded, mounted or not."""
    add_disk(machine)
    put_on_top(machine, "nvme0n1p1", "md0", "9:0")
    assert refusals(machine, DISK) == [f"{DISK} holds nvme0n1p1, part of md0, which is active"]


def test_swap_is_refused(machine: MadeUpMachine) -> None:
    """Swap is found on the partition and through a link in /dev/mapper."""
    add_disk(machine)
    put_on_top(machine, "nvme0n1p2", "dm-0", "253:0")
    machine.link("/dev/mapper/swap", "../dm-0")
    table = "Filename Type Size Used Priority\n/dev/nvme0n1p1 partition 9 0 -2\n"
    machine.put("/proc/swaps", f"{table}/dev/mapper/swap partition 9 0 -3\n")
    assert refusals(machine, DISK) == [
        f"{DISK} holds nvme0n1p1, which is swap",
        f"{DISK} holds nvme0n1p2, part of dm-0, which is swap",
    ]


def test_a_multipath_disk_is_refused(machine: MadeUpMachine) -> None:
    """With native NVMe multipath the disk hangs below the subsystem, not the controller."""
    base = machine.device(DISK, driver="nvme")
    machine.child("nvme", "nvme0", f"{base}/nvme")
    subsystem = "/sys/devices/virtual/nvme-subsystem"
    machine.child("nvme-subsystem", "nvme-subsys0", subsystem)
    machine.link(f"{subsystem}/nvme-subsys0/nvme0", "../../../x")
    machine.child("block", "nvme0n1", f"{subsystem}/nvme-subsys0", dev="259:0")
    machine.mount("259:0", "/", "/dev/nvme0n1")
    assert refusals(machine, DISK) == [f"{DISK} holds nvme0n1, which is mounted on /"]


@pytest.mark.parametrize(
    "nested",
    ["virtio1", "ata1/host0/target0:0:0/0:0:0:0", "usb1/1-1/1-1:1.0/host6/target6:0:0/6:0:0:0"],
)
def test_a_nested_disk_is_refused(machine: MadeUpMachine, nested: str) -> None:
    """However deep the disk hangs below the device, its mount is found."""
    base = machine.device(DISK)
    machine.child("block", "sda", f"{base}/{nested}/block", dev="8:0")
    machine.mount("8:0", "/mnt", "/dev/sda")
    assert refusals(machine, DISK) == [f"{DISK} holds sda, which is mounted on /mnt"]


def test_a_disk_that_is_held_open_is_refused(machine: MadeUpMachine) -> None:
    """A machine or data base that works on the raw disk shows in its descriptors only."""
    add_disk(machine)
    machine.process(200, "/dev/nvme0n1")
    assert refusals(machine, DISK) == [f"{DISK} holds nvme0n1, which is held open by process 200"]


def test_a_disk_below_a_loop_device_is_refused(machine: MadeUpMachine) -> None:
    """The kernel opens the file below a loop device: no process shows it."""
    add_disk(machine)
    machine.child("block", "loop3", "/sys/devices/virtual/block", dev="7:3")
    machine.put("/sys/class/block/loop3/loop/backing_file", "/dev/nvme0n1p1\n")
    assert refusals(machine, DISK) == [f"{DISK} holds nvme0n1p1, which is under loop3"]


def test_a_disk_beside_zfs_is_refused(machine: MadeUpMachine) -> None:
    """ZFS does not tell its disks, so each disk may be one of them."""
    add_disk(machine)
    machine.put("/proc/spl/kstat/zfs/tank/state", "ONLINE\n")
    assert refusals(machine, DISK) == [
        f"{DISK} holds nvme0n1 while ZFS (tank) is in use: unbind its driver if it is spare"
    ]


def test_the_root_disk_of_this_machine_is_refused() -> None:
    """The judgement holds on a real sysfs too: the disk below / is refused for being it."""
    fs = LocalSysfs()
    devices = fs.listdir(f"{PCI}/devices") if fs.exists(f"{PCI}/devices") else []
    root = next(
        line.split()[2]
        for line in fs.read("/proc/self/mountinfo").splitlines()
        if line.split()[4] == "/"
    )
    link = f"/sys/dev/block/{root}"
    owners = [bdf for bdf in devices if fs.exists(link) and f"/{bdf}/" in fs.readlink(link)]
    if not owners:
        pytest.skip("the root file system of this machine is not directly on a PCI disk")
    reasons = refusals(fs, owners[-1])
    assert [why for why in reasons if why.endswith("which is mounted on /")], reasons
