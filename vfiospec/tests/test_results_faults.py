# SPDX-License-Identifier: MIT
"""Results files that went through something: what is whole is kept, and each fault is one line."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfiospec.results.reader import Run, parse_run
from vfiospec.tests import sample_run

OUTCOMES = [
    *(o for o in sample_run.ALL if o.outcome != "failed"),
    *(sample_run.outcome(f"more.t{n}", "passed") for n in range(20)),
]


@pytest.fixture(name="lines", scope="module")
def _lines(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """A whole run, as lines without their ends."""
    path = sample_run.write(tmp_path_factory.mktemp("run"), sample_run.records(OUTCOMES))
    return path.read_bytes().splitlines()


def read(lines: list[bytes]) -> Run:
    run = parse_run(b"\n".join(lines) + b"\n", "results.jsonl")
    assert all(re.match(r"(line \d+|footer counts \d+ \w+)\b", p) for p in run.problems)
    assert all("\n" not in problem for problem in run.problems)
    return run


def test_one_without_faults_has_no_problems(lines: list[bytes]) -> None:
    run = read(lines)
    assert (list(run.outcomes), run.problems, run.partial) == (OUTCOMES, [], False)


FOREIGN = [
    b'{"level":"info","msg":"started"}', b'{"type":"weather","t":1}', b"[]", b"null", b"3",
    b'"text"', b'{"type":"outcome"}', b'{"type":"outcome","id":7}', b"{}", b"", b"\x00" * 64,
    b"\xff\xfe\x00", b"Traceback (most recent call last):", b"[" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("foreign", FOREIGN, ids=range(len(FOREIGN)))
def test_a_foreign_line_is_named_and_costs_nothing(lines: list[bytes], foreign: bytes) -> None:
    run = read([*lines[:5], foreign, *lines[5:]])
    assert list(run.outcomes) == OUTCOMES
    assert [problem.partition(":")[0] for problem in run.problems] == ["line 6"]


def test_a_repeated_line_is_named_and_counted_once(lines: list[bytes]) -> None:
    run = read([*lines[:6], *lines[5:]])
    assert list(run.outcomes) == OUTCOMES
    assert run.problems == ["line 7: line 6 once more, left out"]


def test_a_torn_line_costs_itself_alone(lines: list[bytes]) -> None:
    """Two writers at once: the begin of a line, and another line behind it."""
    torn = lines[3][:50] + lines[5]
    run = read([*lines[:3], torn, lines[4], *lines[6:]])
    assert run.problems[0].startswith("line 4: corrupt: ")
    kept = [o for o in OUTCOMES if o not in OUTCOMES[:2]]
    assert list(run.outcomes) == kept
    assert run.started_only == (OUTCOMES[0].id, OUTCOMES[1].id)


def test_two_runs_in_one_file_are_both_kept_and_told_apart(lines: list[bytes]) -> None:
    """Line by line from each: the second header, and each test that is there twice, is named."""
    other = [line.replace(b'"t":14.0', b'"t":15.0') for line in lines]
    run = read([line for pair in zip(lines, other, strict=True) for line in pair])
    assert len(run.outcomes) == 2 * len(OUTCOMES)
    assert run.problems[0] == "line 2: a header that is not the first line"
    second = [p for p in run.problems if "second outcome of" in p]
    assert len(second) == len(OUTCOMES)


FAULTS = st.lists(
    st.tuples(st.integers(1, 200), st.sampled_from(["cut", "twice", "foreign", "gone", "swap"])),
    max_size=12,
)


@given(faults=FAULTS, end=st.integers(0, 60))
@settings(max_examples=80, deadline=None)
def test_whatever_happens_each_whole_line_is_kept(
    lines: list[bytes], faults: list[tuple[int, str]], end: int
) -> None:
    now = list(lines)
    for at, fault in faults:
        index = 1 + at % (len(now) - 1)
        match fault:
            case "cut":
                now[index] = now[index][: len(now[index]) // 2]
            case "twice":
                now.insert(index, now[index])
            case "foreign":
                now.insert(index, FOREIGN[at % len(FOREIGN)])
            case "gone" if len(now) > 2:
                del now[index]
            case _:
                now[index], now[-1] = now[-1], now[index]
    data = (b"\n".join(now) + b"\n")[: -end or None]
    run = parse_run(data, "results.jsonl")
    whole = {line for line in data.splitlines() if line in lines and b'"type":"outcome"' in line}
    assert {o.id for o in run.outcomes} == {OUTCOMES[_at(lines, line)].id for line in whole}
    assert all("\n" not in problem for problem in run.problems)
    if not run.problems:
        assert run.partial or list(run.outcomes) == OUTCOMES


def _at(lines: list[bytes], line: bytes) -> int:
    """Which outcome a line is: they come behind the header and the boot, each after its start."""
    return (lines.index(line) - 3) // 2


def test_the_lines_are_where_they_are_said_to_be(lines: list[bytes]) -> None:
    found = [OUTCOMES[_at(lines, line)] for line in lines if b'"outcome","id"' in line]
    assert found == OUTCOMES
