# SPDX-License-Identifier: MIT
"""C reproducers: that they build, say what they mean, and do what the transcript did."""

import errno
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from random import Random

import pytest

from vfiospec.abi import iommufd, vfio, vfio_feature, vfio_iommu
from vfiospec.device import ops as o
from vfiospec.device.ops import AnyOp, Fixup, FixupKind, MemoryKind, Ref, Reply
from vfiospec.device.port import Step
from vfiospec.device.ports import LocalPort
from vfiospec.device.transcript import Target, TranscriptDevice
from vfiospec.fuzzing.creproducer import BUILD, reproducer
from vfiospec.fuzzing.describe import descriptions
from vfiospec.fuzzing.materialise import materialise
from vfiospec.fuzzing.mutate import Mutator
from vfiospec.tests.fuzz_world import WORLD

NIC = TranscriptDevice("e1000e", "0000:00:14.0", 3)
EDU = TranscriptDevice("edu", "0000:00:15.0", 4)
TARGET = Target(test="a.test", kernel="debian", release="7.3.4", devices=(NIC, EDU))
SET_IRQS = vfio.vfio_irq_set(
    argsz=28, flags=vfio.VFIO_IRQ_SET_DATA_EVENTFD | vfio.VFIO_IRQ_SET_ACTION_TRIGGER,
    index=vfio.VFIO_PCI_MSIX_IRQ_INDEX, count=2,
).pack()  # fmt: skip
MAP_DMA = vfio_iommu.vfio_iommu_type1_dma_map(
    argsz=32, flags=vfio_iommu.VFIO_DMA_MAP_FLAG_READ, iova=1 << 32, size=4096
).pack()
CONFIG = vfio.VFIO_PCI_CONFIG_REGION_INDEX << 40

# What only a kernel with VFIO answers: never run here.
VFIO_OPS: list[AnyOp] = [
    o.Open(1, "/dev/vfio/vfio", os.O_RDWR | os.O_CLOEXEC),
    o.Open(2, "/dev/vfio/3", os.O_RDWR),
    o.Ioctl(2, vfio.VFIO_GROUP_SET_CONTAINER, data=bytes(4), fixups=(Fixup(0, 0, 1),)),
    o.Ioctl(1, vfio.VFIO_SET_IOMMU, vfio.VFIO_TYPE1v2_IOMMU),
    o.Ioctl(2, vfio.VFIO_GROUP_GET_DEVICE_FD, data=b"0000:00:14.0\0", out=3),
    o.Alloc(10, 4096, MemoryKind.MEMFD, fill=0x11),
    o.Ioctl(1, vfio_iommu.VFIO_IOMMU_MAP_DMA, data=MAP_DMA, fixups=(Fixup(8, 1, 10, 16),)),
    o.Eventfd(5, 0, 0o4000),
    o.Ioctl(3, vfio.VFIO_DEVICE_SET_IRQS, data=SET_IRQS + b"\xff" * 8, fixups=(Fixup(20, 0, 5),)),
    o.Ioctl(3, vfio.VFIO_DEVICE_GET_INFO, data=b"\x18\0\0\0" + b"\xa5" * 276),
    o.Ioctl(3, vfio_feature.VFIO_DEVICE_FEATURE, data=vfio_feature.vfio_device_feature(
        argsz=8, flags=vfio_feature.VFIO_DEVICE_FEATURE_SET
        | vfio_feature.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY).pack()),
    o.Ioctl(3, vfio.VFIO_DEVICE_GET_IRQ_INFO, data=b"\x10\0\0\0", at=Ref(10, 4090)),
    o.Ioctl(3, vfio.VFIO_DEVICE_RESET),
    o.Ioctl(3, 0x4004BEEF, data=b"hello"),
    o.Ioctl(3, vfio.VFIO_CHECK_EXTENSION, 1 << 63),
    o.Pread(3, 4, CONFIG + 4),
    o.Pwrite(3, b"\x06\0", CONFIG + 4),
    o.Pread(3, 64, at=Ref(10)),
    o.Pwrite(3, at=Ref(10, -8), size=64, offset=-1),
    o.Mmap(11, 8192, 3, 1, 3, 4096),
    o.Load(Ref(11), 4),
    o.Munmap(11),
    o.Open(6, "/dev/vfio/devices/vfio1", os.O_RDWR),
    o.Open(7, "/dev/iommu", os.O_RDWR),
    o.Ioctl(7, iommufd.IOMMU_IOAS_ALLOC, data=iommufd.iommu_ioas_alloc(size=12).pack()),
    o.Ioctl32(3, vfio.VFIO_DEVICE_GET_INFO, at=Ref(10)),
    o.Ioctl32(3, vfio.VFIO_DEVICE_RESET, 7),
    o.WriteFile("/sys/bus/pci/devices/0000:00:14.0/driver/unbind", b"0000:00:14.0\n"),
    o.ReadLink("/sys/bus/pci/devices/0000:00:15.0/driver"),
    o.Race(((o.Ioctl(3, vfio.VFIO_DEVICE_RESET), o.Dup(8, 3), o.Close(8)),
            (o.Pread(3, 4, CONFIG),)), 100),
    o.Dup(9, 3),
    o.Trace((o.Eventfd(50), o.Alloc(51, 4096), o.Ioctl(3, vfio.VFIO_DEVICE_RESET)), first=50),
    o.FailNth(3, o.Ioctl(2, vfio.VFIO_GROUP_GET_DEVICE_FD, data=b"0000:00:14.0\0", out=12)),
    o.FailNth(1, o.Mmap(13, 4096, 3, 1, 3, 0)),
    o.Close(3),
]  # fmt: skip

