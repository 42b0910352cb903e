# SPDX-License-Identifier: MIT
"""The rules: what is promised, by whom, which kernels keep it, which tests ask, and their proof."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from vfiospec.report.site.marks import Tally, tally
from vfiospec.report.site.model import Site, slug
from vfiospec.report.site.pages import Head, cell_path, function_of, head, heads, rule_path
from vfiospec.report.site.proof import Proof
from vfiospec.results.model import FindingFacts, Outcome, RuleFacts

# Asserted after every test, so named by an outcome only where one broke.
_EVERYWHERE = "kernel."


@dataclass(frozen=True, slots=True)
class Test:
    """A test of a rule, with a tally for each kernel."""

    name: str
    variants: int
    cells: list[Tally]


@dataclass(frozen=True, slots=True)
class On:
    """What a kernel does about a rule, on one topology."""

    kernel: Head
    topology: str
    tally: Tally
    href: str


@dataclass(frozen=True, slots=True)
class RulePage:
    """A rule."""

    rule: RuleFacts
    chapter: str
    chapter_href: str
    everywhere: bool
    kernels: list[Head]
    on: list[On]
    tests: list[Test]
    findings: list[FindingFacts]
    proof: Proof | None


@dataclass(frozen=True, slots=True)
class RuleLine:
    """A rule in the list of its chapter, with a tally for each kernel."""

    id: str
    text: str
    strength: str
    untested: str
    href: str
    cells: list[Tally]


@dataclass(frozen=True, slots=True)
class RuleChapterPage:
    """The rules of a chapter."""

    chapter: str
    kernels: list[Head]
    rules: list[RuleLine]


@dataclass(frozen=True, slots=True)
class RulesPage:
    """The chapters of rules: how many there are, and the tally of each kernel over them."""

    kernels: list[Head]
    chapters: list[tuple[str, str, int, list[Tally]]] = field(default_factory=list)


def all_rules(site: Site) -> dict[str, list[RuleFacts]]:
    """Return the rules by chapter: those of the catalogue, and those that only outcomes name."""
    chapters: dict[str, list[RuleFacts]] = {}
    for name in site.rule_ids:
        rule = site.rules.get(name) or RuleFacts(id=name, text="", strength="")
        chapters.setdefault(name.partition(".")[0], []).append(rule)
    return dict(sorted(chapters.items()))


def index(site: Site) -> RulesPage:
    """Return the list of chapters."""
    page = RulesPage(heads(site))
    for chapter, rules in all_rules(site).items():
        ids = {rule.id for rule in rules}
        cells = [
            tally({id(o): o for rule in ids for o in kernel.by_rule.get(rule, ())}.values())
            for kernel in site.kernels
        ]
        page.chapters.append((chapter, f"{_chapter_path(chapter)}.html", len(rules), cells))
    return page


def chapters(site: Site) -> Iterator[tuple[str, RuleChapterPage]]:
    """Yield the list of each chapter, and its path."""
    for chapter, rules in all_rules(site).items():
        lines = [
            RuleLine(
                rule.id, rule.text, rule.strength, rule.untested, f"{rule_path(rule.id)}.html",
                [tally(kernel.by_rule.get(rule.id, ())) for kernel in site.kernels],
            )
            for rule in rules
        ]  # fmt: skip
        yield _chapter_path(chapter), RuleChapterPage(chapter, heads(site), lines)


def each_rule(site: Site, proofs: dict[str, Proof]) -> Iterator[tuple[str, RulePage]]:
    """Yield the page of each rule, and its path."""
    kernels = heads(site)
    for chapter, rules in all_rules(site).items():
        for rule in rules:
            yield (
                rule_path(rule.id),
                RulePage(
                    rule=rule,
                    chapter=chapter,
                    chapter_href=f"{_chapter_path(chapter)}.html",
                    everywhere=rule.id.startswith(_EVERYWHERE),
                    kernels=kernels,
                    on=list(_on(site, rule.id)),
                    tests=_tests(site, rule.id),
                    findings=[one for one in site.findings.values() if one.rule == rule.id],
                    proof=proofs.get(rule.id),
                ),
            )


def _on(site: Site, rule: str) -> Iterator[On]:
    for kernel in site.kernels:
        here = {id(outcome) for outcome in kernel.by_rule.get(rule, ())}
        if not here:
            continue
        for column in kernel.columns:
            those = [o for o in kernel.by_rule[rule] if column.latest.get(o.id) is o]
            if those:
                chapter = f"{cell_path(column, those[0].chapter)}.html"
                yield On(head(kernel), column.topology, tally(those), chapter)


def _tests(site: Site, rule: str) -> list[Test]:
    by_test: dict[str, dict[str, list[Outcome]]] = {}
    for kernel in site.kernels:
        for outcome in kernel.by_rule.get(rule, ()):
            test = by_test.setdefault(function_of(outcome.id), {})
            test.setdefault(kernel.slug, []).append(outcome)
    return [
        Test(
            name,
            len({outcome.id for outcomes in found.values() for outcome in outcomes}),
            [tally(found.get(kernel.slug, ())) for kernel in site.kernels],
        )
        for name, found in sorted(by_test.items())
    ]


def _chapter_path(chapter: str) -> str:
    return f"rules/{slug(chapter)}"
