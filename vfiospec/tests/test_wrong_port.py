# SPDX-License-Identifier: MIT
"""Wrong ports: what they change, what they leave alone, and that nothing stays open behind them."""

import errno
import mmap
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from vfiospec.abi import vfio
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device import ops as o
from vfiospec.device.files import EventFd, File, Memory
from vfiospec.device.ops import AnyOp, Reply
from vfiospec.device.port import ForkedPort, Port, PortError
from vfiospec.device.ports import LocalPort, hello_of_this_process
from vfiospec.rules import all_rules
from vfiospec.wrong import model
from vfiospec.wrong.beyond import BEYOND
from vfiospec.wrong.model import Change, Wrong, WrongError, fits
from vfiospec.wrong.port import StuckError, WrongPort
from vfiospec.wrong.seen import Things
from vfiospec.wrong.toml import dump

RULE = "device-info.num-irqs"
IRQ_INFO = vfio.vfio_irq_info(16, 0x5, 2, 8)


class Scripted(Port):
    """A kernel that answers every ioctl alike, and makes files of anything."""

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self.hello = hello_of_this_process()
        self.reply = reply
        self.made: list[AnyOp] = []

    def exchange(self, ops: Sequence[AnyOp]) -> list[Reply]:
        self.made += ops
        return [self.reply if isinstance(op, o.Ioctl) else Reply(3) for op in ops]

    def close(self) -> None:
        pass


def _wrong(call: str, change: Change, **more: Any) -> Wrong:  # noqa: ANN401 -- any field
    return Wrong(id="w", rule=RULE, what="", call=call, change=change, **more)


@pytest.fixture
def port() -> Iterator[WrongPort]:
    made = WrongPort(LocalPort())
    yield made
    made.close()


def _device(reply: Reply, wrong: Wrong) -> tuple[WrongPort, Scripted]:
    """A port on which handle 3 is a device's fd with the role msix."""
    real = Scripted(reply)
    port = WrongPort(real, {"0000:00:14.0": {"msix"}})
    port.do(o.Open(1, "/dev/vfio/7"))
    port.do(o.Ioctl(1, vfio.VFIO_GROUP_GET_DEVICE_FD, 0, b"0000:00:14.0\0", out=3))
    port.wrong = wrong
    real.made.clear()
    return port, real


def _irq_info(index: int = 2) -> o.Ioctl:
    return o.Ioctl(3, vfio.VFIO_DEVICE_GET_IRQ_INFO, 0, vfio.vfio_irq_info(16, 0, index, 0).pack())


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (Change(errno="EPERM"), Reply(-1, errno.EPERM, _irq_info().data)),
        (Change(add={"count": 1}), Reply(0, 0, vfio.vfio_irq_info(16, 0x5, 2, 9).pack())),
        (Change(flip={"flags": 4}), Reply(0, 0, vfio.vfio_irq_info(16, 0x1, 2, 8).pack())),
        (Change(more=8), Reply(8, 0, IRQ_INFO.pack())),
        (Change(spill=True), Reply(0, 0, IRQ_INFO.pack(), ((16, b"\0"),))),
        (Change(swallow=True), Reply(0, 0, _irq_info().data)),
        (Change(at=15, xor=0xFF), Reply(0, 0, IRQ_INFO.pack()[:15] + b"\xff")),
    ],
    ids=["errno", "field", "flag", "positive", "spill", "swallowed", "byte"],
)
def test_an_answer_becomes_another(change: Change, expected: Reply) -> None:
    """And is recorded as it was given."""
    wrong = _wrong("VFIO_DEVICE_GET_IRQ_INFO", change, where={"index": 2})
    port, real = _device(Reply(0, 0, IRQ_INFO.pack()), wrong)
    assert port.do(_irq_info()) == expected == port.steps[-1][1]
    assert port.do(_irq_info(3)) == Reply(0, 0, IRQ_INFO.pack())
    assert port.struck == 1
    assert len(real.made) == (1 if change.swallow else 2)


