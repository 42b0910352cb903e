# SPDX-License-Identifier: MIT
"""A campaign on a made-up kernel that dies of one thing and complains of another."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from vfiospec.device import ops as o
from vfiospec.device.ops import AnyOp, Reply
from vfiospec.device.port import Port, TargetLostError
from vfiospec.device.transcript import load
from vfiospec.fuzzing import codec, journal
from vfiospec.fuzzing.avoid import Avoided
from vfiospec.fuzzing.campaign import Campaign, CampaignOver
from vfiospec.fuzzing.driver import Driver, Plan
from vfiospec.fuzzing.feedback import Counters, comparisons, places, visible
from vfiospec.fuzzing.materialise import materialise
from vfiospec.fuzzing.model import RAW, Operation, Program
from vfiospec.fuzzing.target import Target
from vfiospec.tests.fuzz_world import WORLD
from vfiospec.tests.made_up_port import MadeUpPort

DEADLY = Operation("VFIO_SET_IOMMU", 0, (RAW + 666,))
LEAKY = Operation("VFIO_CHECK_EXTENSION", 0, (RAW + 888,))
NOISY = Operation("VFIO_CHECK_EXTENSION", 0, (RAW + 777,))
HARMLESS = Operation("VFIO_GET_API_VERSION")
TARGET = Target("made-up", "nothing", ("VFIO_SET_IOMMU", "VFIO_CHECK_EXTENSION", "close"))


@dataclass
class Placed:
    name: str = "made-up"
    bdf: str = "0000:00:14.0"
    group: int | None = None


@dataclass
class Health:
    log: list[str]

    @property
    def trouble(self) -> list[str]:
        return [line for line in self.log if line.startswith(("BUG", "UBSAN"))]


@dataclass
class MadeUpGuest:
    """Dies of 666, complains of 777, covers a place for each number it is asked about."""

    devices: Sequence[Placed] = (Placed(),)
    can_restart: bool = True
    starts: int = 0
    lines: list[str] = field(default_factory=list)
    log: int | None = 9
    port: Port = field(init=False)
    unfound: bool = False  # does not die twice
    why: str = ""
    locked: int = 0
    noise: str = "WARNING: CPU: 0 PID: 1 at x.c:1 vfio_made_up+0x1/0x2"

    def start(self) -> None:
        self.starts += 1
        self.lines = []
        self.port = MadeUpPort(self.answer)

    def answer(self, op: AnyOp) -> Reply:
        if isinstance(op, o.Trace):
            parts = tuple(self.answer(each) for each in op.ops)
            values = {int(each.value) for each in op.ops if isinstance(each, o.Ioctl)}
            been = b"".join(v.to_bytes(4, "little") for v in sorted(values) if v < 1 << 32)
            if op.watch is not None:
                text, self.lines = "".join(f"4,1,1,-;{x}\n" for x in self.lines), []
                parts += (Reply(0, data=text.encode()),)
            return Reply(0, data=been, values=(0, 0), parts=parts)
        if isinstance(op, o.Ioctl) and op.value == 666:
            if not self.unfound or self.starts == 1:
                raise TargetLostError("the executor is gone", [op])
        elif isinstance(op, o.ReadFile):
            return Reply(0, data=b"VmLck:\t%d kB\n" % self.locked)
        elif isinstance(op, o.Ioctl) and op.value == 888:
            self.locked += 4
        elif isinstance(op, o.Ioctl) and op.value == 777:
            self.lines += [self.noise, "Call Trace:"]
        return Reply()

    def monitor(self, port: Port) -> "MadeUpGuest":
        del port
        return self

    def look(self) -> Health:
        seen, self.lines = Health(self.lines), []
        return seen

    def read(self, records: bytes) -> Health:
        return Health([x.partition(";")[2] for x in records.decode().splitlines()])

    def stop(self) -> None: ...

    def abandon(self) -> None: ...

    def why_lost(self, error: TargetLostError) -> str:
        return self.why or f"panic after {error.reason}"

    def console(self) -> str:
        return "BUG: kernel NULL pointer dereference, address: 0000000000000008\n"


class Quiet(MadeUpGuest):
    """One whose console tells nothing."""

    def console(self) -> str:
        return "booted\n"


Begin = Callable[..., Campaign]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Starts campaigns, and ends them."""
    begun: list[Campaign] = []

    def begin(guest: MadeUpGuest, max_reboots: int = 1000) -> Campaign:
        folder = tmp_path / str(len(begun))
        made = Campaign(guest, TARGET, folder, monitor=guest.monitor, max_reboots=max_reboots)
        begun.append(made)
        made.start()
        return made

    yield begin
    for made in begun:
        made.stop()


