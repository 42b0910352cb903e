# SPDX-License-Identifier: MIT
"""Two virtual functions of one physical function."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from uuid import UUID

import pytest

from vfiospec import expect
from vfiospec.device.group import Assigned
from vfiospec.device.pci import SYSFS, PciDevice
from vfiospec.device.sriov import Pair, nth_vf, set_numvfs
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.rules import vf_token as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks
from vfiospec.session.run import Run

TOKEN = UUID("bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3")
OTHER = UUID("11223344-5566-7788-99aa-bbccddeeff00")


@pytest.fixture
def pairs(whole_run: Run, enabled: BenchDevice, sysfs: PortSysfs) -> Iterator[tuple[Pair, Pair]]:
    """The physical function, open, with either of its virtual ones, which are not."""
    port, bdf = whole_run.port, enabled.bdf
    if int(sysfs.read(f"{SYSFS}/{bdf}/sriov_totalvfs")) < 2:
        pytest.skip("the device can have one VF only")
    with ExitStack() as stack:
        own = Assigned(port, enabled.group or 0)
        stack.callback(own.close)
        pf = own.open(bdf)
        stack.callback(pf.close)
        made = set_numvfs(port, bdf, 2)
        stack.callback(set_numvfs, port, bdf, 0)
        expect.holds(made.ok, "two VFs", f"errno {made.errno}")
        expect.accepted(pf.try_set_vf_token(TOKEN))

        def pair(n: int) -> Pair:
            vf = nth_vf(port, bdf, n)
            group = Assigned(port, PciDevice(port, vf).group or 0)
            stack.callback(group.close)
            return Pair(pf, bdf, own, vf, group)

        yield pair(0), pair(1)


@checks(rules.PF_WITH_VF_OPEN, rules.VF_RIGHT)
@pytest.mark.parametrize("left", [0, 1], ids=["first", "second"])
def test_the_door_of_the_pf_with_either_open(
    pairs: tuple[Pair, Pair], left: int, promised: Callable[[Rule], int]
) -> None:
    """The close of the one opens it as little as the other does."""
    stays, goes = pairs[left], pairs[1 - left]
    option = f" vf_token={TOKEN}"
    with ExitStack() as stack:
        for pair in (stays, goes):
            call, vf = pair.open_vf(option)
            expect.holds(vf is not None, "an fd", str(call))
            assert vf is not None
            if pair is stays:
                stack.enter_context(vf)
            else:
                vf.close()
        for wrong in ("", f" vf_token={OTHER}"):
            call, pf = stays.open_pf(wrong)
            if pf is not None:
                pf.close()
            expect.refused(call, promised(rules.PF_WITH_VF_OPEN))
    call, pf = stays.open_pf()
    expect.holds(pf is not None, "an fd once both are closed", str(call))
    assert pf is not None
    pf.close()