def test_a_request_becomes_another() -> None:
    port, real = _device(Reply(), _wrong("VFIO_DEVICE_GET_IRQ_INFO", Change(ask={"index": 4})))
    port.do(_irq_info())
    assert real.made == [_irq_info(4)]
    assert port.steps[-1][0] == _irq_info()


@pytest.mark.parametrize(
    ("more", "struck"),
    [
        ({"role": "msix"}, [1, 1, 1]), ({"role": "intx"}, [0, 0, 0]), ({"nth": 2}, [0, 1, 0]),
        ({"answered": "ok"}, [1, 1, 1]), ({"answered": "EINVAL"}, [0, 0, 0]),
        ({"where": {"index": ">2"}}, [0, 0, 0]), ({"where": {"value": 0}}, [0, 0, 0]),
    ],
    ids=["role", "other-role", "second", "ok", "refused", "less", "no-field"],
)  # fmt: skip
def test_a_wrong_port_strikes_where_it_says(more: dict[str, Any], struck: list[int]) -> None:
    wrong = _wrong("VFIO_DEVICE_GET_IRQ_INFO", Change(more=1), **more)
    port, _ = _device(Reply(0, 0, IRQ_INFO.pack()), wrong)
    assert [port.do(_irq_info()).ret for _ in range(3)] == struck
    port.begin()
    assert [port.do(_irq_info()).ret for _ in range(3)] == struck


def test_an_eventfd_is_signalled_or_not_as_the_wrong_port_has_it(port: WrongPort) -> None:
    with EventFd.create(port) as event:
        port.wrong = _wrong("read eventfd", Change(ret=8, at=0, xor=1), answered="EAGAIN")
        assert event.count() == 1
        port.wrong = _wrong("read eventfd", Change(errno="EAGAIN"), answered="ok")
        event.signal()
        assert event.count() == 0
        port.wrong = None
        assert event.count() == 0


def test_what_is_refused_in_the_end_was_not_made(port: WrongPort) -> None:
    """And what is accepted in the end can be used."""
    port.wrong = _wrong("open", Change(errno="EBUSY"), where={"path": "/dev/null"})
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with pytest.raises(OSError, match="busy"):
        File.open(port, "/dev/null")
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    port.wrong = _wrong("open", Change(ret=0), answered="ENOENT")
    File.open(port, "/nowhere").close()
    port.wrong = _wrong("mmap memory", Change(ret=0))
    made = port.do(o.Mmap(9, 4096, mmap.PROT_READ, 0))  # neither private nor shared: EINVAL
    assert made.ok
    assert port.do(o.Load(o.Ref(9), 4)).value == 0


def test_all_that_was_opened_is_closed(port: WrongPort) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    event = EventFd.create(port)
    event.dup()
    Memory(port, 4096)
    port.do(o.Fork(port.handle()))
    port.wrong = _wrong("close", Change(swallow=True), where={"on": "eventfd"})
    opened = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    event.close()
    assert len(os.listdir("/proc/self/fd")) == opened  # noqa: PTH208
    EventFd.create(port)  # under the handle that the test gave up
    port.release()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_second_process_sees_the_wrong_kernel_too(port: WrongPort) -> None:
    port.wrong = _wrong("readfile", Change(swap=("Name", "Nome")))
    process = port.handle()
    port.do(o.Fork(process))
    child = ForkedPort(port, process)
    assert child.do(o.ReadFile("/proc/self/status", 5)).bytes == b"Nome:"
    child.close()


def test_a_test_that_goes_on_and_on_is_ended(port: WrongPort) -> None:
    with EventFd.create(port) as event:
        with pytest.raises(StuckError):
            port.run([o.Pread(event.handle, 8)] * 40_000)
        port.begin()


def test_what_such_a_test_left_open_is_closed_all_the_same(port: WrongPort) -> None:
    event = EventFd.create(port)
    with pytest.raises(StuckError):
        port.run([o.Pread(event.handle, 8)] * 40_000)
    port.release()
    with pytest.raises(PortError, match="not an open file"):
        port.do(o.Pread(event.handle, 8))