def test_a_program_that_leaves_memory_locked_is_told_from_its_neighbours(begin: Begin) -> None:
    made = begin(MadeUpGuest())
    innocent = (HARMLESS, HARMLESS)
    for _ in range(3):
        made.run([innocent] * 80)
    assert made.finds == []
    made.run([innocent, (HARMLESS, LEAKY), innocent])
    made.run([innocent] * 32)
    (find,) = made.finds
    assert (find.title, find.program) == (
        "kernel.nothing-held: memory stays locked or pinned", (HARMLESS, LEAKY),
    )  # fmt: skip


def test_a_program_is_on_disk_before_it_runs(begin: Begin) -> None:
    guest = MadeUpGuest()
    made = begin(guest)
    program: Program = (HARMLESS, DEADLY)
    seen: list[list[Program]] = []
    exchange = guest.port.exchange

    def look_first(ops: Sequence[AnyOp]) -> Sequence[Reply]:
        seen.append(list(journal.read(made.folder / "journal.bin"))[-1])
        return exchange(ops)

    guest.port.exchange = look_first  # type: ignore[method-assign]
    assert made.run([program]) == []
    assert seen[0] == [program]


def test_a_death_is_found_out_and_the_campaign_goes_on(begin: Begin) -> None:
    guest = MadeUpGuest()
    made = begin(guest)
    assert made.run([(HARMLESS,), (HARMLESS, DEADLY, HARMLESS), (HARMLESS,)]) == []
    (find,) = made.finds
    assert find.program == (HARMLESS, DEADLY, HARMLESS)
    assert find.step == 1
    assert "NULL pointer" in find.title
    assert find.folder is not None
    assert codec.decode((find.folder / "program").read_bytes()) == find.program
    target, steps = load(find.folder / "transcript.jsonl")
    assert target.test == find.title
    assert any(isinstance(op, o.Ioctl) and op.value == 666 for op, _ in steps)
    assert guest.starts == 3, "once to begin, once to look, once to go on"
    assert len(made.run([(HARMLESS,)])) == 1


def test_an_emulator_that_gives_up_is_no_find(begin: Begin) -> None:
    guest = MadeUpGuest(why="QEMU gave up, not the kernel: hardware error: EDU")
    made = begin(guest)
    made.run([(HARMLESS, DEADLY)])
    assert made.finds == []
    assert made.figures.reboots == 2
    assert made.run([(HARMLESS, DEADLY)]) == []
    assert made.figures.avoided == 1, "but it is avoided"


def test_a_report_without_a_death_is_found_out_too(begin: Begin) -> None:
    made = begin(MadeUpGuest(noise="BUG: KASAN: slab-use-after-free in vfio_x+0x1/0x2"))
    made.run([(HARMLESS,), (HARMLESS, NOISY)])
    (find,) = made.finds
    assert find.program == (HARMLESS, NOISY)
    assert find.step == 1
    assert find.title.startswith("KASAN")
    assert made.figures.reboots == 2, "one to look closer, one to go on"


def test_a_mild_report_takes_no_boot_and_is_kept_once(begin: Begin) -> None:
    guest = MadeUpGuest(noise="UBSAN: shift-out-of-bounds in drivers/vfio/x.c:1:2")
    made = begin(guest)
    made.run([(HARMLESS,), (NOISY,)])
    made.run([(HARMLESS, NOISY)])
    (find,) = made.finds
    assert find.program == (NOISY,)
    assert made.figures.titles == {find.title: 2}
    assert guest.starts == 1


