# SPDX-License-Identifier: MIT
"""GET_DEVICE_FD: which string names a device, and what may follow it."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.device import Device
from vfiospec.device.files import Memory
from vfiospec.device.group import Assigned, Group
from vfiospec.device.pci import PciDevice
from vfiospec.device.port import Port
from vfiospec.lab.bench import BenchDevice
from vfiospec.rules import group as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices
from vfiospec.session.run import Run

TOKEN = "bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3"  # noqa: S105 -- a VF token is a UUID
GIVEN = f" vf_token={TOKEN}"
STRANGE: dict[str, Callable[[str], str]] = {
    "empty": lambda _: "",
    "a-space": lambda _: " ",
    "a-token-only": lambda _: GIVEN,
    "one-character-less": lambda bdf: bdf[:-1],
    "one-character-more": lambda bdf: f"{bdf}0",
    "a-space-before": lambda bdf: f" {bdf}",
    "a-tab-behind": lambda bdf: f"{bdf}\t",
    "a-newline-behind": lambda bdf: f"{bdf}\n",
    "a-comma-behind": lambda bdf: f"{bdf},",
    "a-token-right-behind": lambda bdf: f"{bdf}{GIVEN.strip()}",
    "without-domain": lambda bdf: bdf.partition(":")[2],
    "another-function": lambda bdf: f"{bdf[:-1]}{int(bdf[-1]) ^ 1}",
    "another-first-digit": lambda bdf: f"f{bdf[1:]}",
    "a-colon-for-the-dot": lambda bdf: bdf.replace(".", ":"),
    "its-driver": lambda _: "vfio-pci",
}
WRONG_OPTIONS = {
    "a-letter": " x",
    "a-letter-after-spaces": "   x",
    "another": " token=1",
    "a-tab": " \t",
    "no-value-sign": " vf_token",
    "a-name-too-short": f" vf_toke={TOKEN}",
    "capitals": f" VF_TOKEN={TOKEN}",
    "a-token-without-name": f" {TOKEN}",
    "no-token": " vf_token=",
    "a-token-too-short": GIVEN[:-1],
    "a-token-that-lacks-a-dash": GIVEN.replace("-", "", 1),
    "a-token-with-a-dash-moved": GIVEN.replace("b-5", "-b5"),
    "a-token-with-no-digit-first": GIVEN.replace("=b", "=g"),
    "a-token-with-no-digit-last": f"{GIVEN[:-1]}x",
    "a-space-before-the-token": f" vf_token= {TOKEN}",
    "a-token-too-long": f"{GIVEN}0",
    "a-token-and-a-letter": f"{GIVEN} x",
    "a-letter-and-a-token": f" x{GIVEN}",
    "a-token-twice": f"{GIVEN}{GIVEN}",
    "a-token-twice-without-space": f"{GIVEN}{GIVEN.strip()}",
}
TOKENS = {
    "plain": GIVEN,
    "spaces-around": f"   {GIVEN}   ",
    "capital-digits": f" vf_token={TOKEN.upper()}",
    "another": f" vf_token={TOKEN[::-1].replace('-', '')[:8]}{TOKEN[8:]}",
}


@pytest.fixture
def assigned_anew(closed: int, port: Port) -> Assigned:
    """The group of a selected device, in a container with a model; no device is open."""
    return Assigned(port, closed)


def refused(group: Group, name: str | bytes, errno: int) -> None:
    """No fd for this name."""
    call, device = group.try_get_device_fd(name)
    if device is not None:
        device.close()
    expect.refused(call, errno)


def given(group: Group, name: str) -> None:
    """An fd of the device for this name."""
    call, device = group.try_get_device_fd(name)
    expect.holds(device is not None, "an fd", str(call))
    assert device is not None
    with device:
        expect.accepted(device.try_get_info())


@checks(rules.FD)
@devices()
def test_its_own_name_gives_it(assigned: Assigned, spec: BenchDevice, pci: PciDevice) -> None:
    """Each time an fd of its own, that shows the configuration space sysfs shows."""
    with assigned.open(spec.bdf) as first, assigned.open(spec.bdf) as second:
        for device in (first, second):
            info = expect.accepted(device.try_get_info()).unpack(vfio.vfio_device_info)
            expect.flags("flags", info.flags, needed=vfio.VFIO_DEVICE_FLAGS_PCI)
            expect.equal("class", device.read_config(8, 4), pci.u32(8))


@checks(rules.FD_UNKNOWN_NAME)
@pytest.mark.parametrize("kind", list(STRANGE))
def test_another_name_is_refused(
    ready: Group, subject: BenchDevice, kind: str, promised: Callable[[Rule], int]
) -> None:
    """One that differs in a character, or has something but a space behind it."""
    refused(ready, STRANGE[kind](subject.bdf), promised(rules.FD_UNKNOWN_NAME))
    expect.accepted(ready.try_unset_container())


@checks(rules.FD_UNKNOWN_NAME)
def test_devices_of_other_groups_are_refused(
    ready: Group, subject: BenchDevice, run: Run, promised: Callable[[Rule], int]
) -> None:
    """Even with an option that their own groups would refuse."""
    others = [d.bdf for d in run.devices if d.group != subject.group]
    if not others:
        pytest.skip("a second group is needed: judge a device of another one with --device BDF")
    for bdf in others:
        refused(ready, bdf, promised(rules.FD_UNKNOWN_NAME))
        refused(ready, f"{bdf} x", promised(rules.FD_UNKNOWN_NAME))


@checks(rules.FD_SPACES)
@pytest.mark.parametrize("count", [1, 2, 100], ids="spaces-{}".format)
def test_spaces_behind_it_change_nothing(ready: Group, subject: BenchDevice, count: int) -> None:
    """Where options would be."""
    given(ready, subject.bdf + " " * count)


@checks(rules.FD_OPTION)
@devices("sriov")
@pytest.mark.parametrize("kind", list(WRONG_OPTIONS))
def test_a_wrong_option_is_refused(
    assigned_anew: Assigned, spec: BenchDevice, kind: str, promised: Callable[[Rule], int]
) -> None:
    """On a device that accepts a right one; it is not open then."""
    try:
        name = spec.bdf + WRONG_OPTIONS[kind]
        refused(assigned_anew.group, name, promised(rules.FD_OPTION))
        expect.accepted(assigned_anew.group.try_unset_container())
    finally:
        assigned_anew.close()


@checks(rules.FD_TOKEN)
@devices("sriov")
@pytest.mark.parametrize("kind", list(TOKENS))
def test_a_token_is_accepted(assigned_anew: Assigned, spec: BenchDevice, kind: str) -> None:
    """By the physical function, whatever the token was; without one it opens too."""
    try:
        for option in (TOKENS[kind], ""):
            call, device = assigned_anew.group.try_get_device_fd(spec.bdf + option)
            expect.holds(device is not None, "an fd", str(call))
            assert device is not None
            with device:
                expect.accepted(device.try_get_info())
    finally:
        assigned_anew.close()


@checks(rules.FD_TOKEN_UNUSED, rules.FD_OPTION)
@devices(without=("sriov",))
def test_a_token_nobody_needs_is_refused(
    assigned: Assigned, spec: BenchDevice, promised: Callable[[Rule], int]
) -> None:
    """A device that is no function of SR-IOV has none; nor does it have other options."""
    for option in (GIVEN, f"  {GIVEN}  "):
        refused(assigned.group, spec.bdf + option, promised(rules.FD_TOKEN_UNUSED))
    for option in WRONG_OPTIONS.values():
        refused(assigned.group, spec.bdf + option, promised(rules.FD_OPTION))
    with assigned.open(spec.bdf) as device:
        expect.accepted(device.try_get_info())


@checks(rules.FD_NAME_LENGTH)
@pytest.mark.parametrize("short", [1, 2, 8], ids="{}-below-a-page".format)
def test_a_name_as_long_as_a_page_is_read(
    ready: Group, subject: BenchDevice, page: int, short: int
) -> None:
    """With its NUL it has just the size of a page, or less."""
    given(ready, subject.bdf.ljust(page - short))


@checks(rules.FD_NAME_LENGTH)
@pytest.mark.parametrize("more", [0, 1, 100, 4096], ids="{}-above-a-page".format)
def test_a_name_longer_than_a_page_is_refused(
    ready: Group, subject: BenchDevice, page: int, more: int, promised: Callable[[Rule], int]
) -> None:
    """By its length, before anything of it is looked at."""
    for name in (subject.bdf, "none"):
        refused(ready, name.ljust(page + more), promised(rules.FD_NAME_LENGTH))


@checks(rules.FD_NAME_ADDRESS)
def test_nothing_behind_the_nul_is_read(ready: Group, subject: BenchDevice, memory: Memory) -> None:
    """The NUL is the last byte before memory that cannot be read."""
    name = subject.bdf.encode() + b"\0"
    handle = ready.port.handle()
    call = ready.try_ioctl(
        vfio.VFIO_GROUP_GET_DEVICE_FD, name, at=memory.tail(len(name)), out=handle
    )
    expect.holds(call.ok, "a file", str(call))
    with Device(ready.port, handle) as device:
        expect.accepted(device.try_get_info())


@checks(rules.FD_NAME_ADDRESS)
@pytest.mark.parametrize("length", [1, 11, 12, 13, 4096, 4097], ids="bytes-{}".format)
def test_a_name_without_a_nul_is_refused(
    ready: Group,
    subject: BenchDevice,
    memory: Memory,
    page: int,
    length: int,
    promised: Callable[[Rule], int],
) -> None:
    """Unless it is longer than a page: then its length is what is wrong."""
    name = subject.bdf.ljust(length)[:length].encode()
    rule = rules.FD_NAME_ADDRESS if length < page else rules.FD_NAME_LENGTH
    memory.write(memory.size - length, name)
    call = ready.try_ioctl(vfio.VFIO_GROUP_GET_DEVICE_FD, memory.tail(length))
    expect.refused(call, promised(rule))


@checks(rules.FD_NAME_ADDRESS)
@pytest.mark.parametrize("address", [0, 1, 1 << 47, (1 << 64) - 4], ids="address-{:x}".format)
@pytest.mark.parametrize("state", ["group", "attached", "ready"])
def test_a_bad_address_is_refused(
    request: pytest.FixtureRequest, state: str, address: int, promised: Callable[[Rule], int]
) -> None:
    """Before the state of the group counts, where the kernel reads the name first."""
    group: Group = request.getfixturevalue(state)
    call = group.try_ioctl(vfio.VFIO_GROUP_GET_DEVICE_FD, address)
    expect.refused(call, promised(rules.FD_NAME_ADDRESS))
