# SPDX-License-Identifier: MIT
"""The check on ways: what it reports, what it lets pass, and that its list is as it should be."""

import re
from pathlib import Path

import pytest

from vfiospec.device.comparison import unexplained
from vfiospec.device.survey import Answers
from vfiospec.device.surveys import GROUPS, OF_CONTAINERS
from vfiospec.device.ways import ALL, IN_GROUP, Way
from vfiospec.rules import ways
from vfiospec.rules.model import Rule, registered
from vfiospec.rules.ways_differences import DIFFERENCES, NOT_ASKED, Difference

ROOT = Path(__file__).parent.parent.parent
SOURCE = ways.MAP.sources[0]
NEWEST, OLD = (7, 3), (6, 12)


def _allowed(**answers: str) -> list[Difference]:
    own = tuple((Way[name].value, answer) for name, answer in answers.items())
    return [Difference(ways.MAP, "q", own, "because", SOURCE)]  # type: ignore[arg-type]


def test_like_answers_are_no_news() -> None:
    assert unexplained({way: {"q": "0", "r": "EINVAL"} for way in ALL}, []) == []


def test_each_difference_is_a_line() -> None:
    answers: dict[str, Answers] = {way: {"q": "0", "r": "0"} for way in ALL}
    answers[Way.TYPE1] = {"q": "EINVAL", "r": "0"}
    answers[Way.IOMMUFD] = {"q": "ENOENT"}
    assert unexplained(answers, []) == [
        "q: 0 (type1v2, compat-type1v2, compat-type1), EINVAL (type1), ENOENT (iommufd)",
        "r: 0 (type1v2, type1, compat-type1v2, compat-type1), not asked (iommufd)",
    ]


def test_a_difference_that_is_allowed_is_just_that_one() -> None:
    answers: dict[str, Answers] = {way: {"q": "0"} for way in ALL}
    answers[Way.IOMMUFD] = {"q": "ENOENT"}
    allowed = _allowed(IOMMUFD="ENOENT")
    assert unexplained(answers, allowed) == []
    answers[Way.IOMMUFD] = {"q": "EINVAL"}
    assert unexplained(answers, allowed) == [
        "q: iommufd gives EINVAL, where ENOENT is the difference allowed"
    ]
    answers[Way.TYPE1] = {"q": "EINVAL"}
    assert len(unexplained(answers, allowed)) == 2


def test_a_difference_that_is_gone_is_told() -> None:
    answers: dict[str, Answers] = {way: {"q": "ENOENT"} for way in ALL}
    assert unexplained(answers, _allowed(IOMMUFD="ENOENT")) == [
        "q: iommufd gives ENOENT as the others do, and was allowed to differ"
    ]
    assert unexplained({way: {} for way in ALL}, _allowed(IOMMUFD="ENOENT")) == [
        "q: allowed to differ, and never asked"
    ]


def test_a_way_that_the_kernel_has_not_is_not_missed() -> None:
    answers: dict[str, Answers] = {Way.TYPE1V2: {"q": "0"}, Way.TYPE1: {"q": "0"}}
    assert unexplained(answers, _allowed(IOMMUFD="ENOENT", COMPAT_TYPE1="1")) == []


def _as_allowed(rule: Rule, version: tuple[int, int] = NEWEST) -> dict[str, Answers]:
    """Answers in which just what is allowed to differ differs, and one question is of all."""
    asked = IN_GROUP if rule in OF_CONTAINERS else ALL
    answers: dict[str, Answers] = {way: {"any": "0"} for way in asked}
    for difference in _of(rule, version):
        own = dict(difference.answers)
        for way in asked:
            answers[way][difference.question] = own.get(way, "common")
    for way in asked:
        answers[way] = {q: a for q, a in answers[way].items() if a != NOT_ASKED}
    return answers


def _of(rule: Rule, version: tuple[int, int] = NEWEST) -> list[Difference]:
    return [d for d in DIFFERENCES if d.rule is rule and d.holds_on(version)]


@pytest.mark.parametrize("rule", GROUPS, ids=lambda rule: rule.id)
def test_in_each_group_an_altered_answer_is_reported_by_its_name(rule: Rule) -> None:
    """Of each question, in each way."""
    assert unexplained(_as_allowed(rule), _of(rule)) == []
    for question in ("any", *(d.question for d in _of(rule))):
        for way in _as_allowed(rule):
            altered = _as_allowed(rule)
            altered[way][question] = "altered"
            lines = unexplained(altered, _of(rule))
            assert [line for line in lines if line.startswith(f"{question}: ")], (question, way)
            assert "altered" in lines[0]


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda d: f"{d.rule.id}-{d.question}")
def test_an_altered_expectation_is_reported(difference: Difference) -> None:
    """Left out, or with another answer, each that is allowed shows."""
    version = NEWEST if difference.holds_on(NEWEST) else OLD
    given, others = _as_allowed(difference.rule, version), _of(difference.rule, version)
    others.remove(difference)
    (line,) = unexplained(given, others)
    assert line.startswith(f"{difference.question}: ")


def test_each_rule_is_asked_and_each_difference_is_of_a_rule() -> None:
    declared = {r.id for r in registered().values() if r.chapter == "ways"}
    assert declared == {rule.id for rule in GROUPS}
    assert {d.rule.id for d in DIFFERENCES} <= declared
    pairs = [(d.rule.id, d.question, d.kernels) for d in DIFFERENCES]
    assert len(set(pairs)) == len(pairs)


def test_only_known_ways_differ() -> None:
    for difference in DIFFERENCES:
        ways_ = [way for way, _ in difference.answers]
        assert len(set(ways_)) == len(ways_)
        assert set(ways_) <= set(Way), difference
        assert len(difference.reason) > 30, difference


def test_the_table_of_the_documentation_is_this_list() -> None:
    text = (ROOT / "docs" / "ways.md").read_text()
    rows = [row for row in text.splitlines() if row.startswith("| ways.")]
    assert rows == table(DIFFERENCES)
    assert re.search(r"--ways", text)


def table(differences: tuple[Difference, ...]) -> list[str]:
    """The rows of docs/ways.md: questions with one reason and one rule side by side."""
    rows = []
    for d in differences:
        own: dict[str, list[str]] = {}
        for way, answer in d.answers:
            own.setdefault(answer, []).append(way)
        said = "; ".join(f"{answer}: {', '.join(who)}" for answer, who in own.items())
        kernels = f" ({d.kernels})" if d.kernels else ""
        rows.append(f"| {d.rule.id} | {d.question}{kernels} | {said} | {d.reason} | {d.source} |")
    return rows
