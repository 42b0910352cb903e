# SPDX-License-Identifier: MIT
"""What a site is about: kernels, their columns (a kernel on a topology), and the runs of each."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

from vfiospec.report.site.load import Loaded, Unread
from vfiospec.results.model import FindingFacts, Header, Outcome, RuleFacts
from vfiospec.results.reader import Run

IN_PLACE = "in place"  # the topology of a run that took the devices as they were


@dataclass(frozen=True, slots=True)
class SiteRun:
    """A run with the name its pages have."""

    slug: str
    run: Run
    folder: str

    @property
    def started(self) -> str:
        """When, for a person: minutes are enough."""
        return self.run.header.started.replace("T", " ")[:16] + " UTC"


@dataclass(frozen=True, eq=False)
class Kernel:
    """A kernel as it was asked for; two builds of one version from one place are one kernel."""

    slug: str
    release: str
    spec: str
    short: str
    columns: list["Column"] = field(default_factory=list)
    rules: dict[str, RuleFacts] = field(default_factory=dict)  # as told on this kernel

    @property
    def label(self) -> str:
        """Where it comes from, in a word or two."""
        name = self.spec.rstrip("/").rpartition("/")[2]
        return re.sub(r"-[0-9a-f]{12}$", "", name)  # of a build that we made

    @cached_property
    def outcomes(self) -> list[Outcome]:
        """The latest outcome of each test on each topology."""
        return [outcome for column in self.columns for outcome in column.latest.values()]

    @cached_property
    def by_rule(self) -> dict[str, list[Outcome]]:
        """The same, by the rules they speak of."""
        found: defaultdict[str, list[Outcome]] = defaultdict(list)
        for outcome in self.outcomes:
            for rule in outcome.rules:
                found[rule].append(outcome)
        return found


@dataclass(frozen=True, eq=False)
class Column:
    """A kernel on one topology: its runs, oldest first."""

    slug: str
    kernel: Kernel
    topology: str
    runs: list[SiteRun] = field(default_factory=list)

    @cached_property
    def latest(self) -> dict[str, Outcome]:
        """The latest outcome of each test."""
        return {outcome.id: outcome for one in self.runs for outcome in one.run.outcomes}

    @cached_property
    def run_of(self) -> dict[str, SiteRun]:
        """The run that outcome is from."""
        return {outcome.id: one for one in self.runs for outcome in one.run.outcomes}

    @cached_property
    def by_chapter(self) -> dict[str, list[Outcome]]:
        """The latest outcomes of each chapter."""
        found: defaultdict[str, list[Outcome]] = defaultdict(list)
        for outcome in self.latest.values():
            found[outcome.chapter].append(outcome)
        return found

    def as_run(self) -> Run:
        """All that is known of this column as if it were one run, for a comparison."""
        return Run(self.runs[-1].run.header, (), tuple(self.latest.values()), (), None)


@dataclass(frozen=True, eq=False)
class Site:
    """All there is to show."""

    runs: list[SiteRun]
    kernels: list[Kernel]
    unread: list[Unread]
    rules: dict[str, RuleFacts]
    findings: dict[str, FindingFacts]

    @cached_property
    def columns(self) -> list[Column]:
        """All columns, kernel by kernel."""
        return [column for kernel in self.kernels for column in kernel.columns]

    @cached_property
    def topologies(self) -> list[str]:
        """Their names, `default` first."""
        names = {column.topology for column in self.columns}
        return sorted(names, key=lambda name: (name != "default", name))

    @cached_property
    def chapters(self) -> list[str]:
        """The chapters that any run has."""
        return sorted({chapter for column in self.columns for chapter in column.by_chapter})

    @cached_property
    def rule_ids(self) -> list[str]:
        """Every rule that has a page: of the catalogues, and those that only outcomes name."""
        named = {r for one in self.runs for outcome in one.run.outcomes for r in outcome.rules}
        return [*self.rules, *sorted(named - set(self.rules))]

    @cached_property
    def columns_of(self) -> dict[str, Column]:
        """The column of each run, by the run's slug."""
        return {one.slug: column for column in self.columns for one in column.runs}

    def pairs(self) -> list[tuple[Column, Column]]:
        """Each kernel and the next newer one on the same topology."""
        return [
            pair
            for name in self.topologies
            for pair in pairwise(c for c in self.columns if c.topology == name)
        ]


def site(loaded: Iterable[Loaded], unread: list[Unread]) -> Site:
    """Sort runs into kernels and topologies; loaded is in the order of their beginnings."""
    runs, kernels = [], dict[tuple[str, ...], Kernel]()
    columns = dict[tuple[str, ...], Column]()
    taken: Counter[str] = Counter()
    rules, findings = dict[str, RuleFacts](), dict[str, FindingFacts]()
    for one in loaded:
        header = one.run.header
        topology = topology_of(header)
        key = (header.kernel.release, header.kernel.spec, version_of(header))
        kernel = kernels.get(key)
        if kernel is None:
            kernel = Kernel(_unique(slug(header.kernel.release), taken), *key)
            kernels[key] = kernel
        column = columns.get((*key, topology))
        if column is None:
            column = Column(_unique(f"{kernel.slug}.{slug(topology)}", taken), kernel, topology)
            columns[*key, topology] = column
            kernel.columns.append(column)
        begun = re.sub(r"\D", "", header.started)[:14]
        site_run = SiteRun(_unique(f"{column.slug}.{begun}", taken), one.run, one.folder)
        column.runs.append(site_run)
        runs.append(site_run)
        kernel.rules.update((rule.id, rule) for rule in one.run.catalogue.rules)
        rules.update(kernel.rules)
        findings.update((finding.id, finding) for finding in one.run.catalogue.findings)
    ordered = sorted(kernels.values(), key=lambda k: (natural(k.short), k.release, k.spec))
    for kernel in ordered:
        kernel.columns.sort(key=lambda c: (c.topology != "default", c.topology))
    return Site(runs, ordered, unread, rules, findings)


def version_of(header: Header) -> str:
    """The upstream version: 6.1.192 where Debian calls its release 6.1.0-56-amd64."""
    packaged = re.search(r"#\d+ .*\bDebian (\d+\.\d+(?:\.\d+)?)", header.kernel.version)
    if packaged is not None:
        return packaged[1]
    return re.split(r"[+-](?!rc)", header.kernel.release, maxsplit=1)[0]


def topology_of(header: Header) -> str:
    """The name of the bench, and what else tells its results apart from others of that name."""
    name = header.topology.name if header.topology is not None else IN_PLACE
    words = header.command
    bits = any(pair == ("--bits", "32") for pair in pairwise(words)) or "--bits=32" in words
    return f"{name}, 32 bit" if bits else name


def natural(text: str) -> list[tuple[int, int | str]]:
    """A key that sorts 5.10 before 5.9 the other way round."""
    parts = re.findall(r"\d+|\D+", text)
    return [(0, int(part)) if part.isdigit() else (1, part) for part in parts]


def slug(text: str) -> str:
    """The text as part of a file's name, the same on every file system."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "unnamed"


def _unique(name: str, taken: Counter[str]) -> str:
    taken[name] += 1
    return name if taken[name] == 1 else f"{name}-{taken[name]}"