def test_a_known_crash_is_avoided_and_others_are_not(begin: Begin) -> None:
    made = begin(MadeUpGuest())
    made.run([(DEADLY,)])
    assert made.run([(HARMLESS, DEADLY)]) == []
    assert made.figures.avoided == 1
    other = Operation("VFIO_SET_IOMMU", 0, (RAW + 667,))
    assert len(made.run([(other,)])) == 1
    assert made.figures.titles == {made.finds[0].title: 1}


def test_a_death_nobody_can_repeat_keeps_the_journal(begin: Begin) -> None:
    made = begin(MadeUpGuest(unfound=True))
    made.run([(HARMLESS, DEADLY)])
    (find,) = made.finds
    assert find.program == ()
    assert find.folder is not None
    (batch,) = journal.read(find.folder / "journal.bin")
    assert batch == [(HARMLESS, DEADLY)]


def test_what_a_kernel_goes_on_after_hides_no_death(begin: Begin) -> None:
    """One program does both: the step that it dies of is the one that counts."""
    noise = "UBSAN: shift-out-of-bounds in drivers/vfio/pci/x.c:447:20\nvfio_x+0x1/0x2"
    made = begin(MadeUpGuest(noise=noise))
    made.run([(HARMLESS, NOISY, DEADLY)])
    assert [(find.title.split(":")[0], find.step) for find in made.finds] == [("BUG", 2)]


def test_an_index_that_is_too_large_takes_a_boot(begin: Begin) -> None:
    """What the kernel wrote there is another's: nothing it does from now on can be believed."""
    noise = "UBSAN: array-index-out-of-bounds in samples/vfio-mdev/x.c:5:2\nvfio_x+0x1/0x2"
    made = begin(MadeUpGuest(noise=noise))
    made.run([(HARMLESS, NOISY)])
    assert [(find.title.split(" ")[1], find.step) for find in made.finds] == [
        ("array-index-out-of-bounds", 1)
    ]
    assert made.figures.reboots == 2
    made.run([(NOISY,)])
    assert made.figures.avoided == 1


def test_time_that_was_up_once_and_never_again_is_no_find(begin: Begin) -> None:
    """So it is on a machine that was busy with something else."""
    made = begin(Quiet(unfound=True, why="no answer within 60 s"))
    made.run([(HARMLESS, DEADLY)])
    assert made.finds == []
    (batch,) = journal.read(made.folder / "unexplained-001.bin")
    assert batch == [(HARMLESS, DEADLY)]


def test_a_death_is_called_the_same_wherever_it_was_told_of(begin: Begin) -> None:
    """Its first line is all there is of it: an address in that would make each a new one."""
    made = begin(Quiet(why="BUG: unable to handle page fault for address: ffffc90000123000"))
    made.run([(DEADLY,)])
    assert [find.title for find in made.finds] == ["BUG: unable to handle page fault"]


def test_a_kernel_that_cannot_be_started_again_ends_it(begin: Begin) -> None:
    made = begin(MadeUpGuest(can_restart=False))
    with pytest.raises(CampaignOver):
        made.run([(DEADLY,)])
    few = begin(MadeUpGuest(), max_reboots=1)
    with pytest.raises(CampaignOver, match="all 1 reboots"):
        few.run([(DEADLY,)])


def pread(region: int, offset: int, size: int = RAW + 4) -> Operation:
    return Operation("pread", 0, (RAW + region, RAW + offset, size))


def test_what_is_avoided_lies_between_the_deaths() -> None:
    known = Avoided()
    known.learn("t", (pread(1, 20),), 0)
    assert known.matches((HARMLESS, pread(1, 20)))
    assert not known.matches((pread(1, 21),))
    known.learn("t", (pread(1, 30),), 0)
    assert known.matches((pread(1, 25),))
    for other in (pread(2, 25), pread(1, 19), pread(1, 31), pread(1, 25, RAW + 8)):
        assert not known.matches((other,)), other


