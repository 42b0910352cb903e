# SPDX-License-Identifier: MIT
"""Transcripts: a file keeps every operation exactly, words tell a person what was done."""

import signal
import tempfile
from errno import EINVAL
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfiospec.abi import vfio, vfio_iommu
from vfiospec.device import ops as o
from vfiospec.device.ops import AnyOp, Fixup, FixupKind, Ref, Reply
from vfiospec.device.port import Step
from vfiospec.device.transcript import (
    Narrator,
    Target,
    TranscriptDevice,
    TranscriptError,
    load,
    narrate,
    save,
    translate,
)

TARGET = Target(
    test="device_info.argsz.too-small",
    kernel="debian",
    release="6.12.117",
    devices=(TranscriptDevice("edu", "0000:00:15.0", 3),),
)

handles = st.integers(0, (1 << 20) - 1)
s64, u64 = st.integers(-(1 << 63), (1 << 63) - 1), st.integers(0, (1 << 64) - 1)
data = st.binary(max_size=100)
refs = st.builds(Ref, handles, s64)
fixups = st.builds(Fixup, u64, st.sampled_from(FixupKind).map(int), handles, s64)
leaves: st.SearchStrategy[AnyOp] = st.one_of(
    st.builds(o.Open, handles, st.text(max_size=20), s64, s64),
    st.builds(
        o.Ioctl,
        handles,
        st.one_of(u64, st.sampled_from([vfio.VFIO_DEVICE_GET_INFO, vfio.VFIO_GROUP_GET_STATUS])),
        u64,
        st.none() | data,
        st.lists(fixups, max_size=2).map(tuple),
        st.none() | refs,
        st.none() | handles,
    ),
    st.builds(o.Pread, handles, u64, st.none() | s64, st.none() | refs),
    st.builds(o.Store, refs, st.sampled_from([1, 2, 4, 8]), u64),
    st.builds(o.Alloc, handles, u64, st.sampled_from(o.MemoryKind).map(int), s64, st.booleans()),
    st.builds(o.Poll, st.lists(handles, max_size=3).map(tuple), s64, s64),
    st.builds(o.WriteFile, st.text(max_size=20), data),
    st.builds(o.Syscall, st.text(max_size=9), st.lists(s64 | fixups, max_size=3).map(tuple)),
)
operations = leaves | st.builds(o.In, handles, st.lists(leaves, max_size=2).map(tuple))
replies = st.builds(
    Reply,
    s64,
    st.integers(0, 133),
    st.none() | data,
    st.lists(st.tuples(s64, data), max_size=2).map(tuple),
    st.sampled_from([0, signal.SIGBUS, signal.SIGSEGV]).map(int),
    u64,
    st.lists(s64, max_size=3).map(tuple),
    st.just(()) | st.tuples(st.builds(Reply, s64)),
    st.text(max_size=9),
)


@given(st.lists(st.tuples(operations, st.none() | replies), max_size=4))
@settings(deadline=None, max_examples=150)
def test_what_is_saved_is_loaded(steps: list[Step]) -> None:
    """Any operations, any answers, and no answer."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a" / "b.jsonl"
        save(path, TARGET, steps)
        assert load(path) == (TARGET, steps)
        assert [p.name for p in path.parent.iterdir()] == ["b.jsonl"]
        texts = [msgspec.json.decode(line)["text"] for line in path.read_bytes().splitlines()[1:]]
    assert texts == list(narrate(steps))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A transcript of two steps."""
    steps: list[Step] = [(o.Open(1, "/dev/vfio/3"), Reply(5)), (o.Close(1), None)]
    save(tmp_path / "t.jsonl", TARGET, steps)
    return tmp_path / "t.jsonl"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (0, b"{}"),
        (0, b'{"type":"step","op":[2,1]}'),
        (1, b"not JSON"),
        (1, b'{"type":"step","op":[99,1]}'),
        (2, b'{"type":"step","op":[2,-1]}'),
        (2, b'{"type":"transcript"}'),
        (2, b'{"type":"step","op":[2,1],"reply":[0,"EINVAL"]}'),
        (2, b'{"type":"step","text":"\xff","op":[2,1]}'),
    ],
)
def test_a_corrupt_line_is_named(saved: Path, line: int, text: bytes) -> None:
    """The message has the file, the line counted from 1, and what is wrong, on one line."""
    lines = saved.read_bytes().splitlines()
    lines[line] = text
    saved.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(TranscriptError) as caught:
        load(saved)
    message = str(caught.value)
    assert message.startswith(f"{saved}, line {line + 1}: ")
    assert len(message.splitlines()) == 1


