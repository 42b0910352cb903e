# SPDX-License-Identifier: MIT
"""results.jsonl: what is written is read back, and a damaged file loses only what is damaged."""

import tempfile
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfiospec.results import model
from vfiospec.results.model import Boot, Footer, Outcome, OutcomeName, Record, ResultsError, Start
from vfiospec.results.reader import read_run
from vfiospec.tests import sample_run

REGENERATE = "python -c 'from vfiospec.results.model import *; print(schema_text(), end=str())'"

FAILED_NOW = sample_run.outcome(sample_run.PASSED.id, "failed")

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
maybe = st.none() | text
seconds = st.floats(0, 1e6)
ids = st.from_regex(r"[A-Za-z0-9_-]{1,8}(\.[A-Za-z0-9_-]{1,8}){0,2}", fullmatch=True)
outcomes = st.builds(
    Outcome,
    id=ids,
    nodeid=text,
    chapter=text,
    rules=st.lists(text, max_size=2),
    device=st.none() | st.builds(model.DeviceRef, name=text, bdf=text),
    outcome=st.sampled_from(get_args(OutcomeName)),
    expected=maybe,
    actual=maybe,
    message=maybe,
    details=maybe,
    log=st.lists(text, max_size=2),
    dmar=st.lists(text, max_size=2),
    finding=maybe,
    transcript=maybe,
    rerun=maybe,
    duration=seconds,
    boot=st.integers(0, 9),
    t=seconds,
)
starts = st.builds(Start, id=ids, t=seconds)
boots = st.builds(Boot, n=st.integers(0, 9), release=text, seconds=seconds, reason=maybe, t=seconds)
middles = st.lists(
    outcomes | starts | boots, max_size=8, unique_by=lambda r: (type(r), getattr(r, "id", id(r)))
)


def write(lines: list[Record]) -> tuple[tempfile.TemporaryDirectory[str], Path]:
    directory = tempfile.TemporaryDirectory()
    return directory, sample_run.write(Path(directory.name), lines)


@given(middles)
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read_back(middle: list[Record]) -> None:
    judged = [record for record in middle if isinstance(record, Outcome)]
    names = {record.id for record in judged}
    end = sample_run.footer(judged)
    head = sample_run.header(len(judged))
    directory, path = write([head, *middle, end])
    with directory:
        run = read_run(path)
    assert run.header == head
    assert run.outcomes == tuple(judged)
    assert run.boots == tuple(record for record in middle if isinstance(record, Boot))
    assert run.started_only == tuple(
        record.id for record in middle if isinstance(record, Start) and record.id not in names
    )
    assert run.footer == end
    assert run.problems == []


@given(middles, st.data())
@settings(max_examples=100, deadline=None)
def test_a_cut_at_any_byte_costs_the_last_line_only(
    middle: list[Record], data: st.DataObject
) -> None:
    directory, path = write([sample_run.header(len(middle)), *middle])
    with directory:
        whole = path.read_bytes()
        cut = data.draw(st.integers(0, len(whole) - 1))
        path.write_bytes(whole[:cut])
        if cut < whole.index(b"\n"):
            with pytest.raises(ResultsError, match="no header"):
                read_run(path)
            return
        run = read_run(path)
    complete = whole[:cut].count(b"\n") - 1
    # A line that lost nothing but its newline is still whole.
    kept = complete + (whole[cut : cut + 1] == b"\n" and whole[cut - 1 : cut] != b"\n")
    expected = [record for record in middle[:kept] if isinstance(record, Outcome)]
    assert list(run.outcomes) == expected
    assert run.boots == tuple(record for record in middle[:kept] if isinstance(record, Boot))
    torn = kept == complete and not whole[:cut].endswith(b"\n")
    assert [p.split(":")[0] for p in run.problems] == ([f"line {complete + 2}"] if torn else [])
    assert run.partial


def test_every_cut_of_one_run(tmp_path: Path) -> None:
    """The same without chance: each byte of the sample run."""
    path = sample_run.write(tmp_path, sample_run.records())
    whole = path.read_bytes()
    for cut in range(whole.index(b"\n"), len(whole)):
        path.write_bytes(whole[:cut])
        lines = [line for line in whole[:cut].split(b"\n") if line.endswith(b"}")]
        run = read_run(path)
        got = 1 + len(run.boots) + len(run.outcomes) + (run.footer is not None)
        assert got == sum(b'"type":"start"' not in line for line in lines if _is_json(line)), cut


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line)
    except msgspec.DecodeError:
        return False
    return True


def test_a_corrupt_line_is_named_and_the_rest_kept(tmp_path: Path) -> None:
    path = sample_run.write(tmp_path, sample_run.records())
    lines = path.read_bytes().split(b"\n")
    lines[3] = b"\xff\x00garbage"
    lines[5] = b"[" * 100_000
    path.write_bytes(b"\n".join(lines))
    run = read_run(path)
    assert [outcome.id for outcome in run.outcomes] == [o.id for o in sample_run.ALL[2:]]
    assert run.problems[0].startswith("line 4: corrupt: ")
    assert run.problems[1].startswith("line 6: corrupt: ")
    assert run.started_only == (sample_run.PASSED.id, sample_run.FAILED.id)
    assert "2 of 7 planned tests have no outcome" in run.shortfalls()