def test_a_number_is_the_same_however_it_was_chosen() -> None:
    known = Avoided()
    known.learn("t", (Operation("pread", 0, (1, 0, RAW + 4)),), 0)  # the second choice: region 0
    assert known.matches((pread(0, 0),))
    negative = Operation("VFIO_DEVICE_IOEVENTFD", 0, (0, 0, RAW + (1 << 64) - 8))
    known.learn("u", (negative,), 0)
    known.learn("u", (negative._replace(values=(0, 0, RAW + (1 << 63))),), 0)
    assert known.matches((negative._replace(values=(0, 0, RAW + (1 << 64) - 4096)),))
    assert not known.matches((negative._replace(values=(0, 0, RAW + (1 << 62))),))


def test_nothing_is_learnt_of_what_looks_all_the_same() -> None:
    known = Avoided()
    known.learn("t", (HARMLESS,), 1)
    assert not known.matches((HARMLESS,)), "harm when all is closed is no step's"
    known.learn("t", (Operation("close"),), 0)
    assert not known.matches((Operation("close"),)), "a close has nothing to tell it by"


# -- feedback, and the driver between it and an engine


class Engine:
    def __init__(self) -> None:
        self.marked: list[int] = []
        self.pairs: list[tuple[int, int, int]] = []

    def mark(self, indexes: Sequence[int]) -> None:
        self.marked = list(indexes)

    def compared(self, one: int, other: int, width: int) -> None:
        self.pairs.append((one, other, width))


def driver(begin: Begin, feedback: str = "kcov") -> tuple[Driver, Engine]:
    engine = Engine()
    made = begin(MadeUpGuest())
    made.mode = o.TraceMode.ADDRESSES
    plan = Plan(feedback, batch=8, comparisons=False)
    return Driver(made, engine, Counters(1 << 10), Random(1), plan), engine  # noqa: S311


def test_a_mutation_that_showed_something_new_is_handed_over_with_what_it_showed(
    begin: Begin,
) -> None:
    drive, engine = driver(begin)
    data = codec.encode((Operation("VFIO_CHECK_EXTENSION", 0, (RAW + 5,)),))
    drive.check(data)
    assert drive.campaign.figures.executions == 1
    assert drive.covered == {5}
    assert len(engine.marked) == 1
    made = drive.mutate(data, 4096, 0)
    ran = drive.campaign.figures.executions
    assert ran == 9, "a batch of eight for one mutation"
    drive.check(made)
    assert drive.campaign.figures.executions == ran, "it is known already"
    drive.check(data)
    assert drive.campaign.figures.executions == ran + 1


def test_unguided_shows_nothing(begin: Begin) -> None:
    drive, engine = driver(begin, "none")
    drive.check(codec.encode((HARMLESS,)))
    assert engine.marked == []
    assert drive.covered, "but what was reached is measured"


def test_places_and_comparisons_are_read_from_an_answer() -> None:
    assert places(Reply(data=(7).to_bytes(4, "little") * 2 + b"\x09\0\0\0")) == {7, 9}
    words = (0x6, 0x1234, 0x5678)  # four bytes, against a variable... 1 << (6 >> 1 & 3)
    data = b"".join(w.to_bytes(8, "little") for w in words)
    assert list(comparisons(Reply(data=data + b"cut"))) == [(8, 0x1234, 0x5678)]


def test_what_is_visible_differs_by_answer_and_by_what_came_before() -> None:
    one = (HARMLESS, NOISY)
    made = materialise(one, WORLD)
    ok, refused = [Reply(), Reply()], [Reply(), Reply(-1, 22)]
    first, second = (visible(one, made.ops, made.origin, r) for r in (ok, refused))
    assert first != second
    assert visible(one, made.ops, made.origin, ok) == first
    swapped = (NOISY, HARMLESS)
    again = materialise(swapped, WORLD)
    assert visible(swapped, again.ops, again.origin, ok) != first


def test_counters_are_given_in_order_and_number_0_is_left() -> None:
    counters = Counters(4)
    assert counters.of([10, 20, 10]) == [1, 2, 1]
    assert counters.unseen({10, 30}) == {30}
    assert counters.of([30, 40]) == [3, 1], "what does not fit shares"