# What any kernel answers.
PLAIN_OPS: list[AnyOp] = [
    o.Eventfd(1, 3, os.O_NONBLOCK),
    o.Pread(1, 8),
    o.Pread(1, 8),
    o.Pwrite(1, (7).to_bytes(8, "little")),
    o.Dup(2, 1),
    o.Poll((1, 2), 5),
    o.Alloc(3, 8192, fill=0x42, guard=True),
    o.Load(Ref(3, 8), 4),
    o.Load(Ref(3, 8192), 1),
    o.Store(Ref(3, 16), 8, 0x1122334455667788),
    o.Poke(Ref(3, 24), b"some bytes"),
    o.Peek(Ref(3, 16), 20),
    o.Peek(Ref(3, 8190), 4),
    o.Pread(2, 8, at=Ref(3, 64)),
    o.Pwrite(2, at=Ref(3, 8192), size=8),
    o.Mmap(4, 4096, 3, 0x22),
    o.Syscall("madvise", (Fixup(0, FixupKind.ADDRESS, 4), 4096, 4)),
    o.Syscall("fcntl", (Fixup(0, FixupKind.FD, 1), 3)),
    o.Munmap(4),
    o.Fork(5),
    o.In(5, (o.Pwrite(1, (9).to_bytes(8, "little")), o.Close(1), o.Pread(1, 8))),
    o.Pread(1, 8),
    o.Eventfd(6, 5, os.O_NONBLOCK),
    o.SendFd(5, 6, 70000),
    o.In(5, (o.Pread(70000, 8),)),
    o.Pread(6, 8),
    o.Wait(5),
    o.Fork(5),
    o.Wait(5, signal.SIGKILL),
    o.Race(((o.Pwrite(1, bytes([1]) + bytes(7)),), (o.Pwrite(1, bytes([2]) + bytes(7)),)), 50),
    o.Pread(1, 8),
    o.Rlimit(7, 128, 4096),
    o.Open(8, "/dev/null", os.O_RDWR | os.O_CREAT, 0o644),
    o.Ioctl(8, vfio.VFIO_GET_API_VERSION),
    o.Ioctl(8, vfio.VFIO_DEVICE_GET_INFO, data=b"\x18\0\0\0" + b"\xa5" * 276),
    o.Drain(8),
    o.WriteFile("/dev/null", b'a "quoted" \\ line\n'),
    o.ReadFile("/proc/self/nothing"),
    o.ListDir("/proc/self/nothing"),
    o.ReadLink("/proc/self/nothing"),
    o.Close(8),
    o.Close(8),
]  # fmt: skip