def test_a_file_cut_short_is_named(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:-5])
    with pytest.raises(TranscriptError, match=r"t\.jsonl, line 3: "):
        load(saved)


def test_no_file_and_an_empty_file_are_no_transcript(tmp_path: Path) -> None:
    with pytest.raises(TranscriptError, match="No such file or directory"):
        load(tmp_path / "none")
    (tmp_path / "empty").touch()
    with pytest.raises(TranscriptError, match="empty, so no transcript"):
        load(tmp_path / "empty")


@pytest.fixture
def tell() -> Narrator:
    """A narrator that knows a container (1), a group (2) and a device (3)."""
    narrator = Narrator()
    narrator.say((o.Open(1, "/dev/vfio/vfio"), Reply(4)))
    narrator.say((o.Open(2, "/dev/vfio/noiommu-7"), Reply(5)))
    narrator.say((o.Ioctl(2, vfio.VFIO_GROUP_GET_DEVICE_FD, data=b"x\0", out=3), Reply(6)))
    return narrator


def test_get_info_is_told_by_field(tell: Narrator) -> None:
    """What was sent and what came back; without an answer or with an error, what was sent."""
    sent = vfio.vfio_device_info(20, 0, 0, 0)
    got = vfio.vfio_device_info(20, 3, 9, 5)
    op = o.Ioctl(3, vfio.VFIO_DEVICE_GET_INFO, data=sent.pack())
    text = tell.say((op, Reply(0, 0, got.pack())))
    assert text == f"VFIO_DEVICE_GET_INFO(device 3, {sent!r} => {got!r}) -> 0"
    assert "num_regions=9, num_irqs=5" in text
    told = f"VFIO_DEVICE_GET_INFO(device 3, {sent!r})"
    assert tell.say((op, Reply(-1, EINVAL, sent.pack()))) == f"{told} -> EINVAL"
    assert tell.say((op, None)) == f"{told} -> no answer"


def test_a_number_is_told_by_the_kind_of_its_fd(tell: Narrator) -> None:
    """0x3b70 asks a device for its hot reset, a container for its IOMMU."""
    assert vfio.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO == vfio_iommu.VFIO_IOMMU_GET_INFO
    number = vfio_iommu.VFIO_IOMMU_GET_INFO
    assert tell.say((o.Ioctl(1, number), Reply())).startswith("VFIO_IOMMU_GET_INFO(container 1,")
    hot = "VFIO_DEVICE_GET_PCI_HOT_RESET_INFO(device 3,"
    assert tell.say((o.Ioctl(3, number), Reply())).startswith(hot)
    tell.say((o.Dup(8, 1), Reply(7)))
    assert "container 8" in tell.say((o.Ioctl(8, number), Reply()))
    tell.say((o.Open(3, "/dev/vfio/12"), Reply(7)))  # the handle is another file's now
    assert tell.say((o.Ioctl(3, 0x1234, 5), Reply(-1, 25))) == (
        "ioctl 0x1234(group 3, 0x5) -> ENOTTY"
    )


def test_touches_are_told_with_their_signal(tell: Narrator) -> None:
    reply = Reply(-1, 0, None, (), signal.SIGBUS, 0x7F0000001000)
    assert tell.say((o.Load(Ref(9, 4096), 4), reply)) == (
        "Load(at=Ref(handle=9, offset=4096), width=4) -> SIGBUS at 0x7f0000001000"
    )


