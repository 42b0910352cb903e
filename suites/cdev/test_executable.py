# SPDX-License-Identifier: MIT
"""Executable mappings of a device's own file: its file system decides."""

import mmap as m
from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device import ops as o
from vfiospec.device.cdev import Bound
from vfiospec.device.port import Port
from vfiospec.rules import cdev as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks


def without_programs(port: Port, path: str) -> bool:
    """Whether the file system a file lies in is mounted noexec."""
    mounts = [line.split() for line in port.do(o.ReadFile("/proc/self/mounts")).bytes.splitlines()]
    holding = [f for f in mounts if f"{path}/".startswith(f[1].decode().rstrip("/") + "/")]
    # The deepest one; of several on one folder, the last.
    options = max(reversed(holding), key=lambda f: len(f[1].rstrip(b"/")))[3]
    return b"noexec" in options.split(b",")


@checks(rules.EXECUTABLE)
@pytest.mark.parametrize("prot", [m.PROT_EXEC, m.PROT_EXEC | m.PROT_READ], ids="prot-{}".format)
def test_executable_mappings(
    bound: Bound, path: str, port: Port, page: int, prot: int, promised: Callable[[Rule], int]
) -> None:
    """Of each region that can be mapped at all."""
    refused = promised(rules.EXECUTABLE) if without_programs(port, path) else 0
    for index in range(vfio.VFIO_PCI_VGA_REGION_INDEX):
        region = bound.cdev.region(index)
        if not region.info.flags & vfio.VFIO_REGION_INFO_FLAG_MMAP:
            continue
        call, mapping = region.try_map(page, prot=prot)
        if mapping is not None:
            mapping.unmap()
        expect.equal(f"errno of {call}", call.errno, refused)
