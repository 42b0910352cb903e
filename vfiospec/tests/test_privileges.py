# SPDX-License-Identifier: MIT
"""A process with one capability less, and where memory really is: on the kernel of this machine."""

import re
from collections.abc import Iterator

import pytest

from vfiospec.device import ops as o
from vfiospec.device.files import Memory
from vfiospec.device.noiommu import physical
from vfiospec.device.port import Port
from vfiospec.device.ports import CommandPort
from vfiospec.device.privileges import CAP_SYS_RAWIO, without
from vfiospec.lab.native import build_executor

CAP_CHECKPOINT_RESTORE = 40  # in the upper half of the sets


@pytest.fixture
def port() -> Iterator[Port]:
    made = CommandPort([str(build_executor())])
    yield made
    made.close()


def capabilities(port: Port) -> dict[str, int]:
    text = port.do(o.ReadFile("/proc/self/status")).bytes.decode()
    found = re.findall(r"^Cap(\w+):\s+(\w+)$", text, re.MULTILINE)
    return {name: int(bits, 16) for name, bits in found}


@pytest.mark.parametrize("capability", [CAP_SYS_RAWIO, CAP_CHECKPOINT_RESTORE])
def test_one_capability_less(port: Port, capability: int) -> None:
    """In the second process and there alone; all others stay."""
    before = capabilities(port)
    event = port.handle()
    port.do(o.Eventfd(event, 3))
    with without(port, capability) as child:
        after = capabilities(child)
        assert child.do(o.Pread(event, 8)).value == 3, "what was open is open there too"
    for kind in ("Eff", "Prm", "Inh"):
        assert after[kind] == before[kind] & ~(1 << capability)
    assert capabilities(port) == before


def test_a_physical_address(port: Port) -> None:
    """Told to who may know; the offset within a page stays as it is."""
    with Memory(port, 2 * 4096, fill=1) as memory:
        try:
            first = physical(memory, 0)
        except LookupError:
            assert not capabilities(port)["Eff"] >> 21 & 1, "CAP_SYS_ADMIN may know"
            return
        assert first % 4096 == 0
        assert physical(memory, 4000) == first + 4000
        assert physical(memory, 4096) % 4096 == 0
        assert physical(memory, 4096) != first
