# SPDX-License-Identifier: MIT
"""`pytest suites --layout SOURCE`: every layer takes the structures of those headers, or none."""

import subprocess
import sys
from pathlib import Path

import pytest

import vfiospec.device.device
from vfiospec.layout import LayoutError
from vfiospec.layout.history import HISTORY, read
from vfiospec.session.layouts import substitute

ROOT = Path(__file__).resolve().parents[2]
SIZES = """
from pathlib import Path
from vfiospec.layout.history import HISTORY, read
from vfiospec.session.layouts import substitute
names = substitute(read(Path(HISTORY)).abi("{kernel}"))
from vfiospec.abi import ioctl, vfio
from vfiospec.device.device import DEVICE_INFO
from vfiospec.device.info import GET_INFO
info = ioctl.IOCTLS["device", vfio.VFIO_DEVICE_GET_INFO][1]
print(DEVICE_INFO, GET_INFO.struct.sizeof(), info.sizeof(), GET_INFO.struct.__module__)
"""


@pytest.mark.parametrize(("kernel", "size"), [("5.10", 20), ("6.12", 24)])
def test_every_layer_has_the_structure_of_the_headers(kernel: str, size: int) -> None:
    """The device layer and the names of transcripts, though they look when they are loaded."""
    command = [sys.executable, "-c", SIZES.format(kernel=kernel)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == f"{size} {size} {size} vfiospec.layout.fixtures\n"


def test_it_is_refused_once_the_device_layer_is_there() -> None:
    """Half of the layers with one structure, and half with another, would judge nothing."""
    assert vfiospec.device.device.DEVICE_INFO == 24
    with pytest.raises(LayoutError, match="chosen before tests are loaded"):
        substitute(read(ROOT / HISTORY).abi("5.10"))


def test_a_source_that_is_none_is_one_line() -> None:
    command = [sys.executable, "-m", "pytest", "suites/device_info", "--layout", "history:1.0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--layout: no kernel 1.0 in the history; it has 5.10, " in done.stderr
