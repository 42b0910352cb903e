# SPDX-License-Identifier: MIT
"""Mediated devices are made and taken away."""

from collections.abc import Callable, Iterator

import pytest

from vfiospec import expect
from vfiospec.device.mdev import Mdev, MdevType, instances
from vfiospec.device.port import Port
from vfiospec.lab.bench import PortSysfs
from vfiospec.rules import mdev as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

Promised = Callable[[Rule], int]
Kind = Callable[[str], MdevType]
NAME = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
OTHER = "1f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
BAD = (
    NAME[:-1], NAME + "00", NAME + "\n\n", NAME.replace("-", "_"), NAME.replace("f", "g"), "x",
    NAME.replace("-", ""), NAME.replace("-", "") + "    ", " " + NAME[:-1], "{" + NAME[1:],
)  # fmt: skip
MANY = 40  # more than any sample has instances of the types tried here


@pytest.fixture(autouse=True)
def none_left(port: Port) -> Iterator[None]:
    """Take away what a test made."""
    before = set(instances(port))
    yield
    for name in set(instances(port)) - before:
        Mdev(port, name).try_remove()


@checks(rules.TYPES)
@pytest.mark.parametrize(
    ("name", "described"), [("mtty-1", ""), ("mdpy-vga", "640x480"), ("mbochs-small", "4 MB")]
)
def test_a_type(kind: Kind, name: str, described: str) -> None:
    """Its attributes, and what they say."""
    found = kind(name)
    attributes = {"available_instances", "create", "device_api", "devices", "name"}
    if described:
        attributes.add("description")
        expect.holds(described in found.read("description"), described, found.read("description"))
    expect.equal("attributes", set(found.attributes()), attributes)
    expect.equal("device_api", found.read("device_api"), "vfio-pci")
    expect.equal("devices", found.devices(), [])
    expect.holds(found.read("name") not in {"", name[5:]}, "a name to be read", found.read("name"))


@checks(rules.CREATED, rules.REMOVED)
@pytest.mark.parametrize("text", [NAME, NAME.upper(), NAME + "\n", NAME + "x"])
@pytest.mark.parametrize("name", ["mtty-2", "mdpy-vga", "mbochs-small"])
def test_made_and_taken_away(
    kind: Kind, port: Port, sysfs: PortSysfs, name: str, text: str
) -> None:
    """It is in all lists, and then in none, and can be made again."""
    found = kind(name)
    for remove in ("1", "2\n", "0x10"):
        expect.accepted(found.try_create(text), len(text))
        mdev = Mdev(port, NAME)
        expect.holds(mdev.exists, "it is there", "it is not")
        expect.equal("type", mdev.type_name, name)
        expect.equal("devices of the type", found.devices(), [NAME])
        group = mdev.group
        expect.holds(sysfs.exists(f"/dev/vfio/{group}"), "its group is there", "it is not")
        expect.equal(
            "devices of the group",
            sysfs.listdir(f"/sys/kernel/iommu_groups/{group}/devices"),
            [NAME],
        )
        expect.accepted(mdev.try_remove(remove), len(remove))
        expect.holds(not mdev.exists, "it is gone", "it is there")
        expect.equal("devices of the type", found.devices(), [])
        for path in (f"/dev/vfio/{group}", f"/sys/kernel/iommu_groups/{group}"):
            expect.holds(not sysfs.exists(path), f"{path} is gone", "it is there")


@checks(rules.BAD_UUID)
def test_no_uuid(kind: Kind, port: Port, promised: Promised) -> None:
    """Too short, too long, with other characters or dashes elsewhere."""
    found = kind("mtty-1")
    before = instances(port), found.available()
    for text in BAD:
        expect.refused(found.try_create(text), promised(rules.BAD_UUID))
    expect.equal("instances", (instances(port), found.available()), before)


@checks(rules.TWICE)
def test_a_name_that_is_taken(kind: Kind, port: Port, promised: Promised) -> None:
    """By one of the same type, of another type, of another parent; it stays what it is."""
    first = kind("mtty-1")
    expect.accepted(first.try_create(NAME), len(NAME))
    others = [first, kind("mtty-2"), kind("mdpy-vga"), kind("mbochs-small")]
    left = [other.available() for other in others]
    for other in others:
        for text in (NAME, NAME.upper()):
            expect.refused(other.try_create(text), promised(rules.TWICE))
    expect.equal("available", [other.available() for other in others], left)
    expect.equal("type", Mdev(port, NAME).type_name, "mtty-1")
    expect.accepted(first.try_create(OTHER), len(OTHER))


@checks(rules.AVAILABLE)
@pytest.mark.parametrize(
    ("name", "sibling", "cost"), [("mtty-2", "mtty-1", 2), ("mdpy-vga", "mdpy-hd", 1)]
)
def test_how_many_are_left(kind: Kind, port: Port, name: str, sibling: str, cost: int) -> None:
    """One less of this type, and of another type of the parent what it costs there."""
    one, other = kind(name), kind(sibling)
    before = one.available(), other.available()
    one.try_create(NAME)
    expect.equal(
        "available", (one.available(), other.available()), (before[0] - 1, before[1] - cost)
    )
    Mdev(port, NAME).try_remove()
    expect.equal("available", (one.available(), other.available()), before)


@checks(rules.NONE_LEFT, rules.NO_PORTS_LEFT, rules.AVAILABLE)
@pytest.mark.parametrize(
    ("name", "rule"),
    [("mdpy-vga", rules.NONE_LEFT), ("mtty-2", rules.NO_PORTS_LEFT)],
    ids=["mdpy", "mtty"],
)
def test_none_left(kind: Kind, port: Port, name: str, rule: Rule, promised: Promised) -> None:
    """As many as were said to be, and no more until one is gone."""
    found = kind(name)
    many = found.available()
    names = [f"{i:08x}{NAME[8:]}" for i in range(many + 1)]
    expect.holds(0 < many < MANY, "some, and not too many", str(many))
    for each in names[:many]:
        expect.accepted(found.try_create(each), len(each))
    expect.equal("available", found.available(), 0)
    for _ in range(2):
        expect.refused(found.try_create(names[many]), promised(rule))
    expect.equal("devices", found.devices(), names[:many])
    expect.holds(not Mdev(port, names[many]).exists, "nothing of it is left", "it is there")
    Mdev(port, names[0]).try_remove()
    expect.accepted(found.try_create(names[many]), len(NAME))


@checks(rules.BAD_REMOVE)
def test_not_taken_away(kind: Kind, port: Port, promised: Promised) -> None:
    """By 0, by words, by nothing; and then by 1."""
    kind("mtty-1").try_create(NAME)
    mdev = Mdev(port, NAME)
    for text in ("x", "", "-1", "1x", "yes", "1" * 30):
        if text:
            call = mdev.try_remove(text)
            expect.holds(not call.ok, "refused", str(call))
            expect.equal(f"errno of {call}", call.errno, promised(rules.BAD_REMOVE))
    for text in ("0", "0\n", "0x0"):
        expect.accepted(mdev.try_remove(text), len(text))
    expect.equal("devices", kind("mtty-1").devices(), [NAME])
    expect.accepted(mdev.try_remove(), 1)
    expect.equal("devices", kind("mtty-1").devices(), [])
