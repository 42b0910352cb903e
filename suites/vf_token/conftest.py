# SPDX-License-Identifier: MIT
"""A physical function with one virtual function, both vfio-pci's; all undone afterwards.

Only on an emulated machine: on another nobody knows what else hangs on a VF. One pair serves all
tests of a file, for the kernel waits a second when it takes VFs away.
"""

from collections.abc import Iterator

import pytest

from vfiospec.device import ops as o
from vfiospec.device.group import Assigned
from vfiospec.device.pci import PciDevice
from vfiospec.device.sriov import Pair, first_vf, set_numvfs
from vfiospec.lab.bench import BenchDevice
from vfiospec.session.plugin import PLUGIN, SuitePlugin
from vfiospec.session.run import Run

ENABLE = "/sys/module/vfio_pci/parameters/enable_sriov"


@pytest.fixture(scope="module")
def whole_run(request: pytest.FixtureRequest) -> Run:
    """The run, for a fixture that outlives a test."""
    plugin: SuitePlugin = request.config.pluginmanager.getplugin(PLUGIN)
    return plugin.run


@pytest.fixture(scope="module")
def physical(whole_run: Run) -> BenchDevice:
    """A physical function of an emulated machine."""
    if whole_run.machine is None:
        pytest.skip("VFs are made on an emulated machine only: judge a guest")
    found = [d for d in whole_run.devices if "sriov" in d.roles]
    if not found:
        pytest.skip("no device with sriov: `vfiospec topologies` shows which topology has one")
    return found[0]


@pytest.fixture(scope="module")
def enabled(whole_run: Run, physical: BenchDevice) -> Iterator[BenchDevice]:
    """The physical function, with the driver's leave to make VFs and nothing of it open."""
    port = whole_run.port
    whole_run.give_up(physical)
    before = port.do(o.ReadFile(ENABLE)).bytes
    if not before:
        pytest.skip("vfio-pci cannot make VFs: needs CONFIG_PCI_IOV")
    port.do(o.WriteFile(ENABLE, b"Y"))
    yield physical
    if not whole_run.is_lost:
        whole_run.port.do(o.WriteFile(ENABLE, before.strip()))


@pytest.fixture(scope="module")
def pair(whole_run: Run, enabled: BenchDevice) -> Iterator[Pair]:
    """The physical function open, the virtual one not, each in its group."""
    port, bdf = whole_run.port, enabled.bdf
    pf_group = Assigned(port, enabled.group or 0)
    pf = pf_group.open(bdf)
    made = set_numvfs(port, bdf, 1)
    assert made.ok, f"sriov_numvfs: errno {made.errno}"
    vf_bdf = first_vf(port, bdf)
    vf_group = Assigned(port, PciDevice(port, vf_bdf).group or 0)
    yield Pair(pf, bdf, pf_group, vf_bdf, vf_group)
    if not whole_run.is_lost:
        vf_group.close()
        set_numvfs(port, bdf, 0)
        pf.close()
        pf_group.close()
