# SPDX-License-Identifier: MIT
"""Programs made concrete, and made into others."""

from dataclasses import replace
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfiospec.abi import vfio, vfio_iommu
from vfiospec.device import ops as o
from vfiospec.device.ops import AnyOp, Fixup, FixupKind, Ref
from vfiospec.device.wire import decode_request, encode_request
from vfiospec.fuzzing import codec
from vfiospec.fuzzing.describe import descriptions
from vfiospec.fuzzing.fields import MEMORY, PAGE
from vfiospec.fuzzing.idioms import IDIOMS
from vfiospec.fuzzing.maker import KINDS
from vfiospec.fuzzing.materialise import materialise
from vfiospec.fuzzing.model import ANY_KIND, MAX_OPERATIONS, RAW, Operation, Program, World
from vfiospec.fuzzing.mutate import Mutator
from vfiospec.tests.fuzz_world import WORLD

CONTAINER, GROUP, DEVICE, OTHER, EVENTFD = 1, 2, 3, 4, 5


def ops_of(*steps: Operation, world: World = WORLD) -> list[AnyOp]:
    return materialise(steps, world).ops


@given(st.binary(max_size=300))
def test_every_program_is_valid_operations_of_the_port(data: bytes) -> None:
    made = materialise(codec.decode(data), WORLD)
    sent = encode_request(1, [o.Trace(tuple(made.ops), tuple(made.after), WORLD.first)])
    assert decode_request(sent[4:])[1][0].ops == tuple(made.ops)  # type: ignore[union-attr]
    assert len(made.origin) == len(made.ops)


@given(st.binary(max_size=300))
def test_what_programs_find_open_stays_open(data: bytes) -> None:
    for op in materialise(codec.decode(data), WORLD).ops:
        if isinstance(op, o.Close | o.Munmap):
            assert op.handle >= WORLD.first
        out = getattr(op, "out", None)
        assert out is None or out >= WORLD.first


def test_a_step_without_values_is_as_the_header_would_have_it() -> None:
    (op,) = ops_of(Operation("VFIO_IOMMU_MAP_DMA"))
    request = vfio_iommu.vfio_iommu_type1_dma_map(32, 3, 0, 0x100000, PAGE)
    fixups = (Fixup(8, FixupKind.ADDRESS, 7),)
    assert op == o.Ioctl(CONTAINER, vfio_iommu.VFIO_IOMMU_MAP_DMA, 0, request.pack(), fixups)


def test_an_eventfd_is_handed_over_by_its_handle() -> None:
    (op,) = ops_of(Operation("VFIO_DEVICE_SET_IRQS/eventfd"))
    assert isinstance(op, o.Ioctl)
    assert op.fd == DEVICE
    assert op.fixups[0] == Fixup(20, FixupKind.FD, EVENTFD)
    flags = vfio.VFIO_IRQ_SET_DATA_EVENTFD | vfio.VFIO_IRQ_SET_ACTION_TRIGGER
    assert vfio.vfio_irq_set.unpack(op.data or b"").flags == flags


def test_what_a_program_opened_comes_before_what_it_found() -> None:
    opened, asked, found = ops_of(
        Operation("VFIO_GROUP_GET_DEVICE_FD"),
        Operation("VFIO_DEVICE_GET_INFO", 0),
        Operation("VFIO_DEVICE_GET_INFO", 1),
    )
    assert isinstance(opened, o.Ioctl)
    assert opened.data == b"0000:00:14.0\0"
    assert (opened.out, getattr(asked, "fd", 0), getattr(found, "fd", 0)) == (100, 100, DEVICE)


def test_a_file_that_is_not_there_is_opened() -> None:
    opened, made = ops_of(Operation("IOMMU_IOAS_ALLOC"))
    assert isinstance(opened, o.Open)
    assert opened.path == "/dev/iommu"
    assert getattr(made, "fd", 0) == opened.out


def test_an_operation_may_be_made_on_a_file_of_another_kind() -> None:
    (op,) = ops_of(Operation("VFIO_DEVICE_GET_INFO", ANY_KIND | 0))
    assert getattr(op, "fd", 0) == CONTAINER


def test_a_number_replaces_a_choice() -> None:
    values = (0, 0, RAW + 0xFFFFFFFF)
    (op,) = ops_of(Operation("VFIO_DEVICE_GET_IRQ_INFO", 0, values))
    assert vfio.vfio_irq_info.unpack(getattr(op, "data", b"")).index == 0xFFFFFFFF


