# SPDX-License-Identifier: MIT
"""The KTAP reports, read back by tap.py (not ours) and by a strict grammar of the nested form."""

import re
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from tap.line import Result  # type: ignore[import-untyped]
from tap.parser import Parser  # type: ignore[import-untyped]

from vfiospec.report.ktap import ktap, ktap_kselftest
from vfiospec.results.model import Outcome
from vfiospec.results.reader import read_run
from vfiospec.tests import sample_run

RESULT = re.compile(
    r"(?P<status>ok|not ok) (?P<number>\d+) (?P<name>[A-Za-z0-9_./-]+)"
    r"(?: # (?P<directive>SKIP|XFAIL|ERROR)(?P<why> .*)?)?"
)
GROUP = re.compile(r"(ok|not ok) (\d+) selftests: vfio: ([A-Za-z0-9_./-]+)(?: # (SKIP|exit=1))?")

# What Linaro's test-definitions and openQA look for, each in words of its own.
LINARO_RESULT = re.compile(r"ok \d{1,5} ")
OPENQA_SUBTEST = re.compile(r"#\s*(ok|not ok)\s+\d+\s+([^#]*)")

anything = st.text(max_size=30) | st.sampled_from(
    ["ok 1 x", "not ok 2 y\nok 3 z", "took 15 s", "# selftests: net: x", "KTAP version 1", "1..9"]
)
judged = st.lists(
    st.builds(
        sample_run.outcome,
        st.from_regex(r"[a-c]\.[a-z0-9]{1,5}", fullmatch=True),
        st.sampled_from(["passed", "failed", "skipped", "error", "xfailed", "xpassed"]),
        message=anything,
        finding=st.none() | anything,
        actual=anything,
        rules=st.lists(anything, max_size=2),
    ),
    max_size=8,
    unique_by=lambda o: o.id,
)


def read_level(lines: list[str], indent: str) -> list[tuple[str, str, str | None, list[str]]]:
    """Take one level off lines: its results with the names of their subtests."""
    assert lines.pop(0) == f"{indent}KTAP version 1"
    plan = re.fullmatch(rf"{indent}1\.\.(\d+)", lines.pop(0))
    assert plan
    results: list[tuple[str, str, str | None, list[str]]] = []
    subtests: list[str] = []
    while lines and lines[0].startswith(indent):
        line = lines[0].removeprefix(indent)
        if line == "  KTAP version 1":
            assert not subtests
            inner = read_level(lines, f"{indent}  ")
            subtests = [f"{status} {name}" for status, name, _, _ in inner]
            continue
        lines.pop(0)
        if line.startswith("# "):
            continue
        match = RESULT.fullmatch(line)
        assert match, line
        assert int(match["number"]) == len(results) + 1
        if any(subtest.startswith("not ok") for subtest in subtests):
            assert match["status"] == "not ok"
        results.append((match["status"], match["name"], match["directive"], subtests))
        subtests = []
    assert len(results) == int(plan[1])
    return results


def read_ktap(text: str) -> list[tuple[str, str, str | None, list[str]]]:
    assert text.endswith("\n")
    lines = text.removesuffix("\n").split("\n")
    results = read_level(lines, "")
    assert lines == []
    return results


def tap_results(text: str) -> list[Result]:
    lines = list(Parser().parse_text(text))
    assert "unknown" not in {line.category for line in lines}
    results = [line for line in lines if line.category == "test"]
    plans = [line.expected_tests for line in lines if line.category == "plan"]
    assert plans == [len(results)]
    assert [result.number for result in results] == list(range(1, len(results) + 1))
    return results


def groups(text: str) -> dict[str, list[Result]]:
    """Read the kselftest form: each group's comments are TAP again, once their "# " is off."""
    assert [r.ok for r in tap_results(text)] == [
        line.startswith("ok") for line in text.split("\n") if GROUP.fullmatch(line)
    ]
    found: dict[str, list[Result]] = {}
    inner: list[str] = []
    name = ""
    for line in text.removesuffix("\n").split("\n")[3:]:
        if match := GROUP.fullmatch(line):
            assert match[3] == name
            found[name] = tap_results("\n".join(inner))
            bad = any(not result.ok for result in found[name])
            assert bad == (match[1] == "not ok") == (match[4] == "exit=1")
        elif line.startswith("# selftests: vfio: "):
            name, inner = line.removeprefix("# selftests: vfio: "), []
        else:
            assert line.startswith("# ")
            inner.append(line.removeprefix("# "))
    return found


