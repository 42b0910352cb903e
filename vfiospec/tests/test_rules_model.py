# SPDX-License-Identifier: MIT
"""Rules: what a declaration refuses, which answer holds on which kernel, and every rule we have."""

import importlib
import pkgutil
import re
from datetime import date

import pytest

from vfiospec import rules
from vfiospec.rules import all_rules, model
from vfiospec.rules.model import Answer, Rule, Source, Strength, Thread, kernel_version, rule

HERE = Source("drivers/vfio/vfio_main.c", "vfio_init")
# A release of each line that somebody still runs, from the oldest on.
KERNELS = [
    (5, 4),
    (5, 10),
    (5, 15),
    (6, 1),
    (6, 5),
    (6, 6),
    (6, 12),
    (6, 18),
    (7, 0),
    (7, 2),
    (7, 3),
]
RULES = all_rules().values()


@pytest.fixture
def no_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """A register of our own, so that the rules made up here stay out of the real one."""
    monkeypatch.setattr(model, "_RULES", {})


def made_up(*answers: Answer) -> Rule:
    return Rule("a.b", "Text.", Strength.OBSERVED, (HERE,), answers)


@pytest.mark.usefixtures("no_rules")
def test_a_declared_rule_is_registered() -> None:
    made = rule("device-info.size", "Text.", Strength.ENFORCED, HERE, answer=22)
    assert model.registered() == {"device-info.size": made}
    assert made.chapter == "device-info"
    assert made.answers == (Answer(22),)


@pytest.mark.usefixtures("no_rules")
def test_zero_is_an_answer_and_none_is_not() -> None:
    assert rule("a.zero", "Text.", Strength.ENFORCED, HERE, answer=0).answer((6, 1)) == 0
    with pytest.raises(LookupError, match=r"rule a\.none names no answer for kernel 6\.1"):
        rule("a.none", "Text.", Strength.ENFORCED, HERE).answer((6, 1))


@pytest.mark.usefixtures("no_rules")
@pytest.mark.parametrize("name", ["argsz", "a.b.c", "A.b", "a.b_c", "a.", ".b", "a. b", ""])
def test_a_malformed_id_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"is not chapter\.words-with-dashes"):
        rule(name, "Text.", Strength.ENFORCED, HERE)
    assert model.registered() == {}


@pytest.mark.usefixtures("no_rules")
def test_an_id_is_taken_once() -> None:
    first = rule("a.b", "One.", Strength.ENFORCED, HERE)
    with pytest.raises(ValueError, match=r"rule id a\.b is taken"):
        rule("a.b", "Another.", Strength.ENFORCED, HERE)
    assert model.registered() == {"a.b": first}


@pytest.mark.usefixtures("no_rules")
def test_a_rule_cites_something() -> None:
    with pytest.raises(ValueError, match=r"rule a\.b cites nothing"):
        rule("a.b", "Text.", Strength.ENFORCED)


@pytest.mark.usefixtures("no_rules")
def test_several_answers_need_reasons() -> None:
    answers = Answer(24, ">=6.6", "pad"), Answer(20, "<6.6")
    with pytest.raises(ValueError, match=r"rule a\.b has several answers: each needs its reason"):
        rule("a.b", "Text.", Strength.ENFORCED, HERE, answer=answers)
    whole = answers[0], Answer(20, "<6.6", "no pad")
    assert rule("a.b", "Text.", Strength.ENFORCED, HERE, answer=whole).answers == whole


@pytest.mark.parametrize(
    ("kernels", "holds"),
    [
        ("", [(5, 4), (7, 3)]),
        ("<6.6", [(5, 4), (6, 5)]),
        ("<=6.6", [(5, 4), (6, 6)]),
        (">6.6", [(6, 12), (7, 3)]),
        (">=6.6", [(6, 6), (7, 3)]),
        ("==6.6", [(6, 6)]),
        (">=6.1, <6.12", [(6, 1), (6, 6)]),
    ],
)
def test_an_answer_holds_within_its_bounds(kernels: str, holds: list[tuple[int, int]]) -> None:
    """The first and the last kernel it holds on, of those around; 6.12 is newer than 6.6."""
    within = [version for version in KERNELS if Answer(0, kernels).holds_on(version)]
    assert [within[0], within[-1]] == [holds[0], holds[-1]]


