# SPDX-License-Identifier: MIT
"""The fixtures of the suites, in layers: the run, the device, the kernel's health."""

import os
from collections.abc import Callable, Iterator

import pytest

from vfiospec.device.access import Access, Attach
from vfiospec.device.container import Container
from vfiospec.device.device import Device
from vfiospec.device.files import EventFd, File, Memory
from vfiospec.device.group import Assigned
from vfiospec.device.ops import Drain, Fixup, FixupKind, Syscall
from vfiospec.device.pci import PciDevice
from vfiospec.device.port import Port
from vfiospec.device.ways import Way
from vfiospec.device.ways import attach as open_way
from vfiospec.lab import LabError
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.lab.qemu import Vm
from vfiospec.rules.model import Rule
from vfiospec.session import examples, options, ways
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
        read = options.read(config)
        config.pluginmanager.register(config.stash.get(KIND, SuitePlugin)(config, read), PLUGIN)
    except (LabError, FindingError) as e:
        raise pytest.UsageError(f"vfiospec: {e}") from e
    if read.ways:
        config.pluginmanager.register(ways.WaysPlugin(read.ways), ways.PLUGIN)


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
def quiet(request: pytest.FixtureRequest) -> Callable[[], None]:
    """Asks within a test whether the kernel is sound, where it is known that it may not be."""
    return _plugin(request).judge_health


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
def reached_by(request: pytest.FixtureRequest, run: Run) -> Way:
    """The way a test reaches its device: the usual one, or each that --ways names."""
    way = ways.chosen(getattr(request, "param", None))
    if lacks := run.lacking(way):
        pytest.skip(f"{way}: {lacks}")
    return way


@pytest.fixture
def assigned(run: Run, spec: BenchDevice, reached_by: Way) -> Access:
    """The way to the device, open, with the device held open."""
    return run.assigned(spec, reached_by)


@pytest.fixture
def by_group(reached_by: Way) -> Way:
    """The way, for a test that is about a group, or about what stands for its container."""
    return reached_by


@pytest.fixture
def by_type1(by_group: Way) -> Way:
    """The way, for a test of what type1 does in a container and iommufd does not."""
    return by_group


@pytest.fixture
def grouped(assigned: Access, by_group: Way) -> Assigned:
    """The way to the device, with the fds of the group and of what stands for its container."""
    if not isinstance(assigned, Assigned):
        raise TypeError(f"{by_group} has no group")
    return assigned


@pytest.fixture
def contained(grouped: Assigned, by_type1: Way) -> Assigned:
    """The same, with type1 in its container."""
    del by_type1
    return grouped


@pytest.fixture
def closed(run: Run, spec: BenchDevice) -> int:
    """The device's group, of which nothing is open: the first open is the test's own."""
    return run.give_up(spec)


@pytest.fixture
def attach(port: Port, closed: int, reached_by: Way) -> Attach:
    """Opens a way to the device, of which nothing is open; the test closes it."""
    return lambda: open_way(reached_by, port, closed)


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
    return ways.isolates_interrupts(sysfs)


@pytest.fixture
def device(assigned: Access, spec: BenchDevice) -> Iterator[Device]:
    """A fresh fd of the device."""
    with assigned.open(spec.bdf) as opened:
        yield opened


@pytest.fixture
def event(port: Port) -> Iterator[EventFd]:
    """An eventfd at 0."""
    with EventFd.create(port) as made:
        yield made


@pytest.fixture
def pci(run: Run, spec: BenchDevice) -> PciDevice:
    """What sysfs says of the device."""
    return run.pci(spec)


@pytest.fixture
def memory(port: Port, page: int) -> Iterator[Memory]:
    """Two pages filled with 0xa5, between pages nobody may touch."""
    with Memory(port, 2 * page, fill=0xA5, guard=True) as made:
        yield made


@pytest.fixture
def log(port: Port) -> Iterator[Callable[[], str]]:
    """What the kernel says from here on."""
    with File.open(port, "/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC) as opened:
        end = (Fixup(0, FixupKind.FD, opened.handle), 0, os.SEEK_END)
        port.do(Syscall("lseek", end))
        yield lambda: port.do(Drain(opened.handle)).bytes.decode(errors="replace")
