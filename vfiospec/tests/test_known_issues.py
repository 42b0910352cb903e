# SPDX-License-Identifier: MIT
"""Known issues: files that are refused, which failures they explain, and what a run makes of it."""

import datetime as dt
from pathlib import Path

import pytest

from vfiospec.report import stale_issues
from vfiospec.results.model import KnownIssueState
from vfiospec.results.reader import Run, read_run
from vfiospec.session.findings import FindingError
from vfiospec.session.issue_book import IssueBook, together
from vfiospec.session.known_issues import KnownIssue, load
from vfiospec.tests.made_up_project import Project

GOOD = """
[[issue]]
id = "lab-1"
title = "VGA is refused"
link = "https://example.invalid/1"
tests = ["region_info.vga.*"]
match = { errno = "EINVAL" }
when = { kernels = ">=6.1,<6.13", topologies = ["amd*"], modes = ["vm"] }
since = 2026-10-01
until = 2026-12-31
"""
NOBODY = frozenset[str]()
DAY = dt.date(2026, 12, 31)


def read(tmp_path: Path, text: str) -> KnownIssue:
    path = tmp_path / "known-issues.toml"
    path.write_text(text)
    (issue,) = load(path)
    return issue


ALL = "id, title, link, tests, match, when, intermittent, since, until, fixed_in"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("tests =", "test =", f"unknown key 'test'; allowed are {ALL}"),
        ('title = "VGA is refused"', "", f"missing key 'title'; allowed are {ALL}"),
        (
            "match = {",
            "match = { errn = 1,",
            "unknown key 'errn' in match; allowed are errno, mess",
        ),
        ("when = {", "when = { day = 1,", "unknown key 'day' in when; allowed are kernels, topol"),
        ('"EINVAL"', '"EFOO"', "match.errno: 'EFOO'; allowed is the name of an errno, such as"),
        (
            'errno = "EINVAL"',
            "",
            "match: it is empty, so any failure would be taken for this one; ",
        ),
        ('errno = "EINVAL"', 'message = "("', "match.message: '(': missing ), unterminated"),
        ('{ errno = "EINVAL" }', '"EINVAL"', "match: Expected `object`, got `str`; allowed is a t"),
        (
            '["vm"]',
            '["moon"]',
            "when.modes: Invalid enum value 'moon'; allowed is a list of vm, ho",
        ),
        ('["amd*"]', '"amd*"', "when.topologies: Expected `array`, got `str`; allowed is a list "),
        (
            "<6.13",
            "6.13",
            "when.kernels: '6.13' is not a bound on a kernel version, such as >=6.12",
        ),
        ("2026-12-31", '"soon"', "until: Invalid RFC3339 encoded date; allowed is a date, such as"),
        ("2026-12-31", "2026-09-01", "until: 2026-09-01 is before since, 2026-10-01; allowed is"),
        ("until", 'fixed_in = "soon"\nuntil', "fixed_in: 'soon'; allowed is a kernel version, s"),
        ("until", "intermittent = 1\nuntil", "intermittent: Expected `bool`, got `int`; allowed "),
        ('["region_info.vga.*"]', "[]", "tests: it is empty; allowed is a list of globs over"),
    ],
)
def test_a_wrong_entry_is_one_line(tmp_path: Path, old: str, new: str, says: str) -> None:
    """The message names the file, the entry, the key, and what is allowed."""
    assert old in GOOD
    with pytest.raises(FindingError) as caught:
        read(tmp_path, GOOD.replace(old, new))
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'known-issues.toml'}: issue 'lab-1': {says}")
    assert "; allowed " in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD + GOOD, "issue 'lab-1' is there twice"),
        (GOOD.replace('id = "lab-1"', ""), "issue 1: missing key 'id'; allowed are id, "),
        (GOOD.replace("[[issue]]", "[[issues]]"), "unknown key 'issues'; allowed are [[issue]] t"),
        (GOOD.replace("[[issue]]", "[issue]"), "[issue] is one table; write [[issue]] for each e"),
        ("issue = [1]", "issue 1: Expected `object`, got `int`; allowed is a table"),
        ("[[issue", "no TOML: "),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(FindingError) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'known-issues.toml'}: {says}")
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FindingError, match=r"none\.toml: cannot be read: No such file"):
        load(tmp_path / "none.toml")


def test_an_empty_file_knows_nothing(tmp_path: Path) -> None:
    (tmp_path / "k.toml").write_text("")
    assert load(tmp_path / "k.toml") == ()


