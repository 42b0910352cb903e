# SPDX-License-Identifier: MIT
"""The same calls made in several ways: where the answers differ, and nobody said why."""

from collections.abc import Iterable, Mapping

from vfiospec.device.survey import Answers
from vfiospec.rules.ways_differences import NOT_ASKED, Difference


def unexplained(answers: Mapping[str, Answers], allowed: Iterable[Difference]) -> list[str]:
    """A line for each question whose answers, by way, are neither alike nor as it is allowed.

    A difference that is allowed and not found is one too: what is said of it no longer holds.
    """
    known = {difference.question: difference for difference in allowed}
    questions = dict.fromkeys(q for by_way in answers.values() for q in by_way)
    lines = [line for q in questions for line in _judge(q, answers, known.get(q))]
    lines += [f"{q}: allowed to differ, and never asked" for q in known if q not in questions]
    return lines


def _judge(
    question: str, answers: Mapping[str, Answers], allowed: Difference | None
) -> Iterable[str]:
    given = {way: by_way.get(question, NOT_ASKED) for way, by_way in answers.items()}
    own = {w: a for w, a in (allowed.answers if allowed else ()) if w in given}
    common = {way: answer for way, answer in given.items() if way not in own}
    if len(set(common.values())) > 1:
        yield f"{question}: {_side_by_side(common)}"
    for way, wanted in own.items():
        if given[way] != wanted:
            yield f"{question}: {way} gives {given[way]}, where {wanted} is the difference allowed"
        elif wanted in common.values():
            yield f"{question}: {way} gives {wanted} as the others do, and was allowed to differ"


def _side_by_side(given: Mapping[str, str]) -> str:
    """`0 (type1, type1v2), ENOENT (iommufd)`."""
    ways: dict[str, list[str]] = {}
    for way, answer in given.items():
        ways.setdefault(answer, []).append(way)
    return ", ".join(f"{answer} ({', '.join(who)})" for answer, who in ways.items())
