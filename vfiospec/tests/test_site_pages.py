# SPDX-License-Identifier: MIT
"""What the pages say: which mark a set of outcomes gets, what a kernel has of a feature."""

import fnmatch
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from vfiospec.report.site.build import build
from vfiospec.report.site.calls import Field, decode
from vfiospec.report.site.features import NO, PARTLY, UNKNOWN, YES, Feature, Note, known, support
from vfiospec.report.site.load import Loaded
from vfiospec.report.site.marks import FAIL, KNOWN, NONE, PASS, SKIP, Mark, tally
from vfiospec.report.site.model import Kernel, Site, natural, site, topology_of, version_of
from vfiospec.report.site.proof import Proof, read_proof
from vfiospec.results.model import Catalogue, Known, Outcome, ResultsError
from vfiospec.results.reader import read_run
from vfiospec.rules import all_rules
from vfiospec.tests import sample_run, sample_site

GCC = "gcc-12 (Debian 12.2.0-14) 12.2.0, GNU ld (GNU Binutils for Debian) 2.40"
RULE = "device-info.argsz-too-small"
FEATURE = Feature(name="it", about="", rules=("device-info.argsz-*",))


def outcome(kind: str, **more: Any) -> Outcome:  # noqa: ANN401 - any field
    return sample_run.outcome(f"irq.x.y.{kind}-{len(more)}", kind, **more)


def sited(folder: Path, *outcomes: Outcome) -> Site:
    run = read_run(sample_site.write(folder, outcomes=outcomes))
    return site([Loaded(run, "0", folder.name)], [])


def kernel(folder: Path, *outcomes: Outcome) -> Kernel:
    return sited(folder, *outcomes).kernels[0]


@pytest.mark.parametrize(
    ("kinds", "mark", "short"),
    [
        ((), NONE, ""),
        (("skipped",), SKIP, "1"),
        (("passed", "skipped", "passed"), PASS, "2"),
        (("passed", "xfailed"), KNOWN, "1/2"),
        (("passed", "xfailed", "failed"), FAIL, "1/3"),
        (("xpassed",), FAIL, "1/1"),
        (("error", "passed"), FAIL, "1/2"),
    ],
)
def test_the_worst_gives_the_mark(kinds: tuple[str, ...], mark: Mark, short: str) -> None:
    found = tally(outcome(kind) for kind in kinds)
    assert (found.mark, found.short) == (mark, short)


@pytest.mark.parametrize(
    ("outcomes", "mark", "notes"),
    [
        ([outcome("passed"), outcome("skipped", message="no device with rom")], YES, []),
        ([outcome("skipped", message="needs a kernel with CONFIG_X")], NO,
         [Note("needs a kernel with CONFIG_X")]),
        ([outcome("skipped", message="no device with rom")], UNKNOWN, [Note("no device with rom")]),
        ([outcome("skipped", message="no type x: a kernel built with CONFIG_X has it")], UNKNOWN,
         [Note("no type x: a kernel built with CONFIG_X has it")]),
        ([], UNKNOWN, []),
        ([outcome("passed", rules=["device-info.lore"])], UNKNOWN, []),
        ([outcome("passed"), outcome("xfailed", finding="F-003")], PARTLY,
         [Note("finding", "F-003")]),
        ([outcome("failed")], PARTLY, [Note("unexpected: a test of it failed")]),
        ([outcome("passed"), outcome("skipped", message="the kernel has no X")], YES,
         [Note("some of its tests are skipped: the kernel has no X")]),
        ([outcome("passed"), outcome("skipped", message="needs CONFIG_X"),
          outcome("skipped", message="needs CONFIG_X", t=1.0)], PARTLY,
         [Note("some of its tests are skipped: needs CONFIG_X")]),
    ],
    ids=["yes", "no", "no-device", "no-sample", "not-run", "left-out", "finding", "failed",
         "a-part", "hardly"],
)  # fmt: skip
def test_what_a_kernel_has_of_a_feature(
    tmp_path: Path, outcomes: list[Outcome], mark: Mark, notes: list[Note]
) -> None:
    outcomes = [*outcomes, outcome("passed", rules=["other.rule"])]
    found = support(kernel(tmp_path / "run", *outcomes), FEATURE)
    assert (found.mark, found.notes) == (mark, notes)