def test_calls_are_named_without_what_differs_between_machines() -> None:
    things = Things()
    sysfs = things.see(o.ReadFile("/sys/bus/pci/devices/0000:00:14.0/iommu_group", 8))
    assert sysfs.fields["path"] == "/sys/bus/pci/devices/*/iommu_group"
    assert sysfs.bdf == "0000:00:14.0"
    assert things.see(o.Open(1, "/dev/vfio/12")).fields["path"] == "/dev/vfio/*"
    told = things.see(o.ReadFile("/proc/self/fdinfo/31", 80))
    assert told.fields["path"] == "/proc/self/fdinfo/*"


def test_what_lies_behind_dirty_pages_has_fields_too() -> None:
    things = Things()
    things.note(o.Open(1, "/dev/vfio/vfio"), Reply(3))
    head = iommu.vfio_iommu_type1_dirty_bitmap(48, iommu.VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP)
    behind = iommu.vfio_iommu_type1_dirty_bitmap_get(0x1000, 0x2000)
    call = o.Ioctl(1, iommu.VFIO_IOMMU_DIRTY_PAGES, 0, head.pack() + behind.pack())
    fields = things.see(call).fields
    assert (fields["range_iova"], fields["range_size"]) == (0x1000, 0x2000)
    assert fields["bitmap_size"] == 0
    assert "range_iova" not in things.see(o.Ioctl(1, call.request, 0, head.pack())).fields


def test_calls_of_a_second_process_can_be_told_apart(port: WrongPort) -> None:
    port.do(o.Fork(1))
    child = ForkedPort(port, 1)
    port.wrong = _wrong("eventfd", Change(errno="EMFILE"), where={"in": "process"})
    assert child.do(o.Eventfd(2)).errno == errno.EMFILE
    assert port.do(o.Eventfd(3)).ok
    child.close()


@pytest.mark.parametrize(
    ("wanted", "value", "fit"),
    [
        (3, 3, True), ("<16", 15, True), ("<16", 16, False), (">=0x10", 16, True), ("&4", 5, True),
        ("&4", 3, False), ("!4", 5, True), ("a", "a", True), ("a", "b", False), ("x", 1, False),
    ],
)  # fmt: skip
def test_a_field_is_as_wanted(wanted: int | str, value: int | str, fit: object) -> None:
    assert bool(fits(wanted, value)) is fit


def test_the_wrong_ports_there_are_can_be_read_and_written(tmp_path: Path) -> None:
    """Those of this repository: each breaks a rule there is, and nothing is lost in TOML."""
    wrongs = model.load()
    (tmp_path / "all.toml").write_text(dump(wrongs))
    assert model.load(tmp_path) == wrongs


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('rule = "no.rule"\nchange = { more = 1 }', "breaks 'no.rule', no rule"),
        (f'rule = "{RULE}"\nchange = {{}}', "changes nothing"),
        (f'rule = "{RULE}"\nchange = {{ errno = "EWHAT" }}', "'EWHAT' is no errno"),
        (f'rule = "{RULE}"\nchange = {{ mroe = 1 }}', "mroe"),
        (f'rule = "{RULE}"\nchange = {{ more = 1 }}\nwhere = {{ a = "<b" }}', "a = '<b'"),
    ],
    ids=["rule", "no-change", "errno", "misspelt", "comparison"],
)
def test_data_that_says_something_impossible_is_an_error(
    tmp_path: Path, text: str, why: str
) -> None:
    model_text = f'[[wrong]]\nid = "w"\nwhat = ""\ncall = "open"\n{text}\n'
    (tmp_path / "a.toml").write_text(model_text)
    with pytest.raises(WrongError, match=why):
        model.load(tmp_path)


def test_what_no_wrong_port_can_break_has_none() -> None:
    """Each is a rule that is asserted, and has a reason."""
    rules = all_rules()
    assert all(not rules[rule].untested and why for rule, why in BEYOND.items())
    assert not BEYOND.keys() & {wrong.rule for wrong in model.load()}