def test_other_answers_are_told(tell: Narrator) -> None:
    spill = Reply(0, 0, b"\1\2", ((2, b"\xff"),))
    assert tell.say((o.Pread(3, 2), spill)) == (
        "Pread(fd=3, size=2) -> 0, wrote outside: [(2, 'ff')] 0102"
    )
    assert tell.say((o.Close(3), Reply(fault="handle 3 is not open"))) == (
        "Close(handle=3) -> not made: handle 3 is not open"
    )
    long = tell.say((o.Poke(Ref(1), bytes(65)), Reply()))
    assert long.endswith("... 65 bytes) -> 0")
    assert tell.say((o.Ioctl(1, 0x1234, at=Ref(9, 16)), Reply())) == (
        "ioctl 0x1234(container 1, memory 9+16) -> 0"
    )


OLD = (TranscriptDevice("a", "0000:00:15.0", 3), TranscriptDevice("b", "0000:00:16.0", 4))
NEW = (TranscriptDevice("b", "0000:00:15.0", 3), TranscriptDevice("a", "0001:02:00.1", 12))


def test_translate_moves_each_device_once() -> None:
    """Group numbers, addresses in paths and in ioctls; b moves to where a was."""
    moved: list[tuple[AnyOp, AnyOp]] = [
        (o.Open(1, "/dev/vfio/3"), o.Open(1, "/dev/vfio/12")),
        (o.Open(1, "/dev/vfio/4"), o.Open(1, "/dev/vfio/3")),
        (
            o.ReadFile("/sys/bus/pci/devices/0000:00:16.0/config", 64),
            o.ReadFile("/sys/bus/pci/devices/0000:00:15.0/config", 64),
        ),
        (
            o.WriteFile("/sys/bus/pci/devices/0000:00:15.0/reset", b"1"),
            o.WriteFile("/sys/bus/pci/devices/0001:02:00.1/reset", b"1"),
        ),
        (
            o.Ioctl(2, vfio.VFIO_GROUP_GET_DEVICE_FD, data=b"0000:00:15.0\0", out=3),
            o.Ioctl(2, vfio.VFIO_GROUP_GET_DEVICE_FD, data=b"0001:02:00.1\0", out=3),
        ),
    ]
    for before, after in moved:
        assert translate(before, OLD, NEW) == after
        inside = o.In(9, (before, o.Close(1)))
        assert translate(inside, OLD, NEW) == o.In(9, (after, o.Close(1)))
        race = o.Race(((before,), (o.Close(1),)), 7)
        assert translate(race, OLD, NEW) == o.Race(((after,), (o.Close(1),)), 7)
        assert translate(o.FailNth(3, before), OLD, NEW) == o.FailNth(3, after)


def test_a_call_that_was_made_to_fail_is_told_as_such() -> None:
    """What it was, what it gave, and whether the failure took place; the file's kind is known."""
    steps = [
        (o.FailNth(2, o.Open(1, "/dev/vfio/vfio")), Reply(7, values=(1,))),
        (o.FailNth(1, o.Ioctl(1, vfio.VFIO_GET_API_VERSION)), Reply(-1, 12, values=(0,))),
    ]
    told = list(narrate(steps))
    assert told[0].endswith("-> 7, made to fail before its point 2")
    assert (
        told[1] == "VFIO_GET_API_VERSION(container 1, 0x0) -> ENOMEM, made to fail at its point 1"
    )


def test_translate_leaves_the_rest_alone() -> None:
    same: list[AnyOp] = [
        o.Open(1, "/dev/vfio/vfio"),
        o.Open(1, "/dev/vfio/33"),
        o.ReadFile("/proc/version"),
        o.Ioctl(3, vfio.VFIO_DEVICE_GET_INFO, data=bytes(20)),
        o.Close(3),
    ]
    assert [translate(op, OLD, NEW) for op in same] == same
    gone = o.Open(1, "/dev/vfio/4")
    assert translate(gone, OLD, NEW[1:]) == gone  # a device that is not there now
