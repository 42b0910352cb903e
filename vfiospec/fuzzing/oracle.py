# SPDX-License-Identifier: MIT
"""What must hold of every execution, whatever the program. Each judgement is one of the rules'.

A judgement here has no false alarms: where a program may rightly have an effect, it is not judged.
"""

import errno
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from vfiospec.abi import iommufd_hwpt, iommufd_viommu, vfio, vfio_feature, vfio_iommu
from vfiospec.abi.caps import BrokenChain, walk
from vfiospec.abi.ioctl import IOCTLS
from vfiospec.device import ops as o
from vfiospec.device.ops import AnyOp, Reply
from vfiospec.fuzzing.describe import descriptions
from vfiospec.fuzzing.maker import Concrete
from vfiospec.fuzzing.model import Program
from vfiospec.rules import conventions
from vfiospec.rules import kernel as rules

# Numbers above this never leave a kernel: ERESTARTSYS, ENOTSUPP and their like.
_INTERNAL: Final = 512
_FD_BY_NUMBER: Final = frozenset({
    vfio.VFIO_GROUP_GET_DEVICE_FD, vfio.VFIO_DEVICE_GET_GFX_DMABUF,
    vfio_feature.VFIO_DEVICE_FEATURE, iommufd_hwpt.IOMMU_FAULT_QUEUE_ALLOC,
    iommufd_viommu.IOMMU_VEVENTQ_ALLOC,
})  # fmt: skip
# Ioctls that answer nothing but 0 on success, on a file of their own kind.
_ZERO: Final = frozenset({
    vfio.VFIO_DEVICE_GET_INFO, vfio.VFIO_DEVICE_GET_REGION_INFO, vfio.VFIO_DEVICE_GET_IRQ_INFO,
    vfio.VFIO_DEVICE_RESET, vfio.VFIO_GROUP_GET_STATUS, vfio.VFIO_GROUP_SET_CONTAINER,
    vfio.VFIO_GROUP_UNSET_CONTAINER, vfio_iommu.VFIO_IOMMU_MAP_DMA, vfio_iommu.VFIO_IOMMU_UNMAP_DMA,
    vfio.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, vfio.VFIO_DEVICE_PCI_HOT_RESET,
    vfio_feature.VFIO_DEVICE_BIND_IOMMUFD, vfio_feature.VFIO_DEVICE_ATTACH_IOMMUFD_PT,
    vfio_feature.VFIO_DEVICE_DETACH_IOMMUFD_PT,
})  # fmt: skip
_CONSTANT: Final = frozenset({
    vfio.VFIO_DEVICE_GET_INFO, vfio.VFIO_DEVICE_GET_REGION_INFO, vfio.VFIO_DEVICE_GET_IRQ_INFO,
})  # fmt: skip
_CHAINS: Final[Mapping[int, tuple[int, int]]] = {  # where the flag of it is, and the flag
    vfio.VFIO_DEVICE_GET_INFO: (
        vfio.vfio_device_info.offset_of("cap_offset"), vfio.VFIO_DEVICE_FLAGS_CAPS,
    ),
    vfio.VFIO_DEVICE_GET_REGION_INFO: (
        vfio.vfio_region_info.offset_of("cap_offset"), vfio.VFIO_REGION_INFO_FLAG_CAPS,
    ),
}  # fmt: skip


class Violation(NamedTuple):
    """A rule that an execution broke, at which step, and how."""

    rule: str
    step: int
    how: str

    @property
    def title(self) -> str:
        """The same for the same fault, whatever the program."""
        return f"{self.rule}: {self.how}"


def judge(
    program: Program, made: Concrete, trace: Reply, *, alone: bool = True
) -> Iterator[Violation]:
    """What an execution did that no program may cause.

    Files that were left open are held against it only if it ran `alone`, not as one of a batch.
    """
    seen: dict[tuple[int, int, bytes], bytes] = {}
    for op, step, reply in zip(made.ops, made.origin, trace.parts, strict=False):
        name = program[step].name
        if reply.fault:
            continue
        if outside(op, reply):
            yield Violation(rules.INSIDE.id, step, f"{name} wrote outside of its buffer")
        if reply.errno >= _INTERNAL:
            yield Violation(
                rules.RETURN_VALUE.id, step, f"{name} failed with {_errno(reply.errno)}"
            )
        if isinstance(op, o.Ioctl):
            yield from _judge_ioctl(name, op, step, reply, seen)
        elif isinstance(op, o.Pread | o.Pwrite):
            size = op.size if isinstance(op, o.Pread) else len(op.data or b"")
            if reply.ret > size:
                yield Violation(rules.RETURN_VALUE.id, step, f"{name} moved too many bytes")
    if alone and trace.values and trace.values[0] > may_leave(made.ops):
        yield Violation(rules.NO_STRAY_FILE.id, len(program), "a file nobody was told of")


def _judge_ioctl(
    name: str, op: o.Ioctl, step: int, reply: Reply, seen: dict[tuple[int, int, bytes], bytes]
) -> Iterator[Violation]:
    about = descriptions().get(name)
    if about is None or about.shape != "ioctl" or reply.ret < 0:
        return
    if reply.ret and op.request in _ZERO:
        yield Violation(rules.RETURN_VALUE.id, step, f"{name} answered more than 0")
    if op.data is None or reply.data is None or len(reply.data) < len(op.data):
        return
    if op.request in _CONSTANT:
        before = seen.setdefault((op.fd, op.request, op.data), reply.data)
        if before != reply.data:
            yield Violation(conventions.REPEATABLE.id, step, f"{name} answered otherwise")
        if _broken_chain(op, reply.data):
            yield Violation(conventions.CAPS_CHAIN.id, step, f"{name} has a broken chain")


def outside(op: AnyOp, reply: Reply) -> bool:
    """Whether bytes changed that no promise of the caller's covers."""
    promised = 0
    if isinstance(op, o.Ioctl) and op.data is not None:
        # The caller may have promised more room than there was: argsz is its first word.
        promised = max(len(op.data), int.from_bytes(op.data[:4], "little"))
    elif isinstance(op, o.Pread):
        promised = op.size
    return any(at < 0 or at + len(data) > promised for at, data in reply.spill)


def _broken_chain(op: o.Ioctl, answer: bytes) -> bool:
    if op.request not in _CHAINS:
        return False
    at, flag = _CHAINS[op.request]
    given = int.from_bytes((op.data or b"")[:4], "little")
    wanted, flags = (int.from_bytes(answer[n : n + 4], "little") for n in (0, 4))
    first = int.from_bytes(answer[at : at + 4], "little")
    # Only a chain that was there to be written: flagged, with room for all of it.
    if not flags & flag or not first or wanted > given or wanted > len(answer) or given < at + 4:
        return False
    try:
        list(walk(answer[:wanted], first))
    except BrokenChain:
        return True
    return False


def may_leave(ops: Sequence[AnyOp]) -> int:
    """How many files a program may be given that none of its handles stands for."""
    return sum(
        isinstance(op, o.Ioctl)
        and op.out is None
        and (op.request in _FD_BY_NUMBER or ("device", op.request) not in IOCTLS)
        for op in ops
    )


def _errno(number: int) -> str:
    return errno.errorcode.get(number, f"the kernel's own error {number}")
