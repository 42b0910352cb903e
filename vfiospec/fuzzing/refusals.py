# SPDX-License-Identifier: MIT
"""Whether a call that was refused left everything as it was.

A program is run again with such a call left out. If it changed nothing, all the others answer as
they did with it.
"""

import errno
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from vfiospec.abi import vfio, vfio_feature, vfio_iommu
from vfiospec.device import ops as o
from vfiospec.device.ops import AnyOp, Ref, Reply
from vfiospec.fuzzing.guest import Outcome
from vfiospec.fuzzing.maker import Concrete
from vfiospec.fuzzing.model import World
from vfiospec.fuzzing.oracle import Violation
from vfiospec.rules import kernel as rules

# Refusals before anything was done. EFAULT is not one: an answer can be lost behind what was done.
_REFUSALS: Final = frozenset({
    errno.EINVAL, errno.ENOTTY, errno.EBUSY, errno.ENODEV, errno.EEXIST, errno.EPERM, errno.ENOENT,
    errno.EOPNOTSUPP, errno.E2BIG, errno.ENOSPC, errno.EOVERFLOW,
})  # fmt: skip
# Calls that do all or nothing. SET_IRQS, resets, UNMAP_DMA and the state of a migration may rightly
# have done a part of it when they fail.
_ATOMIC: Final = frozenset({
    vfio.VFIO_CHECK_EXTENSION, vfio.VFIO_SET_IOMMU, vfio.VFIO_GROUP_GET_STATUS,
    vfio.VFIO_GROUP_SET_CONTAINER, vfio.VFIO_GROUP_GET_DEVICE_FD, vfio.VFIO_DEVICE_GET_INFO,
    vfio.VFIO_DEVICE_GET_REGION_INFO, vfio.VFIO_DEVICE_GET_IRQ_INFO, vfio.VFIO_DEVICE_IOEVENTFD,
    vfio.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, vfio_iommu.VFIO_IOMMU_GET_INFO,
    vfio_iommu.VFIO_IOMMU_MAP_DMA, vfio_iommu.VFIO_IOMMU_DIRTY_PAGES,
    vfio_feature.VFIO_DEVICE_BIND_IOMMUFD,
})  # fmt: skip
ROUNDS: Final = 3  # times that both must answer as they did, and differently, to be believed

Answers = tuple[tuple[object, ...], ...]
Execute = Callable[[Sequence[Concrete]], Sequence[Reply]]


def refused(outcome: Outcome) -> Iterator[int]:
    """Which operations of an execution were refused, and should have changed nothing."""
    for at, (op, reply) in enumerate(zip(outcome.made.ops, outcome.replies, strict=False)):
        if (
            isinstance(op, o.Ioctl)
            and op.request in _ATOMIC
            and reply.ret == -1
            and reply.errno in _REFUSALS
        ):
            yield at


def without(made: Concrete, at: int, world: World) -> Concrete:
    """The same, with a look at our own memory in the place of one operation."""
    ops: list[AnyOp] = list(made.ops)
    ops[at] = o.Peek(Ref(world.handles["memory"][0], 0), 1)
    return replace(made, ops=ops)


def changed(outcome: Outcome, at: int, world: World, execute: Execute) -> Violation | None:
    """What a refused operation changed all the same, if it is the same each time."""
    full, less = outcome.made, without(outcome.made, at, world)
    seen: list[tuple[Answers, Answers]] = []
    for n in range(ROUNDS):
        # In turn first: what every run changes a little more must not look like an answer.
        replies = execute([less, full])[::-1] if n % 2 else execute([full, less])
        one, other = (_answers(reply, at) for reply in replies)
        seen.append((one, other))
        if one == other or seen[0] != seen[-1]:
            return None
    one, other = seen[0]
    step = full.origin[at]
    name = outcome.program[step].name
    for n, (mine, its) in enumerate(zip(one, other, strict=True)):
        if mine != its:
            later = outcome.program[full.origin[n]].name
            how = f"{name} was refused, and changed what {later} answers"
            return Violation(rules.REFUSED_UNCHANGED.id, step, how)
    return None


def _answers(trace: Reply, at: int) -> Answers:
    return tuple(
        (part.ret, part.errno, part.signal, part.data, part.values) if n != at else ()
        for n, part in enumerate(trace.parts)
    )
