# SPDX-License-Identifier: MIT
"""What is asked between two batches, on a made-up kernel that forgets to undo things."""

import errno
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from vfiospec.abi import vfio, vfio_iommu
from vfiospec.device import edu
from vfiospec.device import ops as o
from vfiospec.device.ops import AnyOp, Reply
from vfiospec.fuzzing import reach, refusals
from vfiospec.fuzzing.atrest import AtRest
from vfiospec.fuzzing.fields import PAGE
from vfiospec.fuzzing.guest import Outcome
from vfiospec.fuzzing.maker import Concrete
from vfiospec.fuzzing.materialise import materialise
from vfiospec.fuzzing.model import RAW, Operation
from vfiospec.tests.fuzz_world import WORLD
from vfiospec.tests.made_up_port import MadeUpPort

# -- at rest


@dataclass
class Files:
    """Answers as they are set; by default all alike."""

    locked: int = 0
    pinned: int = 0
    answers: dict[int, Reply] = field(default_factory=dict)

    def __call__(self, op: AnyOp) -> Reply:
        if isinstance(op, o.ReadFile):
            text = f"VmPeak:\t 9 kB\nVmLck:\t {self.locked} kB\nVmPin:\t {self.pinned} kB\n"
            return Reply(len(text), data=text.encode())
        assert isinstance(op, o.Ioctl)
        return self.answers.get(op.request, Reply(0, data=op.data))


def test_a_world_left_as_it_was_is_not_complained_about() -> None:
    port, rest = MadeUpPort(Files(locked=8)), AtRest(WORLD)
    assert [rest.look(port) for _ in range(3)] == [[], [], []]


@pytest.mark.parametrize("what", ["locked", "pinned"])
def test_memory_that_stays_held_is_told_once(what: str) -> None:
    files = Files()
    port, rest = MadeUpPort(files), AtRest(WORLD)
    rest.look(port)
    setattr(files, what, 4)
    assert rest.look(port) == ["kernel.nothing-held: memory stays locked or pinned"]
    assert rest.look(port) == []
    setattr(files, what, 0)
    assert rest.look(port) == [], "less than before is no leak"


@pytest.mark.parametrize(
    "request_",
    [
        vfio.VFIO_DEVICE_GET_INFO, vfio.VFIO_DEVICE_GET_REGION_INFO, vfio.VFIO_DEVICE_GET_IRQ_INFO,
        vfio.VFIO_GROUP_GET_STATUS, vfio_iommu.VFIO_IOMMU_GET_INFO,
    ],
)  # fmt: skip
@pytest.mark.parametrize("answer", [Reply(0, data=b"other"), Reply(-1, errno.EIO)])
def test_a_file_that_answers_otherwise_is_named(request_: int, answer: Reply) -> None:
    files = Files()
    port, rest = MadeUpPort(files), AtRest(WORLD)
    rest.look(port)
    files.answers[request_] = answer
    (said,) = rest.look(port)
    assert said.startswith("kernel.undone: VFIO_")
    assert said.endswith("answers otherwise than before")


# -- refusals

SET_IOMMU = Operation("VFIO_SET_IOMMU", 0, (RAW + 99,))
VERSION = Operation("VFIO_GET_API_VERSION")
UNMAP = Operation("VFIO_IOMMU_UNMAP_DMA")


def outcome(first: Operation, number: int) -> Outcome:
    """Two steps, of which the first is refused."""
    program = (first, VERSION)
    made = materialise(program, WORLD)
    assert len(made.ops) == 2
    return Outcome(program, made, Reply(parts=(Reply(-1, number), Reply())))


def test_only_what_does_all_or_nothing_is_tried() -> None:
    assert list(refusals.refused(outcome(SET_IOMMU, errno.EINVAL))) == [0]
    assert list(refusals.refused(outcome(SET_IOMMU, errno.EFAULT))) == []
    assert list(refusals.refused(outcome(UNMAP, errno.EINVAL))) == []


@dataclass
class Kernel:
    """Answers the second step with how often the refused one was made, if that `counts`."""

    counts: bool
    wavers: bool = False
    asked: int = 0

    def __call__(self, programs: Sequence[Concrete]) -> Sequence[Reply]:
        self.asked += 1
        replies = []
        for made in programs:
            refused = isinstance(made.ops[0], o.Ioctl)
            later = int(refused and self.counts) + (self.asked if self.wavers else 0)
            replies.append(Reply(parts=(Reply(-1, errno.EINVAL) if refused else Reply(1),
                                        Reply(later))))  # fmt: skip
        return replies