def built(folder: Path, text: str) -> Path:
    """The program, built as its first lines say."""
    (folder / "reproducer.c").write_text(text)
    words = BUILD.split()
    if shutil.which(words[0]) is None:
        pytest.fail("no gcc: apt install gcc libc6-dev")
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:2000]
    return folder / "reproducer"


def test_every_operation_is_covered() -> None:
    """ReceiveFd is never written by a caller."""
    used = {type(op) for op in (*VFIO_OPS, *PLAIN_OPS)}
    assert set(o.OPS.values()) - used == {o.ReceiveFd}


def test_no_operation_takes_along_what_it_does_not_use(tmp_path: Path) -> None:
    """One of each kind, alone, is a program without a warning."""
    alone = {type(op): op for op in (*VFIO_OPS, *PLAIN_OPS)}
    for number, op in enumerate(alone.values()):
        (tmp_path / f"{number}.c").write_text(reproducer(TARGET, [(op, None)]).text)
    words = ["gcc", "-fsyntax-only", "-Wall", "-Werror", *map(str, tmp_path.iterdir())]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:2000]


def test_what_the_fuzzer_makes_becomes_c(tmp_path: Path) -> None:
    """Every operation it knows, with the values it likes."""
    mutator = Mutator(list(descriptions()), Random(7))  # noqa: S311 -- the same every time
    for number in range(6):
        ops = [op for _ in range(10) for op in materialise(mutator.fresh(), WORLD).ops]
        (tmp_path / f"{number}.c").write_text(reproducer(TARGET, [(op, None) for op in ops]).text)
    words = ["gcc", "-fsyntax-only", "-Wall", "-Werror", *map(str, tmp_path.iterdir())]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:2000]


def test_a_program_of_vfio_calls(tmp_path: Path) -> None:
    """It builds, names what the header names, and asks for its devices."""
    text = reproducer(TARGET, [(op, None) for op in VFIO_OPS], "KASAN: a title").text
    program = built(tmp_path, text)
    for words in (
        " * KASAN: a title",
        "open(group_of(bdf_e1000e), O_RDWR)",
        "open(cdev_of(bdf_edu), O_RDWR)",
        "*arg = container_1;",
        "ioctl(container_1, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)",
        "strncpy(arg, bdf_e1000e, 13);",
        ".vaddr = (unsigned long)at(&memory_10, 16),",
        ".flags = VFIO_DMA_MAP_FLAG_READ,",
        ".flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,",
        ".index = VFIO_PCI_MSIX_IRQ_INDEX,",
        "*(__s32 *)((unsigned char *)arg + 20) = event_5;",
        ".flags = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY,",
        "memset((unsigned char *)arg + 24, 0xa5, 256);",
        "pread(device_3, arg, 4, REGION(VFIO_PCI_CONFIG_REGION_INDEX, 4))",
        "for (int round = 0; round < 100; round++) {",
        'answer("munmap", unmap(&memory_51));',
        'answer("close event_50", close_file(&event_50));',
    ):
        assert words in text
    asked = subprocess.run([program], capture_output=True, text=True, check=False)
    assert asked.returncode == 2
    assert re.search(r"usage: \S+ E1000E EDU, each a PCI address", asked.stderr)
    assert not re.search(r"open\(\"/dev/vfio/\d", text), "group numbers are found at run time"


def as_printed(op: AnyOp, reply: Reply) -> str | None:
    """How a reproducer prints an answer; None for what depends on the process."""
    if isinstance(op, o.Race | o.ReadLink | o.Drain) or getattr(op, "out", None) is not None:
        return None
    if isinstance(op, o.In | o.SendFd):
        return None
    if reply.signal:
        return os.strerror(errno.EFAULT)
    if isinstance(op, o.Load):
        return f"{reply.value:#x}" if reply.value else "0"
    return os.strerror(reply.errno) if reply.ret == -1 else f"{reply.ret:#x}" if reply.ret else "0"