@pytest.mark.parametrize(
    ("answer", "outcomes", "mark", "notes"),
    [
        (0, [outcome("passed")], YES, []),
        (22, [outcome("passed")], NO, [Note("not known yet")]),
        (22, [outcome("failed")], UNKNOWN, [Note(f"no test of {RULE} passed")]),
        (None, [outcome("passed")], UNKNOWN,
         [Note(f"these results do not hold the answer of {RULE}")]),
        (22, [outcome("skipped", message="needs CONFIG_X")], NO, [Note("needs CONFIG_X")]),
        (22, [outcome("failed"), outcome("skipped", message="needs CONFIG_X")], NO,
         [Note("needs CONFIG_X")]),
    ],
    ids=["there", "absent", "broken", "unknown", "left-out", "left-out-in-part"],
)  # fmt: skip
def test_an_answer_tells_whether_a_feature_is_there(
    tmp_path: Path, answer: int | None, outcomes: list[Outcome], mark: Mark, notes: list[Note]
) -> None:
    rule = msgspec.structs.replace(
        sample_site.CATALOGUE.rules[0], answer=answer, why="not known yet" if answer else ""
    )
    run = sample_site.write(tmp_path / "run", outcomes=outcomes, catalogue=Catalogue(rules=[rule]))
    made = site([Loaded(read_run(run), "0", "run")], []).kernels[0]
    found = support(made, msgspec.structs.replace(FEATURE, there={RULE: 0}))
    assert (found.mark, found.notes) == (mark, notes)


def test_every_feature_names_promises_that_were_made() -> None:
    ids = list(all_rules())
    features = [feature for group in known() for feature in group.feature]
    globs = [(f.name, glob) for f in features for glob in (*f.rules, *f.there)]
    assert [g for g in globs if not fnmatch.filter(ids, g[1])] == []
    assert len({f.name for f in features}) == len(features) > 30


def test_a_call_is_taken_apart_by_field() -> None:
    found = decode(sample_site.CALL)
    assert (found.name, found.answer, found.struct) == (
        "VFIO_DEVICE_GET_INFO", "0", "vfio_device_info",
    )  # fmt: skip
    assert found.fields == (Field("argsz", "24", "24"), Field("flags", "0xa5", "0x3"))
    assert [field.changed for field in found.fields] == [False, True]


@pytest.mark.parametrize(
    ("line", "name", "answer", "fields"),
    [
        ("Close(handle=7) -> 0", "Close", "0", ()),
        ("X(group 3, 'a, b=(c', as 4) -> 5", "X", "5", ()),
        ("SET(device 3, s(a=[1, 2], b=t(c=3, d=4))) -> EINVAL", "SET", "EINVAL",
         (Field("a", "[1, 2]", None), Field("b", "t(c=3, d=4)", None))),
        ("no arrow at all", "no arrow at all", "", ()),
        ("CUT(device 3, s(a=1, b=", "CUT(device 3, s(a=1, b=", "", ()),
        ("CUT(device 3, s(a=1, b=2 -> 0", "CUT", "0",
         (Field("a", "1", None), Field("b", "2", None))),
    ],
)  # fmt: skip
def test_a_call_of_another_shape_is_kept(
    line: str, name: str, answer: str, fields: tuple[Field, ...]
) -> None:
    found = decode(line)
    assert (found.text, found.name, found.answer, found.fields) == (line, name, answer, fields)


@pytest.mark.parametrize(
    ("version", "release", "shown"),
    [
        (f"Linux version 6.1.0-56-amd64 ({GCC}) #1 SMP Debian 6.1.192-2 (2026-11-16)",
         "6.1.0-56-amd64", "6.1.192"),
        (f"Linux version 7.3.4-x ({GCC}) #1 SMP", "7.3.4-x", "7.3.4"),
        ("Linux version 7.4.0-rc2+ #3", "7.4.0-rc2+", "7.4.0-rc2"),
    ],
)  # fmt: skip
def test_the_version_that_is_shown(version: str, release: str, shown: str) -> None:
    head = sample_site.header()
    kernel = msgspec.structs.replace(head.kernel, version=version, release=release)
    assert version_of(msgspec.structs.replace(head, kernel=kernel)) == shown