@pytest.mark.parametrize(
    ("place", "at"),
    [(0, None), (1, Ref(8, PAGE - 8)), (2, None), (3, None), (4, Ref(8, PAGE - 4))],
)
def test_a_buffer_lies_where_it_is_told(place: int, at: Ref | None) -> None:
    *_, op = ops_of(Operation("VFIO_GROUP_GET_STATUS", 0, (0, 0, place)))
    assert isinstance(op, o.Ioctl)
    assert op.at == at
    assert (op.data is None) == (place in {2, 3, 4})
    assert op.value == {3: 0x7FFFF0000000}.get(place, 0)


def test_room_behind_a_structure_is_part_of_its_size() -> None:
    (op,) = ops_of(Operation("VFIO_DEVICE_GET_INFO", 0, (0, 0, 0, 0, 0, 0, 0, 3)))
    data = getattr(op, "data", b"")
    assert len(data) == vfio.vfio_device_info.sizeof() + 256
    assert vfio.vfio_device_info.unpack(data).argsz == len(data)


def test_what_a_program_leaves_behind_on_what_it_found_is_undone() -> None:
    irqs = materialise((Operation("VFIO_DEVICE_SET_IRQS/none", 1, (0, 0, 2)),), WORLD).after
    assert [getattr(op, "fd", 0) for op in irqs] == [OTHER]
    off = vfio.vfio_irq_set.unpack(getattr(irqs[0], "data", b""))
    assert (off.index, off.start, off.count) == (2, 0, 0)
    mapped = materialise((Operation("VFIO_IOMMU_MAP_DMA"),) * 3, WORLD).after
    assert len(mapped) == 2, "once is enough"
    own = (Operation("VFIO_GROUP_GET_DEVICE_FD"), Operation("VFIO_DEVICE_SET_IRQS/none"))
    assert materialise(own, WORLD).after == [], "it is closed with the program"


def test_what_is_done_through_a_copy_of_a_descriptor_is_undone_too() -> None:
    (container,) = WORLD.handles["container"]
    copy = Operation("dup", KINDS.index("container"))
    made = materialise((copy, Operation("VFIO_IOMMU_MAP_DMA")), WORLD)
    assert [getattr(op, "fd", 0) for op in made.ops] == [0, 100]
    assert [getattr(op, "fd", 0) for op in made.after] == [container, container]


def test_a_program_closes_only_what_it_opened() -> None:
    assert ops_of(Operation("close", 5)) == []
    assert ops_of(Operation("eventfd"), Operation("close"))[1:] == [o.Close(100)]


def written(op: AnyOp) -> range:
    if isinstance(op, o.Pwrite) and op.data and op.offset is not None:
        return range(op.offset, op.offset + len(op.data))
    if isinstance(op, o.Store):
        return range(op.at.offset % PAGE, op.at.offset % PAGE + 1)
    return range(0)


@given(st.binary(max_size=300), st.integers(0x80, 0xA8), st.integers(0, 64))
def test_the_emulator_is_not_told_to_end(data: bytes, offset: int, size: int) -> None:
    """QEMU gives up on a wrong range of edu's DMA; only what sets a right one starts it."""
    steps = (
        *codec.decode(data),
        Operation("pwrite", 0, (1, RAW + offset, RAW + size)),
        Operation("write register", 0, (0, RAW + offset)),
        Operation("mmap"),
        Operation("store", 0, (RAW + offset,)),
    )
    made = materialise(steps, WORLD)
    for op, step in zip(made.ops, made.origin, strict=True):
        if steps[step].name != "edu dma":
            assert not set(written(op)) & set(range(0x98, 0xA0))


def test_a_transfer_of_edu_is_set_up_whole() -> None:
    ops = ops_of(Operation("edu dma", 0, (1, 1)))
    values = [int.from_bytes(getattr(op, "data", b""), "little") for op in ops]
    assert values == [0x40000, 0x101000, 8, 3]
    assert [getattr(op, "offset", 0) for op in ops] == [0x80, 0x88, 0x90, 0x98]


# -- mutation


def mutator(seed: int = 1, names: tuple[str, ...] = ()) -> Mutator:
    return Mutator(names or tuple(descriptions()), Random(seed))  # noqa: S311 -- no secret


