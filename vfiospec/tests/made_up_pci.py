# SPDX-License-Identifier: MIT
"""A made-up machine in a folder, laid out like sysfs and procfs, for tests of our judgement.

It answers writes as the PCI core does: override, unbind, bind, probe. It is no kernel: what
a real one does is shown in a guest.
"""

import errno
import os
from dataclasses import dataclass, field

from vfiospec.lab.sysfs import LocalSysfs

PCI = "/sys/bus/pci"
RUNNER = 100  # the process that looks, as /proc/self tells


@dataclass(frozen=True)
class MadeUpMachine(LocalSysfs):
    """Files below `root`; `writes` lists every write in order, refused ones too."""

    writes: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Lay out an empty machine, unless `root` holds one already."""
        if not self.exists("/proc"):
            self.put("/proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n")
            self.put("/proc/sys/kernel/random/boot_id", "11111111-2222\n")
            self.link("/proc/self", str(RUNNER))
            self.process(RUNNER)
            self.put(f"{PCI}/drivers_probe", "")
            self.driver("vfio-pci")

    def put(self, path: str, text: str) -> None:
        """Make a file."""
        self.at(path).parent.mkdir(parents=True, exist_ok=True)
        self.at(path).write_text(text)

    def link(self, path: str, target: str) -> None:
        """Make a symbolic link."""
        self.at(path).parent.mkdir(parents=True, exist_ok=True)
        self.at(path).symlink_to(target)

    def process(self, pid: int, *opened: str, mounts: str = "") -> None:
        """Make a process with open files, in a mount namespace of its own."""
        self.link(f"/proc/{pid}/ns/mnt", f"mnt:[{pid}]")
        self.put(f"/proc/{pid}/mountinfo", f"22 27 0:21 / /proc rw - proc proc rw\n{mounts}")
        for fd, path in enumerate(("/dev/null", *opened)):
            self.link(f"/proc/{pid}/fd/{fd}", path)

    def mount(self, number: str, where: str, source: str, kind: str = "ext4") -> None:
        """Mount something in the namespace of the process that looks."""
        path = f"/proc/{RUNNER}/mountinfo"
        line = f"30 27 {number} / {where} rw,relatime shared:1 - {kind} {source} rw\n"
        self.put(path, self.read(path) + "\n" + line)

    def driver(self, name: str) -> None:
        """Load a driver."""
        for file in ("bind", "unbind"):
            self.put(f"{PCI}/drivers/{name}/{file}", "")

    def device(
        self,
        bdf: str,
        group: int | None = 7,
        code: str = "0x010802",
        driver: str | None = None,
        override: str = "(null)",
    ) -> str:
        """Plug a device in below a root port; return its folder."""
        real = f"/sys/devices/pci0000:00/0000:00:1c.0/{bdf}"
        self.put(f"{real}/class", f"{code}\n")
        self.put(f"{real}/driver_override", f"{override}\n")
        self.link(f"{PCI}/devices/{bdf}", f"../../..{real[4:]}")
        if group is not None:
            self.link(f"{real}/iommu_group", f"../../../../kernel/iommu_groups/{group}")
            base = f"/sys/kernel/iommu_groups/{group}"
            self.put(f"{base}/type", "DMA\n")
            self.link(f"{base}/devices/{bdf}", f"../../../..{real[4:]}")
        if driver is not None:
            if not self.exists(f"{PCI}/drivers/{driver}"):
                self.driver(driver)
            # What the ids of the device match; kept in the tree for a second process.
            self.put(f"/native/{bdf}", driver)
            self._attach(bdf, driver)
        return real

    def child(self, kind: str, name: str, at: str, **files: str) -> None:
        """Hang a device of class `kind` below `at`, which starts with /sys/devices."""
        real = f"{at}/{name}"
        self.at(real).mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            self.put(f"{real}/{file}", f"{text}\n")
        self.link(f"/sys/class/{kind}/{name}", f"../..{real[4:]}")

    def write(self, path: str, text: str) -> None:
        """Take a write as the PCI core does."""
        self.writes.append((path, text))
        what = path.rpartition("/")[2]
        super().write(path, text)
        if what == "driver_override":
            super().write(path, text if text.strip() else "(null)\n")
        elif what == "unbind":
            if self._driver(text) != path.split("/")[-2]:
                raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), path)
            self.at(f"{PCI}/devices/{text}/driver").unlink()
        elif what == "bind":
            name = path.split("/")[-2]
            if self._driver(text) or self._match(text) != name:
                raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), path)
            self._attach(text, name)
        elif what == "drivers_probe" and not self._driver(text):
            wanted = self._match(text)
            if wanted and self.exists(f"{PCI}/drivers/{wanted}") and not self.exists("/stubborn"):
                self._attach(text, wanted)

    def _match(self, bdf: str) -> str | None:
        override = self.read(f"{PCI}/devices/{bdf}/driver_override")
        if override != "(null)":
            return override
        return self.read(f"/native/{bdf}") if self.exists(f"/native/{bdf}") else None

    def _driver(self, bdf: str) -> str | None:
        path = self.at(f"{PCI}/devices/{bdf}/driver")
        return path.readlink().name if path.is_symlink() else None

    def _attach(self, bdf: str, name: str) -> None:
        self.link(f"{PCI}/devices/{bdf}/driver", f"../../../../bus/pci/drivers/{name}")
