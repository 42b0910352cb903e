# SPDX-License-Identifier: MIT
"""Page faults of a load, counted by the kernel; and what stands for a device's power."""

import mmap
import os
from pathlib import Path

from vfiospec.device.files import File, Mapping
from vfiospec.device.observe import faults_of_load, runtime_status, suspends
from vfiospec.device.ports import LocalPort
from vfiospec.device.scratch import scratch_of


def test_a_first_load_faults_and_a_second_does_not(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(mmap.PAGESIZE))
    port = LocalPort()
    with File.open(port, str(tmp_path / "f"), os.O_RDWR) as file:
        _, mapping = Mapping.of(
            file, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE, flags=mmap.MAP_SHARED
        )
        assert mapping is not None
        with mapping:
            assert faults_of_load(mapping, 0) > 0
            # The interpreter may take a fault of its own in between, but not each time.
            assert min(faults_of_load(mapping, 0) for _ in range(5)) == 0
    port.close()


def test_a_device_that_is_not_there_neither_runs_nor_sleeps() -> None:
    port = LocalPort()
    assert runtime_status(port, "ffff:ff:1f.7") == ""
    assert not suspends(port, "ffff:ff:1f.7", 0.0)
    port.close()


def test_only_known_devices_have_a_register_to_look_at() -> None:
    assert scratch_of((0x8086, 0x10D3)) is not None
    assert scratch_of((0xFFFF, 0xFFFF)) is None
