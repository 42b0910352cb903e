# SPDX-License-Identifier: MIT
"""Findings: files that are refused, and which test, kernel, device and failure one speaks of."""

from pathlib import Path

import msgspec
import pytest

from vfiospec.rules import all_rules
from vfiospec.session.findings import Finding, FindingError, load

ROOT = Path(__file__).parent.parent.parent
GOOD = """
[[finding]]
id = "vga-einval"
title = "the VGA region is refused"
rule = "kernel.quiet"
tests = ["region_info.vga.*", "region_info.index.last"]
match = '-> EINVAL$'
kernels = ">=5.10,<7.0"
roles = ["pcie", "intx"]
not_roles = ["vga"]
link = "https://example.invalid/thread"
"""
HAS = frozenset(["pcie", "intx", "msi"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one good file; the rules are known."""
    all_rules()
    (tmp_path / "a.toml").write_text(GOOD)
    return tmp_path


@pytest.fixture
def finding(folder: Path) -> Finding:
    """The finding in it."""
    (one,) = load(folder)
    return one


def test_those_that_ship_load() -> None:
    """Each speaks of a rule that exists and has an origin; load() refuses it otherwise."""
    all_rules()
    shipped = load(ROOT / "suites" / "expectations")
    assert len({one.id for one in shipped}) == len(shipped)
    assert shipped


def test_every_file_of_the_folder_is_read_in_order(folder: Path) -> None:
    (folder / "0.toml").write_text(GOOD.replace("vga-einval", "other"))
    (folder / "notes.txt").write_text("not TOML")
    (folder / "none.toml").write_text("finding = []\n")
    assert [one.id for one in load(folder)] == ["other", "vga-einval"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("[[finding]]", "[[findings]]", "unknown field `findings`"),
        ('not_roles = ["vga"]', 'no_roles = ["vga"]', "unknown field `no_roles`"),
        ('id = "vga-einval"', "", "missing required field `id`"),
        ('["vga"]', '"vga"', "Expected `array`, got `str`"),
        ("kernel.quiet", "kernel.quite", "finding vga-einval breaks 'kernel.quite', no rule"),
        ('link = "https://example.invalid/thread"', "", "has neither a link nor a reason"),
        ("EINVAL$", "EINVAL(", "finding vga-einval: missing ), unterminated subpattern"),
        (">=5.10,<7.0", ">=5.10,7.0", "'7.0' is not a bound on a kernel version"),
        ("[[finding]]", "[[finding", "xpected"),
    ],
)
def test_a_wrong_file_is_one_line(folder: Path, old: str, new: str, says: str) -> None:
    """The message names the file and what is wrong in it."""
    assert GOOD.count(old) == 1
    (folder / "a.toml").write_text(GOOD.replace(old, new))
    with pytest.raises(FindingError) as caught:
        load(folder)
    message = str(caught.value)
    assert message.startswith(f"{folder / 'a.toml'}: ")
    assert says in message
    assert len(message.splitlines()) == 1


def test_what_is_not_text_is_refused(folder: Path) -> None:
    (folder / "a.toml").write_bytes(b"finding = '\xff'\n")
    with pytest.raises(FindingError, match=r"a\.toml: .*utf-8"):
        load(folder)


def test_an_id_is_there_once_over_all_files(folder: Path) -> None:
    (folder / "b.toml").write_text(GOOD)
    with pytest.raises(FindingError, match=r"b\.toml: finding vga-einval is there twice"):
        load(folder)


def test_a_reason_stands_for_a_link(folder: Path) -> None:
    (folder / "a.toml").write_text(GOOD.replace("link = ", "reason = "))
    assert load(folder)[0].reason == "https://example.invalid/thread"


@pytest.mark.parametrize("test", ["region_info.vga.empty.e1000e", "region_info.index.last"])
def test_it_covers_the_tests_it_names(finding: Finding, test: str) -> None:
    assert finding.covers(test, (6, 1), HAS)


@pytest.mark.parametrize(
    ("test", "version", "roles"),
    [
        ("region_info.vgas", (6, 1), HAS),
        ("region_info.index.last.e1000e", (6, 1), HAS),
        ("Region_info.vga.empty", (6, 1), HAS),
        ("region_info.vga.empty", (5, 4), HAS),
        ("region_info.vga.empty", (7, 0), HAS),
        ("region_info.vga.empty", (6, 1), frozenset(["pcie"])),
        ("region_info.vga.empty", (6, 1), HAS | {"vga"}),
        ("region_info.vga.empty", (6, 1), frozenset()),
    ],
    ids=["glob", "longer", "case", "older", "newer", "a role less", "a role more", "no device"],
)
def test_it_covers_nothing_else(
    finding: Finding, test: str, version: tuple[int, int], roles: frozenset[str]
) -> None:
    assert not finding.covers(test, version, roles)


def test_without_bounds_and_roles_it_covers_all(finding: Finding) -> None:
    wide = msgspec.structs.replace(finding, kernels="", roles=(), not_roles=())
    assert wide.covers("region_info.vga.empty", (5, 4), frozenset())


def test_it_explains_the_failure_it_describes(finding: Finding) -> None:
    """The expression is looked for anywhere in what the kernel did."""
    assert finding.explains("GET_REGION_INFO(index=8, argsz=32) -> EINVAL")
    assert not finding.explains("GET_REGION_INFO(index=8, argsz=32) -> EFAULT")
    assert not finding.explains("-> EINVAL, and byte 3 changed")