@given(st.integers(0, 1 << 32), st.binary(max_size=200))
def test_mutations_are_programs(seed: int, data: bytes) -> None:
    make, program = mutator(seed), codec.decode(data)
    for _ in range(5):
        program = make.mutate(program, [make.fresh()])
        assert 0 < len(program) <= MAX_OPERATIONS
        assert codec.decode(codec.encode(program)) == program
        materialise(program, WORLD)


@given(st.integers(0, 1 << 32))
def test_the_same_seed_makes_the_same_programs(seed: int) -> None:
    def some() -> list[Program]:
        make = mutator(seed)
        program = make.fresh()
        return [program := make.mutate(program) for _ in range(10)]

    assert some() == some()


def test_a_mutator_keeps_to_its_operations() -> None:
    make = mutator(names=("VFIO_DEVICE_GET_INFO", "close"))
    program = make.fresh()
    for _ in range(200):
        program = make.mutate(program)
        assert {step.name for step in program} <= {"VFIO_DEVICE_GET_INFO", "close"}


def test_new_steps_are_mostly_valid_and_sometimes_broken() -> None:
    make = mutator(names=("VFIO_DEVICE_GET_INFO",))
    steps = [make.operation() for _ in range(500)]
    sizes = sum(step.values[0] == 0 for step in steps)
    assert 300 < sizes < 500, "the size is right in most, and wrong in some"


def test_a_compared_number_is_tried_in_the_place_of_ours() -> None:
    make = mutator(names=("VFIO_CHECK_EXTENSION",))
    make.compared = {0x1234: 0x77665544}
    program: Program = (Operation("VFIO_CHECK_EXTENSION", 0, (RAW + 0x1234,)),)
    seen = {step.values[0] for _ in range(200) for step in make.mutate(program) if step.values}
    assert RAW + 0x77665544 in seen


def test_crossing_takes_from_both() -> None:
    make = mutator()
    one, other = (Operation("close"),) * 4, (Operation("eventfd"),) * 4
    names = {frozenset(s.name for s in make.cross(one, other)) for _ in range(50)}
    assert frozenset({"close", "eventfd"}) in names


def test_idioms_are_of_operations_there_are_and_are_put_in_whole() -> None:
    assert all(step.name in descriptions() for idiom in IDIOMS for step in idiom)
    names = ("open group", "VFIO_GROUP_SET_CONTAINER", "close")
    make = mutator(names=names)
    seen = sum(tuple(s.name for s in make.fresh())[:2] == names[:2] for _ in range(400))
    assert seen > 80
    assert not mutator(names=("close",)).fresh()[0].values


def test_every_operation_can_be_made() -> None:
    """Each description has a shape that makes something of it, in a world that has it all."""
    for name in descriptions():
        before = ("memfd", "eventfd", "VFIO_GET_API_VERSION")
        assert len(ops_of(*map(Operation, (*before, name)))) >= 4, name
    msgspec.msgpack.encode(ops_of(*(Operation(name) for name in list(descriptions())[:20])))


def test_a_device_is_let_go_before_it_is_taken_from_its_driver() -> None:
    """A driver waits until nobody has a file or memory of the device: that would be for ever."""
    steps = ("open group", "VFIO_GROUP_GET_DEVICE_FD", "mmap", "dup", "open container", "unbind")
    ops = ops_of(*(Operation(name) for name in steps))
    taken = next(n for n, op in enumerate(ops) if isinstance(op, o.WriteFile))
    left = {type(op): {op.handle} for op in ops[:taken] if isinstance(op, o.Close | o.Munmap)}
    assert set(left) == {o.Close, o.Munmap}
    opened = {op.out for op in ops[:taken] if isinstance(op, o.Open) and "vfio/vfio" not in op.path}
    closed = {op.handle for op in ops[:taken] if isinstance(op, o.Close)}
    assert opened < closed
    containers = {op.out for op in ops if isinstance(op, o.Open)} - opened
    assert not containers & closed


def test_one_device_at_a_time_is_without_its_driver() -> None:
    made = materialise((Operation("unbind"), Operation("unbind"), Operation("bind")), WORLD)
    driver = "/sys/bus/pci/drivers/vfio-pci"
    told = [op.path for op in made.ops if isinstance(op, o.WriteFile)]
    assert told == [f"{driver}/{what}" for what in ("unbind", "bind", "unbind", "bind")]
    assert made.after == [o.WriteFile(f"{driver}/bind", b"0000:00:14.0")]


def test_a_device_somebody_holds_keeps_its_driver() -> None:
    nobody = World(WORLD.handles, WORLD.subjects, WORLD.first)
    assert ops_of(Operation("unbind"), Operation("bind"), world=nobody) == []


