# SPDX-License-Identifier: MIT
"""Builds the site: reads the runs, then writes every page."""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vfiospec.report.site.fuzz import Campaign, read_campaign
from vfiospec.report.site.load import load
from vfiospec.report.site.model import Site, site
from vfiospec.report.site.pages import diff, findings, flaky, matrix, overview, results, rules, runs
from vfiospec.report.site.pages import fuzz as fuzz_pages
from vfiospec.report.site.proof import Proof, read_proof
from vfiospec.report.site.writer import Writer
from vfiospec.results.model import ResultsError


@dataclass(frozen=True, slots=True)
class Built:
    """What was built."""

    runs: int
    unread: list[str]
    pages: int


Page = tuple[str, str, str, object]  # its path, its template, its title, its data


def build(
    paths: Sequence[Path],
    out: Path,
    *,
    proof: Path | None = None,
    fuzz: Sequence[Path] = (),
    say: Callable[[str], None] = lambda _: None,
) -> Built:
    """Build a site from runs into out. ResultsError if there is none, or it cannot be written."""
    proofs = read_proof(proof) if proof is not None else {}
    campaigns = [read_campaign(folder) for folder in fuzz]
    with _no_search_for_cycles():
        return _build(paths, out, proofs, campaigns, say)


def _build(
    paths: Sequence[Path],
    out: Path,
    proofs: dict[str, Proof],
    campaigns: list[Campaign],
    say: Callable[[str], None],
) -> Built:
    loaded, unread = load(paths, lambda name: say(f"reading {name}"))
    if not loaded:
        whys = "; ".join(f"{one.folder}: {one.why}" for one in unread)
        raise ResultsError(f"none of these holds a run: {whys}")
    whole = site(loaded, unread)
    with Writer(out, has_fuzz=bool(campaigns)) as writer:
        for page in _pages(whole, proofs):
            say(f"writing {page[0]}")
            writer.page(*page)
        for path, data in fuzz_pages.fuzz(campaigns) if campaigns else ():
            template = "fuzz" if path.endswith("/index") else "campaign"
            writer.page(path, template, getattr(data, "name", "Fuzzing"), data)
    return Built(len(whole.runs), [f"{one.folder}: {one.why}" for one in unread], writer.pages)


@contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """All records live to the end: to look for cycles among them takes a third of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _pages(whole: Site, proofs: dict[str, Proof]) -> Iterator[Page]:
    yield "index", "overview", "Which VFIO feature works on which kernel", overview.overview(whole)
    yield "matrix", "matrix", "Kernels, topologies and chapters", matrix.matrix(whole)
    yield "findings", "findings", "Findings, by kernel", findings.findings(whole)
    yield "flaky", "flaky", "Tests that are not steady", flaky.flaky(whole)
    yield "runs", "runs", "Runs", runs.runs(whole)
    yield "rules/index", "rules", "Rules", rules.index(whole)
    for path, chapter in rules.chapters(whole):
        yield path, "rule_chapter", f"Rules of {chapter.chapter}", chapter
    for path, rule in rules.each_rule(whole, proofs):
        yield path, "rule", rule.rule.id, rule
    for path, cell in matrix.cells(whole):
        title = f"{cell.chapter} on {cell.kernel.release}, {cell.topology}"
        yield path, "cell", title, cell
    for path, run in runs.each_run(whole):
        yield path, "run", f"Run {run.line.folder}", run
    for path, result in results.results(whole):
        yield path, "result", result.outcome.id, result
    for path, data in diff.diffs(whole):
        listed = isinstance(data, diff.DiffsPage)
        yield path, "diffs" if listed else "diff", "What changed", data