def test_a_refusal_that_changes_a_later_answer() -> None:
    broken = refusals.changed(outcome(SET_IOMMU, errno.EINVAL), 0, WORLD, Kernel(counts=True))
    assert broken is not None
    assert broken.title == (
        "kernel.refused-changes-nothing: VFIO_SET_IOMMU was refused, and changed what "
        "VFIO_GET_API_VERSION answers"
    )


@pytest.mark.parametrize("kernel", [Kernel(counts=False), Kernel(counts=True, wavers=True)])
def test_a_refusal_that_changes_nothing_or_nothing_for_sure(kernel: Kernel) -> None:
    assert refusals.changed(outcome(SET_IOMMU, errno.EINVAL), 0, WORLD, kernel) is None


# -- reach

DEVICE, CONTAINER, MEMORY = 3, 1, 7
_AT = vfio_iommu.vfio_iommu_type1_dma_map.offset_of("iova")


@dataclass
class Machine:
    """A page that can be mapped, and edu; `forgets` says which unmapping does nothing."""

    forgets: bool = False
    refuses: bool = False
    memory: bytearray = field(default_factory=lambda: bytearray(64 * PAGE))
    buffer: bytes = bytes(PAGE)
    mapped: set[int] = field(default_factory=set)
    registers: dict[int | None, int] = field(default_factory=dict)

    def __call__(self, op: AnyOp) -> Reply:
        if isinstance(op, o.Ioctl):
            at = int.from_bytes((op.data or b"")[_AT : _AT + 8], "little")
            if op.request == vfio_iommu.VFIO_IOMMU_MAP_DMA:
                if self.refuses:
                    return Reply(-1, errno.ENOSPC)
                self.mapped.add(at)
            elif not self.forgets:
                self.mapped.clear()
            return Reply()
        if isinstance(op, o.Poke):
            self.memory[: len(op.data)] = op.data
            return Reply(len(op.data))
        if isinstance(op, o.Peek):
            return Reply(op.size, data=bytes(self.memory[: op.size]))
        if isinstance(op, o.Pread):
            return Reply(4, data=bytes(4))
        assert isinstance(op, o.Pwrite)
        self.registers[op.offset] = int.from_bytes(op.data or b"", "little")
        if op.offset == edu.DMA_COMMAND:
            self.transfer()
        return Reply(8)

    def transfer(self) -> None:
        source, target = (self.registers[r] for r in (edu.DMA_FROM, edu.DMA_TO))
        size = self.registers[edu.DMA_COUNT]
        if source == edu.DMA_BUFFER and target in self.mapped:
            self.memory[:size] = self.buffer[:size]
        elif target == edu.DMA_BUFFER and source in self.mapped:
            self.buffer = bytes(self.memory[:size])


IN_REACH = replace(WORLD, dma=(DEVICE, CONTAINER))


def test_a_device_that_reaches_nothing_any_more() -> None:
    machine = Machine()
    assert reach.strays(MadeUpPort(machine), IN_REACH, [0x5000]) == ""
    assert any(machine.buffer), "it was shown a pattern"


def test_an_unmapping_that_did_nothing_is_seen() -> None:
    said = reach.strays(MadeUpPort(Machine(forgets=True)), IN_REACH, [])
    assert said == "kernel.dma-inside-mappings: a device reached memory that nothing maps"


def test_an_address_that_programs_left_mapped_is_seen() -> None:
    class Leaky(Machine):
        def transfer(self) -> None:
            self.mapped.add(0x5000)
            super().transfer()

    assert reach.strays(MadeUpPort(Leaky()), IN_REACH, []) == ""
    assert reach.strays(MadeUpPort(Leaky()), IN_REACH, [0x5000]) != ""


def test_nothing_is_asked_without_edu_or_a_mapping() -> None:
    port = MadeUpPort(Machine())
    assert reach.strays(port, WORLD, []) == ""
    assert port.asked == []
    assert reach.strays(MadeUpPort(Machine(refuses=True)), IN_REACH, []) == ""


def test_addresses_that_programs_mapped() -> None:
    program = (Operation("VFIO_IOMMU_MAP_DMA"),)
    made = materialise(program, WORLD)
    (at,) = reach.mapped(Outcome(program, made, Reply()))
    (op,) = (each for each in made.ops if isinstance(each, o.Ioctl))
    assert op.data is not None
    assert op.data[_AT : _AT + 8] == at.to_bytes(8, "little")
