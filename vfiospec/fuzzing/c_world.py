# SPDX-License-Identifier: MIT
"""The variables of a reproducer: files, memory and processes by their handles, devices by name."""

import re
from collections.abc import Iterable, Iterator, Sequence

from vfiospec.abi import vfio
from vfiospec.device import ops as o
from vfiospec.device.ops import AnyOp
from vfiospec.device.port import Step
from vfiospec.device.transcript import Target, TranscriptDevice
from vfiospec.fuzzing.c_values import number, text

_GROUP = re.compile(r"/dev/vfio/(?:noiommu-)?(\d+)")
_CDEV = re.compile(r"/dev/vfio/devices/vfio(\d+)")
_MEDIATED = re.compile(
    r"/sys/bus/mdev/devices/(?P<uuid>[0-9A-Fa-f-]+)/(?P<what>iommu_group|vfio-dev)"
)
_CREATE = re.compile(r"/sys/class/mdev_bus/[^/]+/mdev_supported_types/[^/]+/create")
_NODES = {"/dev/vfio/vfio": "container", "/dev/iommu": "iommufd"}


def walk(ops: Iterable[AnyOp]) -> Iterator[AnyOp]:
    """Every operation, those inside of others too."""
    for op in ops:
        yield op
        if isinstance(op, o.In):
            yield from walk(op.ops)
        elif isinstance(op, o.Trace):
            yield from walk((*op.ops, *op.after))
        elif isinstance(op, o.FailNth):
            yield from walk((op.op,))
        elif isinstance(op, o.Race):
            for program in op.programs:
                yield from walk(program)


def _mediated(steps: Iterable[Step]) -> Iterator[tuple[str, str]]:
    """The nodes of mediated devices, each with its device's UUID, as links and folders told."""
    for op, reply in steps:
        if reply is None or not isinstance(op, o.ReadLink | o.ListDir):
            continue
        about = _MEDIATED.fullmatch(op.path)
        if about is None:
            continue
        if about["what"] == "iommu_group":
            yield f"/dev/vfio/{reply.bytes.decode().rpartition('/')[2]}", about["uuid"]
        for name in reply.bytes.decode().split("\0"):
            if about["what"] == "vfio-dev" and name.startswith("vfio"):
                yield f"/dev/vfio/devices/{name}", about["uuid"]