@pytest.mark.parametrize(
    ("match", "actual", "explained"),
    [
        ('errno = "EINVAL"', "GET(argsz=8) -> EINVAL", True),
        ('errno = "EINVAL"', "GET(argsz=8) -> EBUSY", False),
        ('errno = "EINVAL"', "GET(argsz=8) -> 0", False),
        ('errno = "EINVAL"', "GET(argsz=8) -> EINVAL, and byte 3 changed from 0x0 to 0x1", False),
        ('message = "argsz=8"', "GET(argsz=8) -> 0", True),
        ('message = "argsz=9"', "GET(argsz=8) -> 0", False),
        ('errno = "EINVAL", message = "argsz=8"', "GET(argsz=8) -> EINVAL", True),
        ('errno = "EINVAL", message = "argsz=9"', "GET(argsz=8) -> EINVAL", False),
        ('errno = "EBUSY", message = "argsz=8"', "GET(argsz=8) -> EINVAL", False),
    ],
)
def test_it_explains_just_the_failure_it_describes(
    tmp_path: Path, match: str, actual: str, *, explained: bool
) -> None:
    issue = read(tmp_path, GOOD.replace('errno = "EINVAL"', match))
    assert issue.explains(actual) is explained


@pytest.mark.parametrize(
    ("test", "version", "covered"),
    [
        ("region_info.vga.a.b", (6, 1), True),
        ("region_info.vgas", (6, 1), False),
        ("region_info.vga.a", (6, 0), False),
        ("region_info.vga.a", (6, 13), False),
    ],
)
def test_it_covers_its_tests_on_its_kernels(
    tmp_path: Path, test: str, version: tuple[int, int], *, covered: bool
) -> None:
    assert read(tmp_path, GOOD).covers(test, version, NOBODY) is covered


def test_it_ends_after_a_day_or_with_a_kernel(tmp_path: Path) -> None:
    dated = read(tmp_path, GOOD)
    assert dated.ended((6, 1), DAY) == ""
    assert dated.ended((6, 1), DAY + dt.timedelta(1)) == "it held until 2026-12-31"
    fixed = read(tmp_path, GOOD.replace("until = 2026-12-31", 'fixed_in = "6.12"'))
    assert fixed.ended((6, 11), DAY) == ""
    assert fixed.ended((6, 12), DAY) == "it is fixed in 6.12"


@pytest.mark.parametrize(
    ("version", "topology", "mode", "today", "held"),
    [
        ((6, 1), "amd", "vm", DAY, True),
        ((6, 1), "amd-big", "vm", DAY, True),
        ((6, 1), "default", "vm", DAY, False),
        ((6, 1), "amd", "host", DAY, False),
        ((6, 1), "amd", "vm", DAY + dt.timedelta(1), False),
    ],
)
def test_a_run_is_given_those_that_hold(
    tmp_path: Path,
    version: tuple[int, int],
    topology: str,
    mode: str,
    today: dt.date,
    *,
    held: bool,
) -> None:
    read(tmp_path, GOOD)
    book = IssueBook(tmp_path / "known-issues.toml", (), today)
    assert [i.id for i in book.holding(version, topology, mode)] == ["lab-1"] * held  # type: ignore[arg-type]


def test_an_issue_may_not_have_a_findings_name(tmp_path: Path) -> None:
    issue = read(tmp_path, GOOD)
    with pytest.raises(FindingError, match="issue 'lab-1': a finding has that id already"):
        IssueBook(tmp_path / "known-issues.toml", [issue])


@pytest.mark.parametrize(
    ("states", "whole"),
    [
        ([("showed", 2), ("showed", 1)], ("showed", 3)),
        ([("silent", 0), ("showed", 1)], ("showed", 1)),
        ([("not run", 0), ("silent", 0)], ("silent", 0)),
        ([("ended", 0), ("ended", 0)], ("ended", 0)),
    ],
)
def test_the_parts_of_a_run_speak_as_one(
    states: list[tuple[str, int]], whole: tuple[str, int]
) -> None:
    parts = [
        [KnownIssueState(id=i, title="t", link="l", origin="o", state=state, tests=tests)  # type: ignore[arg-type]
         for i in ("a", "b")]
        for state, tests in states
    ]  # fmt: skip
    assert [(s.id, s.state, s.tests) for s in together(parts)] == [("a", *whole), ("b", *whole)]


# -- a whole run