def test_a_driver_that_guards_nothing_is_asked_for_its_first_region_alone() -> None:
    """What mtty does elsewhere is to memory of another's, and would be blamed on whatever dies."""
    world = replace(WORLD, fragile=frozenset({DEVICE}))
    beyond = [Operation(name, 0, (RAW + 2,)) for name in ("pread", "pwrite")]
    assert ops_of(*beyond, Operation("dup", KINDS.index("device")), *beyond, world=world) == [
        o.Dup(world.first, DEVICE)
    ]
    assert len(ops_of(*beyond)) == 2
    assert len(ops_of(Operation("pread", 0, (RAW,)), world=world)) == 1


def test_a_file_is_as_fragile_as_its_device() -> None:
    subjects = tuple(replace(subject, fragile=True) for subject in WORLD.subjects)
    world = replace(WORLD, subjects=subjects)
    config = Operation("pread", 0, (RAW + 7,))
    for name in ("VFIO_GROUP_GET_DEVICE_FD", "open cdev"):
        ops = ops_of(Operation(name), config, world=world)
        assert not any(isinstance(op, o.Pread) for op in ops), name
        assert any(isinstance(op, o.Pread) for op in ops_of(Operation(name), config)), name


TOUCH = ("mmap", "memfd", "load", "store", "madvise", "mprotect", "munmap")


@given(st.lists(st.tuples(st.sampled_from(TOUCH), st.integers(0, 9), st.integers(0, 1 << 64))))
def test_memory_is_touched_where_it_is_a_programs(steps: list[tuple[str, int, int]]) -> None:
    """What lies behind a mapping may be the executor's own."""
    program = tuple(Operation(name, on, (RAW + n, RAW + n, RAW + n)) for name, on, n in steps)
    sizes = {7: MEMORY}
    for op in materialise(program, WORLD).ops:
        if isinstance(op, o.Mmap):
            sizes[op.out] = -(-op.length // PAGE) * PAGE
        elif isinstance(op, o.Alloc):
            sizes[op.out] = op.size
        elif isinstance(op, o.Load | o.Store):
            assert op.at.offset == 0 or op.at.offset + op.width <= sizes[op.at.handle]
        elif isinstance(op, o.Syscall):
            at, size = op.args[:2]
            assert isinstance(at, Fixup)
            assert isinstance(size, int)
            assert at.addend + size <= sizes[at.handle]


def test_a_race_is_of_the_last_calls() -> None:
    """Of quick ones: a reset takes too long to be made many times."""
    version, get = Operation("VFIO_GET_API_VERSION"), Operation("VFIO_CHECK_EXTENSION")
    one, other, race = ops_of(version, get, Operation("race", 0, (RAW + 3, RAW + 1)))
    assert race == o.Race(((other,), (one,)), 3)
    assert ops_of(get, Operation("race"))[-1] == o.Race(((other,), (other,)), 8)
    both = ops_of(version, get, Operation("race", 0, (RAW + 3, RAW + 2)))[-1]
    assert both == o.Race(((one, other), (one, other)), 3)
    assert ops_of(Operation("VFIO_DEVICE_RESET"), Operation("race"))[1:] == []


def test_an_idiom_is_about_one_device() -> None:
    make = mutator(names=("open group", "VFIO_GROUP_SET_CONTAINER", "VFIO_GROUP_GET_DEVICE_FD"))
    seen = set()
    for _ in range(300):
        steps = {s.name: s.values for s in make.some_idiom()}
        asked, opened = (steps.get(n) for n in ("VFIO_GROUP_GET_DEVICE_FD", "open group"))
        if asked is not None and opened is not None:
            seen.add((opened[-1:], asked[-1:]))
    assert len(seen) > 3
    assert all(opened == asked for opened, asked in seen)


def test_an_idiom_is_about_one_interrupt() -> None:
    """What else its steps say of it stays."""
    make = mutator(names=("eventfd", "VFIO_DEVICE_SET_IRQS/eventfd", "VFIO_DEVICE_SET_IRQS/none"))
    indexes = set()
    for _ in range(300):
        steps = [s for s in make.some_idiom() if s.name.startswith("VFIO_DEVICE_SET_IRQS")]
        indexes.add(tuple((*s.values, 0, 0, 0)[2] for s in steps))
    assert {i for (i, *_) in indexes} == {0, 1, 2, 3, 4}
    assert all(len(set(one)) == 1 for one in indexes)