def test_numbers_in_releases_count_as_numbers() -> None:
    releases = ["6.12.9", "5.10.262", "6.2", "6.12.10"]
    assert sorted(releases, key=natural) == ["5.10.262", "6.2", "6.12.9", "6.12.10"]


def test_a_run_of_32_bit_calls_and_one_in_place_are_columns_of_their_own() -> None:
    head = sample_site.header()
    narrow = msgspec.structs.replace(head, command=["vfiospec", "run", "--bits", "32"])
    assert topology_of(head) == "default"
    assert topology_of(narrow) == "default, 32 bit"
    assert topology_of(msgspec.structs.replace(head, topology=None)) == "in place"


def test_a_later_run_of_some_tests_leaves_the_others_as_they_were(tmp_path: Path) -> None:
    mended = msgspec.structs.replace(sample_run.FAILED, outcome="passed")
    sample_site.write(tmp_path / "a")
    sample_site.write(tmp_path / "b", sample_site.header(day=22), [mended])
    build([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    page = json.loads((tmp_path / "out" / "matrix.json").read_text())
    counts = {row["name"]: row["cells"][0]["mark"]["word"] for row in page["rows"]}
    assert counts == {"device-info": "pass", "irq": "FAIL", "migration": "skip"}


def test_the_proof_of_a_rule_is_shown(tmp_path: Path) -> None:
    run = sample_site.write(tmp_path / "run")
    proof = tmp_path / "prove.json"
    proven = {"device-info.argsz-too-small": {"proven_by": ["bound-off-by-one"]}}
    unproven = {"device-info.lore": {"proven_by": [], "why_not": "no such disk"}}
    proof.write_text(json.dumps({"rules": proven | unproven}))
    build([run], tmp_path / "out", proof=proof)
    rules = tmp_path / "out" / "rules"
    assert "bound-off-by-one" in (rules / "device-info.argsz-too-small.html").read_text()
    assert "Not proven: no such disk." in (rules / "device-info.lore.html").read_text()


def test_a_proof_as_it_is_left_by_prove(tmp_path: Path) -> None:
    rules = [
        {"id": "a.b", "chapter": "a", "asserted": True, "proven_by": ["off-by-one"], "why": ""},
        {"id": "a.c", "chapter": "a", "asserted": True, "proven_by": [], "why": "none was found"},
    ]
    wrongs = [{"id": "off-by-one", "what": "a bound is off by one", "verdict": "caught"}]
    (tmp_path / "prove.json").write_text(json.dumps({"rules": rules, "wrongs": wrongs}))
    assert read_proof(tmp_path) == {
        "a.b": Proof(["off-by-one: a bound is off by one"]),
        "a.c": Proof([], "none was found"),
    }


@pytest.mark.parametrize("text", ["", "[]", '{"rules": 3}', "\x00"])
def test_a_proof_that_is_none_is_one_clear_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "proof").write_text(text)
    with pytest.raises(ResultsError, match="proof is no proof"):
        read_proof(tmp_path / "proof")


def test_a_known_issue_is_told_with_its_title(tmp_path: Path) -> None:
    """It is in no catalogue: the outcome itself says what it is."""
    known = Known(title="it is slow", link="bugs/7", origin="known-issues.toml")
    late = outcome("xfailed", finding="BUG-7", known=known)
    build([sample_site.write(tmp_path / "run", outcomes=[late])], tmp_path / "out")
    findings = sample_site.Page(tmp_path / "out" / "findings.html").text
    assert "A known issue of known-issues.toml." in findings
    result = sample_site.Page(next((tmp_path / "out" / "results").glob("*/*.html"))).text
    assert "Known as BUG-7, it is slow: bugs/7." in result
    assert sample_site.faults(tmp_path / "out") == []


def test_what_changed_is_said_in_the_words_of_kernelci(tmp_path: Path) -> None:
    build(sample_site.runs(tmp_path / "runs"), tmp_path / "out")
    page = json.loads(
        next((tmp_path / "out" / "diff").glob("*20261121050000...*.json")).read_text()
    )
    sections = {section["category"]: section["count"] for section in page["sections"]}
    assert sections == {
        "regression": 0, "newFailure": 0, "stillFailing": 2, "fixed": 1,
        "newPass": 0, "appeared": 0, "disappeared": 0,
    }  # fmt: skip
    assert page["entries"][-1] == ["fixed", sample_run.FAILED.id, "failed", "passed"]
