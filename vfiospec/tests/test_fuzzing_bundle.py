# SPDX-License-Identifier: MIT
"""Bundles of crashes: what is in them, what they are called, what the mail says."""

import subprocess
from pathlib import Path

import msgspec
import pytest

from vfiospec.abi import vfio
from vfiospec.device import ops as o
from vfiospec.device.ops import AnyOp, Reply
from vfiospec.device.transcript import Target, TranscriptDevice, load
from vfiospec.fuzzing import bundle
from vfiospec.fuzzing.frames import Frame
from vfiospec.fuzzing.mail import SECURITY
from vfiospec.fuzzing.symbolise import Symboliser, in_tree

OPS: list[AnyOp] = [
    o.Open(1, "/dev/vfio/3", 2),
    o.Ioctl(1, vfio.VFIO_GROUP_GET_DEVICE_FD, data=b"0000:00:14.0\0", out=2),
    o.Ioctl(2, vfio.VFIO_DEVICE_RESET),
]
TARGET = Target(
    test="program 17", kernel="debian", release="7.3.4-fuzz", topology="default",
    devices=(TranscriptDevice("e1000e", "0000:00:14.0", 3),),
)  # fmt: skip
TITLE = "KASAN: slab-use-after-free Read in vfio_pci_ioctl_reset"


def crash(**changes: object) -> bundle.Crash:
    """One as it might be."""
    facts: dict[str, object] = {
        "title": TITLE, "kind": "KASAN", "target": TARGET, "dangerous": True,
        "steps": [(OPS[0], Reply(4)), (OPS[1], Reply(5)), (OPS[2], None)],
        "report": "BUG: KASAN: ...\n vfio_pci_x+0x1/0x2 drivers/vfio/pci/vfio_pci_core.c:12",
        "console": "all of it", "when": "2026-11-26T02:00:00Z", "config": "CONFIG_VFIO=m\n",
        "topology": "description = 'x'\n", "version": "7.3.4-fuzz (a@b)", "qemu": "7.2",
        "alone": TITLE,
    }  # fmt: skip
    return bundle.Crash(**{**facts, **changes})  # type: ignore[arg-type]


def test_a_folder_for_each_title(tmp_path: Path) -> None:
    """With everything in it, and what can be read back."""
    folder, new = bundle.record(tmp_path, crash())
    assert (folder.name, new) == ("kasan-slab-use-after-free-read-in-vfio-pci-ioctl-reset", True)
    assert {path.name for path in folder.iterdir()} == {
        "program.jsonl", "reproducer.c", "report.txt", "console.log", "config", "topology.toml",
        "mail.txt", "crash.json",
    }  # fmt: skip
    target, steps = load(folder / "program.jsonl")
    assert (target, [op for op, _ in steps]) == (TARGET, OPS)
    assert TITLE in (folder / "reproducer.c").read_text()


def test_a_known_title_is_counted(tmp_path: Path) -> None:
    """A longer program changes nothing but the count; a shorter one, or one that works, does."""
    longer = [*crash().steps, (o.Close(2), None)]
    bundle.record(tmp_path, crash(steps=longer, alone=None))
    assert len(load(tmp_path / bundle.slug(TITLE) / "program.jsonl")[1]) == 4
    _, new = bundle.record(tmp_path, crash(when="2026-11-26T03:00:00Z"))
    assert not new
    bundle.record(tmp_path, crash(steps=longer, when="2026-11-26T04:00:00Z"))
    bundle.record(tmp_path, crash(title="WARNING in x", kind="WARNING", dangerous=False))
    index = msgspec.json.decode((tmp_path / bundle.INDEX).read_bytes(), type=list[bundle.Entry])
    assert index == bundle.entries(tmp_path)
    first, second = index
    assert (first.title, first.count, first.operations, first.public) == (TITLE, 3, 3, False)
    assert (first.first, first.last) == ("2026-11-26T02:00:00Z", "2026-11-26T04:00:00Z")
    assert (second.title, second.count, second.public) == ("WARNING in x", 1, True)


def test_a_folder_that_is_half_there_is_no_crash(tmp_path: Path) -> None:
    folder, _ = bundle.record(tmp_path, crash())
    (folder / bundle.RECORD).write_text('{"title":')
    assert bundle.entries(tmp_path) == []
    assert bundle.record(tmp_path, crash())[1]


