# SPDX-License-Identifier: MIT
"""The fixtures of the suites, in layers: the run, the device, the kernel's health."""

from collections.abc import Callable, Iterator

import pytest

from vfiospec.device.container import Container
from vfiospec.device.device import Device
from vfiospec.device.files import Memory
from vfiospec.device.group import Assigned
from vfiospec.device.pci import PciDevice
from vfiospec.device.port import Port
from vfiospec.lab import LabError
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.lab.qemu import Vm
from vfiospec.rules.model import Rule
from vfiospec.session import examples, options
from vfiospec.session.findings import FindingError
from vfiospec.session.marks import roles_of
from vfiospec.session.plugin import (
    KIND,
    NO_DEVICE,
    PLUGIN,
    SuitePlugin,
    in_suites,
    suites_asked_for,
)
from vfiospec.session.run import Run

ECAP_IR = 1 << 3  # Intel VT-d, Extended Capability Register: interrupt remapping


def pytest_addoption(parser: pytest.Parser) -> None:
    """Say what can be judged."""
    options.add(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Make the run known, if suites are among what is asked for."""
    config.addinivalue_line("markers", "devices(roles, without): the devices a test runs on")
    config.addinivalue_line("markers", "dangerous: may take a released kernel down")
    if not suites_asked_for(config):
        return
    examples.choose(config, shrink=KIND not in config.stash)
    try:
        kind = config.stash.get(KIND, SuitePlugin)
        config.pluginmanager.register(kind(config, options.read(config)), PLUGIN)
    except (LabError, FindingError) as e:
        raise pytest.UsageError(f"vfiospec: {e}") from e


def _plugin(request: pytest.FixtureRequest) -> SuitePlugin:
    plugin: SuitePlugin = request.config.pluginmanager.getplugin(PLUGIN)
    return plugin


@pytest.fixture
def run(request: pytest.FixtureRequest) -> Run:
    """The run: its bench, its devices."""
    return _plugin(request).run


@pytest.fixture(autouse=True)
def kernel_health(request: pytest.FixtureRequest) -> Iterator[None]:
    """Ask after each suite test, once its files are closed, whether the kernel is still sound."""
    yield
    plugin = _plugin(request)
    if plugin and in_suites(request.node):
        plugin.judge_health()


@pytest.fixture
def port(run: Run) -> Port:
    """The door to the kernel that runs now."""
    return run.port


@pytest.fixture
def kernel(run: Run) -> tuple[int, int]:
    """The running kernel's version, (6, 12) for 6.12.117."""
    return run.version


@pytest.fixture
def promised(run: Run) -> Callable[[Rule], int]:
    """What a rule says that the running kernel must answer."""
    return lambda rule: rule.answer(run.version)


@pytest.fixture
def page(port: Port) -> int:
    """Bytes of a page there."""
    return port.hello.page_size


@pytest.fixture
def spec(request: pytest.FixtureRequest, run: Run) -> BenchDevice:
    """The device a test runs on."""
    if request.param == NO_DEVICE:
        pytest.skip(f"no device {selected_words(request)}: {where_to_find_one(run)}")
    found = run.device(request.param)
    if found is None:
        pytest.skip(f"this QEMU has no model for {request.param}: install a newer one")
    return found


def selected_words(request: pytest.FixtureRequest) -> str:
    """What the test asks for, in words."""
    roles, without = roles_of(request.node)
    wanted = [f"with {' '.join(roles)}"] if roles else []
    return " and ".join([*wanted, *([f"without {' '.join(without)}"] if without else [])])


def where_to_find_one(run: Run) -> str:
    """The command that provides a device that is missing here."""
    if run.options.in_place:
        return "judge one that is with --device BDF"
    return "`vfiospec topologies` shows which has one, for --topology NAME"


@pytest.fixture
def assigned(run: Run, spec: BenchDevice) -> Assigned:
    """The device's group, in a container with an IOMMU model set."""
    return run.assigned(spec)


@pytest.fixture
def closed(run: Run, spec: BenchDevice) -> int:
    """The device's group, of which nothing is open: the first open is the test's own."""
    return run.give_up(spec)


@pytest.fixture
def container(port: Port) -> Iterator[Container]:
    """A container of which no group is part."""
    with Container.create(port) as made:
        yield made


@pytest.fixture
def machine(run: Run) -> Vm:
    """The emulated machine the kernel runs on, for what only it can do to a device."""
    if run.machine is None:
        pytest.skip("no machine under this kernel that could be told to do it: judge a guest")
    return run.machine


@pytest.fixture
def sysfs(port: Port) -> PortSysfs:
    """The files of the machine that is judged."""
    return PortSysfs(port)


@pytest.fixture
def interrupt_remapping(sysfs: PortSysfs) -> bool:
    """Whether the platform isolates interrupts, as any but an Intel one is taken to do."""
    units = sysfs.listdir("/sys/class/iommu") if sysfs.exists("/sys/class/iommu") else []
    capabilities = [f"/sys/class/iommu/{unit}/intel-iommu/ecap" for unit in units]
    return all(int(sysfs.read(c), 16) & ECAP_IR for c in capabilities if sysfs.exists(c))


@pytest.fixture
def device(assigned: Assigned, spec: BenchDevice) -> Iterator[Device]:
    """A fresh fd of the device."""
    with assigned.open(spec.bdf) as opened:
        yield opened


@pytest.fixture
def pci(run: Run, spec: BenchDevice) -> PciDevice:
    """What sysfs says of the device."""
    return run.pci(spec)


@pytest.fixture
def memory(port: Port, page: int) -> Iterator[Memory]:
    """Two pages filled with 0xa5, between pages nobody may touch."""
    with Memory(port, 2 * page, fill=0xA5, guard=True) as made:
        yield made
