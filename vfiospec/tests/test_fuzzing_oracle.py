# SPDX-License-Identifier: MIT
"""Oracles on made-up answers: each fires on what it is for, and on nothing else."""

import pytest

from vfiospec.abi import vfio
from vfiospec.device import ops as o
from vfiospec.device.ops import Reply
from vfiospec.fuzzing.materialise import materialise
from vfiospec.fuzzing.model import RAW, Operation
from vfiospec.fuzzing.oracle import judge
from vfiospec.tests.fuzz_world import WORLD

INFO = Operation("VFIO_DEVICE_GET_INFO", 0, (0, 0, 0, 0, 0, 0, 0, 2))
MAP = Operation("VFIO_IOMMU_MAP_DMA")
READ = Operation("pread", 0, (0, 0, 0))


def info(flags: int = 2, argsz: int = 24, cap_offset: int = 0, more: bytes = bytes(64)) -> bytes:
    return vfio.vfio_device_info(argsz, flags, 9, 5, cap_offset).pack() + more


def broken(*answers: tuple[Operation, Reply], strays: int = 0) -> list[str]:
    program = tuple(step for step, _ in answers)
    made = materialise(program, WORLD)
    replies = tuple(reply for _, reply in answers)
    return [v.title for v in judge(program, made, Reply(values=(strays, 0), parts=replies))]


def test_a_sound_execution_is_not_complained_about() -> None:
    refused = Reply(-1, 22, info())
    answers = [(INFO, Reply(0, 0, info())), (INFO, refused), (MAP, Reply()), (READ, Reply(4))]
    assert broken(*answers) == []
    assert broken((MAP, Reply(-1, fault="handle 1 is not an open file"))) == []


@pytest.mark.parametrize(("spill", "fires"), [(-1, True), (88, True), (80, False)])
def test_what_is_written_outside_of_a_buffer(spill: int, fires: bool) -> None:  # noqa: FBT001
    """Its 88 bytes were promised; no more."""
    reply = Reply(0, 0, info(), ((spill, b"\xff"),))
    named = "kernel.inside-the-buffer: VFIO_DEVICE_GET_INFO wrote outside of its buffer"
    assert broken((INFO, reply)) == [named] * fires


def test_room_that_was_promised_may_be_written_to() -> None:
    liar = Operation("VFIO_DEVICE_GET_INFO", 0, (RAW + 4096,))
    assert broken((liar, Reply(0, 0, info(more=b""), ((24, b"\1"),)))) == []
    assert broken((liar, Reply(0, 0, info(more=b""), ((4095, b"\1\1"),)))) != []


def test_an_answer_that_is_no_answer() -> None:
    assert broken((MAP, Reply(1))) == [
        "kernel.return-value: VFIO_IOMMU_MAP_DMA answered more than 0"
    ]
    (other,) = broken((MAP, Reply(-1, 524)))
    assert other.endswith("failed with the kernel's own error 524")
    assert broken((READ, Reply(5))) == ["kernel.return-value: pread moved too many bytes"]


def test_an_info_ioctl_that_answers_otherwise() -> None:
    other = info(flags=3)
    assert broken((INFO, Reply(0, 0, info())), (INFO, Reply(0, 0, other))) == [
        "conventions.repeatable: VFIO_DEVICE_GET_INFO answered otherwise"
    ]
    elsewhere = Operation("VFIO_DEVICE_GET_INFO", 1, INFO.values)
    assert broken((INFO, Reply(0, 0, info())), (elsewhere, Reply(0, 0, other))) == []


def test_a_chain_that_is_broken() -> None:
    caps = vfio.VFIO_DEVICE_FLAGS_CAPS | vfio.VFIO_DEVICE_FLAGS_PCI
    good = (5).to_bytes(2, "little") + bytes(62)
    looped = (5).to_bytes(4, "little") + (24).to_bytes(4, "little") + bytes(56)
    assert broken((INFO, Reply(0, 0, info(caps, 40, 24, good)))) == []
    assert broken((INFO, Reply(0, 0, info(caps, 40, 24, looped)))) == [
        "conventions.caps-chain: VFIO_DEVICE_GET_INFO has a broken chain"
    ]
    assert broken((INFO, Reply(0, 0, info(caps, 400, 24, looped)))) == [], "it did not fit"


def test_a_file_nobody_was_told_of() -> None:
    assert broken((MAP, Reply()), strays=1) == ["kernel.no-stray-file: a file nobody was told of"]
    migrates = Operation("VFIO_DEVICE_FEATURE/mig_device_state")
    assert broken((migrates, Reply()), strays=1) == [], "its answer names the file"
    raw = Operation("raw ioctl", 0, (17,))
    assert isinstance(materialise((raw,), WORLD).ops[0], o.Ioctl)