def flat(steps: list[Step]) -> list[Step]:
    """With the steps of second processes in the place where they are made."""
    out: list[Step] = []
    for op, reply in steps:
        if isinstance(op, o.In) and reply is not None:
            out += zip(op.ops, reply.parts, strict=True)
        else:
            out.append((op, reply))
    return out


def test_it_answers_as_the_port_did(tmp_path: Path) -> None:
    """Files, memory with faults, second processes, passed files, races, limits: for real."""
    port = LocalPort()
    replies = [port.exchange([op])[0] for op in PLAIN_OPS]
    port.close()
    steps: list[Step] = list(zip(PLAIN_OPS, replies, strict=True))
    assert [reply.fault for reply in replies if reply.fault] == ["handle 8 is not an open file"]
    text = reproducer(Target(test="plain", kernel="host", release="here"), steps).text
    program = built(tmp_path, text)
    assert "It needs no device." in text
    done = subprocess.run([program], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
    said = [line.split(" -> ")[1] for line in done.stdout.splitlines() if " -> " in line]
    wanted = [as_printed(op, r) for op, r in flat(steps) if r is not None and not r.fault]
    kept = [word for word in wanted if word is not None]
    missing = iter(said)
    assert all(word in missing for word in kept), (kept, done.stdout)
    assert "OUTSIDE" not in done.stdout


def test_answers_stand_beside_the_calls() -> None:
    """And where the kernel was lost; what was never made is only told."""
    steps: list[Step] = [
        (o.Eventfd(1), Reply(7)),
        (o.Ioctl(1, vfio.VFIO_DEVICE_RESET), Reply(-1, errno.ENOTTY)),
        (o.Close(9), Reply(-1, fault="handle 9 is not an open file")),
        (o.Close(1), None),
    ]
    text = reproducer(TARGET, steps).text
    assert "VFIO_DEVICE_RESET, 0)); /* ENOTTY */" in text
    assert "/* not made: handle 9 is not an open file */" in text
    assert re.search(r"close_file\(&event_1\)\); /\* no answer: lost here \*/", text)


def test_mediated_devices_are_found_by_their_names() -> None:
    """Which group and which file they get depends on what else there is."""
    uuid = "8e680118-a73f-58e6-9e1a-c4acf6720ba5"
    folder = f"/sys/bus/mdev/devices/{uuid}"
    steps: list[Step] = [
        (o.ReadLink(f"{folder}/iommu_group"), Reply(37, data=b"../../../kernel/iommu_groups/15")),
        (o.ListDir(f"{folder}/vfio-dev"), Reply(0, data=b".\0..\0vfio12\0")),
        (o.Open(1, "/dev/vfio/15", os.O_RDWR), None),
        (o.Open(2, "/dev/vfio/devices/vfio12", os.O_RDWR), None),
        (o.Open(3, "/dev/vfio/3", os.O_RDWR), None),
    ]
    text = reproducer(TARGET, steps).text
    assert f'open(group_of("{uuid}"), O_RDWR)' in text
    assert f'open(cdev_of("{uuid}"), O_RDWR)' in text
    assert "open(group_of(bdf_e1000e), O_RDWR)" in text


def test_a_mediated_device_nothing_told_of_has_the_group_that_no_other_has() -> None:
    """A program made small has lost the calls that told."""
    create = "/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create"
    steps: list[Step] = [
        (o.WriteFile(create, b"8e680118-a73f-58e6-9e1a-c4acf6720ba5"), None),
        (o.Open(1, "/dev/vfio/15", os.O_RDWR), None),
        (o.Open(2, "/dev/vfio/3", os.O_RDWR), None),
    ]
    text = reproducer(TARGET, steps).text
    assert 'open(group_of("8e680118-a73f-58e6-9e1a-c4acf6720ba5"), O_RDWR)' in text
    assert "open(group_of(bdf_e1000e), O_RDWR)" in text