def test_unknown_keys_pass_and_an_unknown_type_is_a_problem(tmp_path: Path) -> None:
    path = sample_run.write(tmp_path, sample_run.records([sample_run.PASSED]))
    lines = path.read_bytes().split(b"\n")
    lines[3] = lines[3].replace(b'{"type"', b'{"novelty":{"a":[1]},"type"')
    lines.insert(4, b'{"type":"weather","t":1}')
    path.write_bytes(b"\n".join(lines))
    run = read_run(path)
    assert run.outcomes == (sample_run.PASSED,)
    assert len(run.problems) == 1
    assert "line 5" in run.problems[0]
    assert "weather" in run.problems[0]
    assert run.verdict() == "PASS"


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ([sample_run.PASSED, FAILED_NOW], "line 3: second outcome of device-info"),
        ([sample_run.PASSED, sample_run.PASSED], "line 3: line 2 once more, left out"),
        ([sample_run.header()], "line 2: a header that is not the first line"),
        ([sample_run.footer([]), Start(id="a", t=1)], "line 3: a record after the footer"),
        ([sample_run.footer([sample_run.PASSED])], "footer counts 1 passed, the file holds 0"),
    ],
    ids=["outcome-twice", "line-twice", "header-twice", "after-footer", "wrong-counts"],
)
def test_what_contradicts_itself_is_a_problem(
    tmp_path: Path, lines: list[Record], problem: str
) -> None:
    run = read_run(sample_run.write(tmp_path, [sample_run.header(), *lines]))
    assert [p for p in run.problems if p.startswith(problem)], run.problems


def test_a_file_without_a_catalogue_is_read_as_before(tmp_path: Path) -> None:
    """It has no catalogue: what a page needs of it is unknown, and nothing is wrong with it."""
    old = msgspec.structs.replace(sample_run.header(0), schema=1)
    run = read_run(sample_run.write(tmp_path, [old, sample_run.footer([])]))
    assert (run.problems, run.catalogue) == ([], model.Catalogue())


def test_the_catalogue_comes_back(tmp_path: Path) -> None:
    said = model.Catalogue(
        rules=[model.RuleFacts(id="a.b", text="It is so.", strength="observed", sources=["here"])],
        findings=[model.FindingFacts(id="f", title="it is not", rule="a.b", kernels="<6.1")],
    )
    run = read_run(sample_run.write(tmp_path, [sample_run.header(0), said, sample_run.footer([])]))
    assert run.catalogue == said


def test_a_newer_schema_is_a_problem(tmp_path: Path) -> None:
    newer = msgspec.structs.replace(sample_run.header(), schema=model.SCHEMA_VERSION + 1)
    problem = read_run(sample_run.write(tmp_path, [newer])).problems[0]
    assert f"schema {newer.schema} is newer" in problem


def test_no_file_and_no_header_are_errors_that_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / model.RESULTS_FILE
    with pytest.raises(ResultsError, match=str(path)):
        read_run(path)
    sample_run.write(tmp_path, [sample_run.PASSED])
    with pytest.raises(ResultsError, match=r"results\.jsonl has no header"):
        read_run(tmp_path)


def test_the_verdict_is_the_worst_that_is_true(tmp_path: Path) -> None:
    def verdict(name: str, outcomes: list[Outcome], end: Footer | None, planned: int) -> str:
        (tmp_path / name).mkdir()
        lines: list[Record] = [sample_run.header(planned), *outcomes, *([end] if end else [])]
        return read_run(sample_run.write(tmp_path / name, lines)).verdict()

    good, bad, skip = sample_run.PASSED, sample_run.FAILED, sample_run.SKIPPED
    end = sample_run.footer([good])
    assert verdict("a", [good], end, 1) == "PASS"
    assert verdict("b", [good], None, 1) == "PARTIAL"
    assert verdict("c", [good], end, 2) == "PARTIAL"
    assert verdict("d", [good], sample_run.footer([good], interrupted="^C"), 1) == "PARTIAL"
    assert verdict("e", [good], sample_run.footer([good], exit_code=3), 1) == "PARTIAL"
    assert verdict("f", [bad], None, 2) == "FAIL"
    assert verdict("g", [skip], sample_run.footer([skip]), 1) == "SKIP"
    assert verdict("h", [sample_run.XPASSED], sample_run.footer([sample_run.XPASSED]), 1) == "FAIL"


def test_counts_and_unexpected(tmp_path: Path) -> None:
    run = sample_run.run(tmp_path)
    assert run.counts() == {
        "passed": 1,
        "failed": 1,
        "skipped": 2,
        "error": 1,
        "xfailed": 1,
        "xpassed": 1,
    }
    assert [o.outcome for o in run.unexpected()] == ["failed", "xpassed", "error"]
    assert run.checks() == 5


@pytest.mark.parametrize("bad", ["", "a b", "a..b", "a.", "a/b", "a[1]", "ä", "a\n"])
def test_an_id_outside_the_alphabet_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="test id"):
        Start(id=bad, t=0)
    with pytest.raises(ValueError, match="test id"):
        sample_run.outcome(bad, "passed")


def test_the_schema_file_is_up_to_date() -> None:
    kept = Path(model.__file__).with_name("schema.json").read_text(encoding="utf-8")
    assert kept == model.schema_text(), f"schema.json is stale; write it anew: {REGENERATE}"


def test_the_schema_names_every_record_and_requires_its_tag() -> None:
    defs = model.json_schema()["$defs"]
    for record in get_args(Record):
        schema = defs[record.__name__]
        assert schema["properties"]["type"]["enum"] == [record.__name__.lower()]
        assert set(schema["properties"]) == {"type", *record.__struct_fields__}
        assert "type" in schema["required"]