@pytest.mark.parametrize("dangerous", [True, False])
def test_who_the_mail_is_for(tmp_path: Path, *, dangerous: bool) -> None:
    """What writes or uses memory it must not goes to the security team, and nowhere else."""
    folder, _ = bundle.record(tmp_path, crash(dangerous=dangerous))
    text = (folder / "mail.txt").read_text()
    head, body = text.split("--- 8< ---")
    assert head.startswith(f"Subject: [BUG] vfio: {TITLE}\n")
    assert (f"To: {SECURITY}" in head, "NOT FOR A PUBLIC LIST" in head) == (dangerous, dangerous)
    assert ("Cc:" in head, "get_maintainer.pl -f drivers/vfio/pci" in head) == (not dangerous,) * 2
    for words in ("gcc -static", "./reproducer E1000E", "e1000e at 0000:00:14.0",
                  "7.3.4-fuzz (a@b)",
                  "vfio_pci_core.c:12", "VFIO_DEVICE_RESET(device 2",
                  "Run by itself in a fresh boot", "QEMU 7.2"):  # fmt: skip
        assert words in body


def test_what_was_not_tried_alone_is_not_claimed(tmp_path: Path) -> None:
    folder, _ = bundle.record(tmp_path, crash(alone=None))
    assert "has not been tried by itself" in (folder / "mail.txt").read_text()


SOURCE = """\
static int __attribute__((noinline)) inner(int x)
{
	volatile int y = x;
	return y + 1;
}
int outer(int x)
{
	return inner(x) * 2;
}
int main(void) { return outer(1); }
"""


def test_frames_get_their_lines(tmp_path: Path) -> None:
    """Of a program that is linked as a kernel is, and of an object that is movable as a module."""
    source = tmp_path / "drivers" / "vfio" / "made_up.c"
    source.parent.mkdir(parents=True)
    source.write_text(SOURCE)
    vmlinux, module = tmp_path / "vmlinux", tmp_path / "made_up.ko"
    for words in (["-o", vmlinux], ["-c", "-o", module]):
        command = ["gcc", "-g", "-O1", "-no-pie", "-fno-pic", *map(str, words), str(source)]
        subprocess.run(command, check=True, capture_output=True)
    symbols = Symboliser(vmlinux, {"made_up": module, "packed": tmp_path / "packed.ko.xz"})
    assert symbols.able
    for name in ("", "made_up"):
        (inner,) = symbols.lines(Frame("inner", 1, 0, name), exact=True)
        assert inner.function == "inner"
        assert inner.place.startswith("drivers/vfio/made_up.c:")
        assert int(inner.place.rpartition(":")[2]) in {2, 3}
    assert symbols.lines(Frame("nowhere", 1, 2)) == []
    assert symbols.lines(Frame("inner", 1, 2, "packed")) == []
    report = ["Call Trace:", " inner+0x1/0x99 [made_up]", " gone+0x1/0x2", " ? inner+0x1/0x99"]
    said = list(symbols.annotate(report))
    assert said[0] == "Call Trace:"
    assert said[1].startswith(" inner+0x1/0x99 [made_up] drivers/vfio/made_up.c:")
    assert said[2:] == report[2:], "what is not there, and what the kernel is not sure of"


def test_the_folder_a_kernel_was_built_in_is_nobodys_business() -> None:
    text = "UBSAN: shift-out-of-bounds in /home/me/linux/drivers/vfio/vfio_iommu_type1.c:3043:33"
    assert in_tree(text) == "UBSAN: shift-out-of-bounds in drivers/vfio/vfio_iommu_type1.c:3043:33"
    for kept in ("open /dev/vfio/vfio", "drivers/vfio/x.c:1", " in /sys/bus/pci/drivers/x"):
        assert in_tree(kept) == kept


def test_a_kernel_without_debug_information(tmp_path: Path) -> None:
    """Says nothing, and breaks nothing."""
    (tmp_path / "vmlinux").write_bytes(b"\x7fELF garbage")
    symbols = Symboliser(tmp_path / "vmlinux", {"gone": tmp_path / "gone.ko"})
    lines = [" inner+0x1/0x99", " inner+0x1/0x99 [gone]"]
    assert list(symbols.annotate(lines)) == lines
    assert not Symboliser(None, {}).able