@pytest.mark.parametrize("kernels", ["6.6", "=>6.6", ">=6", ">=6.6.1", "<5.4,6.6", ">=6.6 <7.0"])
def test_a_bound_that_is_none_is_refused(kernels: str) -> None:
    """Also behind a bound that already rules the kernel out."""
    with pytest.raises(ValueError, match=r"is not a bound on a kernel version, such as >=6\.12"):
        Answer(0, kernels).holds_on((7, 0))


def test_the_first_answer_that_holds_is_the_answer() -> None:
    several = made_up(Answer(1, ">=6.6"), Answer(2, ">=6.1"), Answer(3, "<5.10"))
    assert several.answer((6, 12)) == 1
    assert several.answer((6, 1)) == 2
    assert several.answer((5, 4)) == 3
    with pytest.raises(LookupError, match=r"no answer for kernel 5\.15"):
        several.answer((5, 15))


def test_a_release_starts_with_its_version() -> None:
    assert kernel_version("6.12.117+deb13-amd64") == (6, 12)
    assert kernel_version("7.3-rc2") == (7, 3)
    with pytest.raises(ValueError, match="'next-20260101' does not start with a kernel version"):
        kernel_version("next-20260101")


def test_sources_read_as_citations() -> None:
    assert str(Source("a/b.c", "f")) == "a/b.c, f"
    assert str(Source("a/b.c", "f", quote="so")) == 'a/b.c, f: "so"'
    assert str(Thread("[PATCH] x", "Somebody", "2013-01-28")) == (
        '"[PATCH] x", Somebody, 2013-01-28'
    )
    assert str(Thread("s", "S", "2013-01-28", "so")).endswith(': "so"')


def test_all_rules_are_of_the_chapter_they_stand_in() -> None:
    """No rule in a module is left out of the register, and none has another chapter's id."""
    chapters = {one.chapter for one in RULES}
    assert {"kernel", "conventions", "device-info"} <= chapters
    chapters_ = {c.replace("-", "_") for c in chapters}
    for chapter in chapters:
        first = chapter.replace("-", "_")
        names = [m.name for m in pkgutil.iter_modules(rules.__path__)]
        # A chapter with many rules has further modules, of its own name and a word more.
        own = [n for n in names if n == first or (n.startswith(f"{first}_") and n not in chapters_)]
        declared = {
            one.id
            for name in own
            for one in vars(importlib.import_module(f"vfiospec.rules.{name}")).values()
            if isinstance(one, Rule)
        }
        assert declared == {one.id for one in RULES if one.chapter == chapter}


_FILE = re.compile(r"[\w-]+(/[\w-]+)+\.(h|c|rst)|Documentation/ABI(/[\w-]+)+")


@pytest.mark.parametrize("one", RULES, ids=lambda one: one.id)
def test_every_rule_is_a_promise_with_sources(one: Rule) -> None:
    """Text ends with a full stop; a source is a file and symbol, a thread has author and day."""
    assert re.fullmatch(r"[A-Z\"`_a-z].*[^.]\.", one.text), one.text
    assert one.text == " ".join(one.text.split())
    for source in one.sources:
        if isinstance(source, Source):
            assert _FILE.fullmatch(source.path), source
            assert re.fullmatch(r"[\w() ]+", source.symbol), source
        else:
            assert source.subject
            assert source.author
            assert date.fromisoformat(source.date) <= date.today()  # noqa: DTZ011 -- a day, no more


@pytest.mark.parametrize("one", [r for r in RULES if r.answers], ids=lambda one: one.id)
def test_every_answer_covers_each_kernel(one: Rule) -> None:
    """A rule that gives answers gives one to each kernel, and no answer is out of reach."""
    given = {one.answer(version) for version in KERNELS}
    assert given == {answer.value for answer in one.answers}