def test_nested_holds_every_chapter_and_outcome(tmp_path: Path) -> None:
    assert read_ktap(ktap(sample_run.run(tmp_path))) == [
        ("not ok", "device-info", None, ["ok smallest-argsz", "not ok argsz-too-small.argsz-15"]),
        ("not ok", "irq", None, ["ok loopback", "not ok mask", "not ok eventfd"]),
        ("ok", "migration", "SKIP", ["ok state", "ok stop"]),
    ]


def test_nested_directives_carry_their_reason(tmp_path: Path) -> None:
    lines = ktap(sample_run.run(tmp_path)).split("\n")
    assert "  ok 1 loopback # XFAIL F-003" in lines
    assert "  not ok 3 eventfd # ERROR the guest died" in lines
    assert "  ok 1 state # SKIP no migration # device: use mtty" in lines


def test_a_failure_is_explained_right_above_it(tmp_path: Path) -> None:
    for text, prefix in (
        (ktap(sample_run.run(tmp_path)), "  "),
        (ktap_kselftest(read_run(tmp_path)), "# "),
    ):
        lines = text.split("\n")
        at = lines.index(f"{prefix}not ok 2 argsz-too-small.argsz-15")
        above = lines[at - 7 : at]
        assert f"{prefix}# expected: EINVAL" in above
        assert f"{prefix}# actual: VFIO_DEVICE_GET_INFO(argsz=15) -> 0" in above
        assert f"{prefix}# rule: device-info.argsz-too-small" in above


def test_tap_py_reads_the_chapters_of_the_nested_form(tmp_path: Path) -> None:
    """It takes the indented lines for unknown ones, as TAP 13 says, and the rest as results."""
    lines = Parser().parse_text(ktap(sample_run.run(tmp_path)))
    results = [(r.ok, r.description, r.skip) for r in lines if r.category == "test"]
    assert results == [
        (False, "device-info", False),
        (False, "irq", False),
        (True, "migration", True),
    ]


def test_the_kselftest_form_read_by_tap_py(tmp_path: Path) -> None:
    found = groups(ktap_kselftest(sample_run.run(tmp_path)))
    assert {name: [(r.ok, r.description) for r in rs] for name, rs in found.items()} == {
        "device-info": [(True, "smallest-argsz"), (False, "argsz-too-small.argsz-15")],
        "irq": [(True, "loopback"), (False, "mask"), (False, "eventfd")],
        "migration": [(True, "state"), (True, "stop")],
    }
    assert [r.skip for r in found["migration"]] == [True, True]
    assert found["irq"][0].directive.text == "XFAIL"


def test_the_kselftest_form_counts_each_group(tmp_path: Path) -> None:
    text = ktap_kselftest(sample_run.run(tmp_path))
    assert "\n# # Totals: pass:0 fail:0 xfail:1 xpass:1 skip:0 error:1\nnot ok 2 self" in text
    assert "\n# # Totals: pass:0 fail:0 xfail:0 xpass:0 skip:2 error:0\nok 3 self" in text


def test_a_partial_run_fails_in_both_forms(tmp_path: Path) -> None:
    run = sample_run.run(tmp_path, [sample_run.PASSED], ended=False)
    assert read_ktap(ktap(run))[-1][:3] == ("not ok", "run.complete", "ERROR")
    assert [r.ok for r in groups(ktap_kselftest(run))["run"]] == [False]


@given(judged, st.booleans())
@settings(max_examples=120, deadline=None)
def test_no_text_can_add_or_hide_a_result(outcomes: list[Outcome], ended: bool) -> None:  # noqa: FBT001 - drawn
    with tempfile.TemporaryDirectory() as directory:
        run = sample_run.run(Path(directory), outcomes, ended=ended)
    green = ("passed", "skipped", "xfailed")
    want = {o.id: o.outcome in green for o in outcomes}
    if not ended:
        want["run.complete"] = False

    nested = {}
    for status, name, _, subtests in read_ktap(ktap(run)):
        for subtest in subtests:
            ok, _, short = subtest.rpartition(" ")
            nested[f"{name}.{short}"] = ok == "ok"
        if name == "run.complete":
            nested[name] = status == "ok"
    assert nested == want

    flat = ktap_kselftest(run)
    got = {f"{name}.{r.description}": r.ok for name, rs in groups(flat).items() for r in rs}
    assert got == want
    lines = flat.split("\n")
    results = [line for line in lines if OPENQA_SUBTEST.match(line) or GROUP.fullmatch(line)]
    assert [line for line in lines if LINARO_RESULT.search(line)] == results
    assert len(results) == len(want) + len(groups(flat))