class World:
    """What a list of operations speaks of, and how C calls it."""

    def __init__(self, target: Target, steps: Sequence[Step]) -> None:
        """Look at all of them: a variable is there before its first use."""
        ops = [op for op, _ in steps]
        self._target = target
        self._mediated = dict(_mediated(steps))
        self._mediated |= self._made(ops)
        self.devices: list[TranscriptDevice] = []
        self._kinds: dict[int, set[str]] = {}
        self._now: dict[int, str] = {}
        self.memories: set[int] = set()
        self.processes: set[int] = set()
        for op in walk(ops):
            self.became(op)
        # A handle that was never made: a program may be cut off from what made it.
        self._used: set[int] = set()
        self._now.clear()

    def _made(self, ops: Sequence[AnyOp]) -> dict[str, str]:
        """Groups nothing told of, as those of the mediated devices made: numbers go up."""
        known = {f"/dev/vfio/{device.group}" for device in self._target.devices}
        known |= self._mediated.keys()
        paths = {op.path for op in walk(ops) if isinstance(op, o.Open)} - known
        groups = sorted(
            (found[0] for path in paths if (found := _GROUP.fullmatch(path))),
            key=lambda path: (len(path), path),
        )
        told = set(self._mediated.values())
        made = [
            op.data.decode(errors="replace").strip()
            for op in walk(ops)
            if isinstance(op, o.WriteFile) and _CREATE.fullmatch(op.path)
        ]
        return dict(zip(groups, [uuid for uuid in made if uuid not in told], strict=False))

    # -- files

    def became(self, op: AnyOp) -> None:
        """Remember what the file is that an operation makes."""
        made: tuple[int, str] | None = None
        if isinstance(op, o.Open):
            made = op.out, self.kind_of_path(op.path)
        elif isinstance(op, o.Dup):
            made = op.out, self.kind(op.handle)
        elif isinstance(op, o.Eventfd):
            made = op.out, "event"
        elif isinstance(op, o.Ioctl) and op.out is not None:
            made = op.out, "device" if self.kind(op.fd) == "group" else "file"
        elif isinstance(op, o.SendFd):
            made = op.out, self.kind(op.fd)
        if made is not None:
            self._now[made[0]] = made[1]
            self._kinds.setdefault(made[0], set()).add(made[1])

    @staticmethod
    def kind_of_path(path: str) -> str:
        """What a file is, by its path."""
        if _GROUP.fullmatch(path):
            return "group"
        return "device" if _CDEV.fullmatch(path) else _NODES.get(path, "file")

    def kind(self, handle: int) -> str:
        """What a handle stands for at this place."""
        return self._now.get(handle, "device" if handle not in self._kinds else "file")

    def file(self, handle: int) -> str:
        """The variable of a file."""
        self._used.add(handle)
        kinds = self._kinds.get(handle, {"file"})
        return f"{next(iter(kinds)) if len(kinds) == 1 else 'file'}_{handle}"

    def memory(self, handle: int) -> str:
        """The variable of a piece of memory."""
        self.memories.add(handle)
        return f"memory_{handle}"

    def process(self, handle: int) -> str:
        """The variable of a second process."""
        self.processes.add(handle)
        return f"process_{handle}"

    def files(self) -> list[str]:
        """The variables of all files that were spoken of."""
        return [self.file(handle) for handle in sorted(self._used)]

    # -- devices

    def device(self, which: TranscriptDevice) -> str:
        """The variable that holds a device's address."""
        if which not in self.devices:
            self.devices.append(which)
        return f"bdf_{re.sub(r'[^A-Za-z0-9]', '_', which.name)}"

    def path(self, path: str) -> tuple[str, bool]:
        """A path as an expression of C, and whether it is the same on every machine."""
        if (uuid := self._mediated.get(path)) is not None:
            of = "group_of" if _GROUP.fullmatch(path) else "cdev_of"
            return f"{of}({text(uuid.encode())})", True
        if (group := _GROUP.fullmatch(path)) and (found := self._of_group(int(group[1]))):
            return f"group_of({self.device(found)})", False
        if (cdev := _CDEV.fullmatch(path)) and int(cdev[1]) < len(self._target.devices):
            # Devices are bound in the order they are listed in, which numbers them.
            return f"cdev_of({self.device(self._target.devices[int(cdev[1])])})", False
        for device in self._target.devices:
            if device.bdf and device.bdf in path:
                pattern = path.replace("%", "%%").replace(device.bdf, "%s")
                names = ", ".join([self.device(device)] * path.count(device.bdf))
                return f"path({text(pattern.encode())}, {names})", False
        return text(path.encode()), True

    def _of_group(self, number: int) -> TranscriptDevice | None:
        members = [d for d in self._target.devices if d.group == number]
        return next((d for d in members if d in self.devices), next(iter(members), None))

    def name(self, data: bytes) -> str | None:
        """The expression of a buffer that is a device's address, as GET_DEVICE_FD takes it."""
        for device in self._target.devices:
            if device.bdf and data.rstrip(b"\0") == device.bdf.encode():
                return self.device(device)
        return None

    # -- places in a device

    def place(self, handle: int, offset: int) -> str:
        """An offset of a device fd, by the region it lies in."""
        region, within = offset >> 40, offset & (1 << 40) - 1
        if self.kind(handle) != "device" or not 0 <= region < vfio.VFIO_PCI_NUM_REGIONS:
            return number(offset)
        return f"REGION({region_name(region)}, {number(within)})"


def region_name(index: int) -> str:
    """The header's name of a PCI region."""
    names = {
        value: name
        for name, value in vars(vfio).items()
        if name.startswith("VFIO_PCI_") and name.endswith("_REGION_INDEX")
    }
    return names[index]
