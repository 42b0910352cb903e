# SPDX-License-Identifier: MIT
"""The axis of ways: what --ways means, which tests run in which, and where a kernel lacks one."""

from errno import ENOENT
from pathlib import Path

import pytest

from vfiospec.device import ops as o
from vfiospec.device.ops import AnyOp, Reply
from vfiospec.device.ways import ALL, Way
from vfiospec.lab import LabError
from vfiospec.lab.bench import PortSysfs
from vfiospec.results.reader import read_run
from vfiospec.session.ways import lacking, parse, usable
from vfiospec.tests.made_up_port import MadeUpPort
from vfiospec.tests.made_up_project import Project

ECAP = "/sys/class/iommu/dmar0/intel-iommu/ecap"
TESTS = """
@checks(rules.ALIVE)
def test_any(reached_by): pass

@checks(rules.ALIVE)
def test_about_a_group(by_group): pass

@checks(rules.ALIVE)
def test_about_type1(by_type1): pass

@checks(rules.ALIVE)
def test_of_none(port): pass
"""


def test_names_are_read() -> None:
    assert parse("") == ()
    assert parse("all") == ALL
    assert set(ALL) == set(Way)
    assert parse(" iommufd,type1v2") == (Way.TYPE1V2, Way.IOMMUFD)


@pytest.mark.parametrize("text", ["type2", "type1,", ",", "all,type1", "IOMMUFD"])
def test_what_is_no_way_is_refused(text: str) -> None:
    with pytest.raises(LabError, match=r"^--ways .*: there are type1, type1v2, compat-type1, .*"):
        parse(text)


def test_a_fixture_limits_the_ways() -> None:
    assert usable(["spec", "reached_by"], ALL) == ALL
    assert set(ALL) - set(usable(["by_group"], ALL)) == {Way.IOMMUFD}
    assert set(usable(["by_group", "by_type1"], ALL)) == {Way.TYPE1, Way.TYPE1V2}
    assert usable(["by_group"], (Way.IOMMUFD,)) == ()


def _machine(*paths: str, ecap: bytes = b"") -> PortSysfs:
    """A machine with these files; `ecap` is what its IOMMU says of itself."""

    def answer(op: AnyOp) -> Reply:
        match op:
            case o.ListDir("/sys/class/iommu"):
                return Reply(0, 0, b"dmar0\0")
            case o.ReadFile(path) if path == ECAP:
                return Reply(len(ecap), 0, ecap)
            case _ if getattr(op, "path", "") in (*paths, "/sys/class/iommu", ECAP):
                return Reply()
            case _:
                return Reply(-1, ENOENT)

    return PortSysfs(MadeUpPort(answer))


def test_what_a_kernel_lacks_is_named() -> None:
    remapping, none = b"f020da\n", b"f020d2\n"
    bare = _machine(ecap=remapping)
    assert lacking(Way.TYPE1, bare) == lacking(Way.TYPE1V2, bare) == ""
    for way in (Way.COMPAT_TYPE1, Way.COMPAT_TYPE1V2):
        assert lacking(way, bare).startswith("the kernel has no CONFIG_IOMMUFD: `vfiospec kernels")
    both = "the kernel has no CONFIG_IOMMUFD and no CONFIG_VFIO_DEVICE_CDEV: `vfiospec kernels"
    assert lacking(Way.IOMMUFD, bare).startswith(both)
    compat = _machine("/dev/iommu", ecap=remapping)
    assert lacking(Way.COMPAT_TYPE1, compat) == ""
    assert lacking(Way.IOMMUFD, compat).startswith("the kernel has no CONFIG_VFIO_DEVICE_CDEV: `")
    whole = ("/dev/iommu", "/dev/vfio/devices")
    assert lacking(Way.IOMMUFD, _machine(*whole, ecap=remapping)) == ""
    assert "interrupt remapping" in lacking(Way.IOMMUFD, _machine(*whole, ecap=none))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """One with a chapter on devices, and one on something else."""
    made = Project(tmp_path / "project")
    made.suite("device_info", TESTS)
    made.suite("group", TESTS)
    return made


def _ids(project: Project, *words: str) -> list[str]:
    done = project.run("suites", *words)
    assert done.returncode == 0, done.stdout
    return [one.id for one in read_run(project.root / "out").outcomes]


PLAIN = ["any", "about-a-group", "about-type1", "of-none"]


def test_without_the_axis_all_is_as_ever(project: Project) -> None:
    want = [f"{chapter}.all.{name}" for chapter in ("device_info", "group") for name in PLAIN]
    assert _ids(project) == want


def test_each_way_in_its_turn(project: Project) -> None:
    """First what has no way, then one way after the other; the way is the end of the id."""
    group = [f"group.all.{name}" for name in PLAIN]
    want = ["device_info.all.of-none", *group]
    want += [f"device_info.all.{name}.type1v2" for name in PLAIN[:3]]
    want += [f"device_info.all.{name}.type1" for name in PLAIN[:3]]
    want += [f"device_info.all.{name}.compat-type1v2" for name in PLAIN[:2]]
    want += [f"device_info.all.{name}.compat-type1" for name in PLAIN[:2]]
    want += ["device_info.all.any.iommufd"]
    assert _ids(project, "--ways", "all") == want


def test_what_no_way_can_give_is_left_out(project: Project) -> None:
    found = _ids(project, "--ways", "iommufd")
    assert [i for i in found if i.startswith("device_info")] == [
        "device_info.all.of-none",
        "device_info.all.any.iommufd",
    ]


def test_the_line_to_run_it_again_names_the_way(project: Project) -> None:
    project.suite("reset", "@checks(rules.ALIVE)\ndef test_it(reached_by): assert False\n")
    assert project.run("suites/reset", "--ways", "type1,iommufd").returncode == 1
    first, second = read_run(project.root / "out").outcomes
    assert first.rerun is not None
    assert second.rerun is not None
    assert "--ways type1 --test" in first.rerun
    assert "--ways iommufd --test" in second.rerun