SUITE = """
@checks(rules.ALIVE)
def test_known():
    raise Mismatch("0", "GET(argsz=8) -> EFAULT")

@checks(rules.ALIVE)
def test_other_errno():
    raise Mismatch("0", "GET(argsz=8) -> EBUSY")

@checks(rules.ALIVE)
def test_gone():
    pass

@checks(rules.ALIVE)
def test_now_and_then():
    pass

@checks(rules.ALIVE)
def test_ended():
    raise Mismatch("0", "GET(argsz=8) -> EFAULT")

@checks(rules.ALIVE)
def test_elsewhere():
    raise Mismatch("0", "GET(argsz=8) -> EFAULT")

@checks(rules.ALIVE)
def test_kills(port):
    port.do(o.WriteFile("/die", b""))
"""


def entry(name: str, more: str = "") -> str:
    return (
        f'[[issue]]\nid = "{name}"\ntitle = "of {name}"\nlink = "https://example.invalid/{name}"\n'
        f'tests = ["made_up.all.{name}"]\nmatch = {{ errno = "EFAULT" }}\n{more}\n'
    )


FILE = (
    entry("known")
    + entry("other-errno")
    + entry("gone")
    + entry("now-and-then", "intermittent = true")
    + entry("ended", "until = 2026-01-01")
    + entry("elsewhere", 'when = { topologies = ["nowhere"] }')
    + entry("kills").replace('errno = "EFAULT"', 'message = "lost"')
    + entry("no-such-test")
)


@pytest.fixture(name="judged", scope="module")
def _judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, int]:
    project = Project(tmp_path_factory.mktemp("project"))
    project.suite("made_up", SUITE)
    (project.root / "known-issues.toml").write_text(FILE)
    done = project.run("suites")
    assert (project.root / "out" / "results.jsonl").exists(), done.stdout + done.stderr
    return read_run(project.root / "out"), done.returncode


def test_only_the_known_failure_is_expected(judged: tuple[Run, int]) -> None:
    run, code = judged
    assert {o.id.removeprefix("made_up.all."): o.outcome for o in run.outcomes} == {
        "known": "xfailed",
        "other-errno": "failed",
        "gone": "xpassed",
        "now-and-then": "passed",
        "ended": "failed",
        "elsewhere": "failed",
        "kills": "error",
    }
    assert code == 1


def test_the_outcome_names_the_issue(judged: tuple[Run, int]) -> None:
    outcome = judged[0].outcomes[0]
    assert outcome.finding == "known"
    assert outcome.known is not None
    assert (outcome.known.title, outcome.known.link) == (
        "of known",
        "https://example.invalid/known",
    )
    assert outcome.known.origin.endswith("known-issues.toml")
    assert all(o.known is None for o in judged[0].outcomes if o.outcome in ("failed", "error"))


def test_the_footer_says_what_became_of_each(judged: tuple[Run, int]) -> None:
    footer = judged[0].footer
    assert footer is not None
    assert {i.id: (i.state, i.tests) for i in footer.known_issues} == {
        "known": ("showed", 1),
        "other-errno": ("silent", 0),
        "gone": ("silent", 0),
        "now-and-then": ("silent", 0),
        "ended": ("ended", 0),
        "elsewhere": ("elsewhere", 0),
        "kills": ("silent", 0),
        "no-such-test": ("not run", 0),
    }


def test_what_should_be_taken_out_is_said(judged: tuple[Run, int]) -> None:
    lines = list(stale_issues(judged[0]))
    assert [line.split(" ", 1)[0] for line in lines] == [
        "other-errno", "gone", "now-and-then", "ended", "kills",
    ]  # fmt: skip
    assert lines[1] == (
        "gone (of gone, https://example.invalid/gone): its tests ran, and none failed as it says; "
        "if it is fixed, take it out"
    )
    assert lines[2].endswith("none failed as it says, as it may")
    assert "ended (of ended, https://example.invalid/ended): it held until 2026-01-01; " in lines[3]


def test_another_file_can_be_named(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    project.suite("made_up", SUITE.split("@checks", 2)[1].join(["@checks", ""]))
    (project.root / "known-issues.toml").write_text("broken")
    (project.root / "mine.toml").write_text(entry("known"))
    assert project.run("suites", "--known-issues", "mine.toml").returncode == 0
    refused = project.run("suites", "--out", "other")
    assert refused.returncode == 4
    assert "known-issues.toml: no TOML: " in refused.stderr
