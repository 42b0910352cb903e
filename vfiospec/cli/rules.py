# SPDX-License-Identifier: MIT
"""`vfiospec rules`: the promises, their sources, and which tests assert them."""

import os
from collections import defaultdict
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import pytest
import typer
from rich.console import Console
from rich.table import Table

from vfiospec.cli.findings import findings
from vfiospec.cli.run import ROOT, chapters
from vfiospec.lab import LabError
from vfiospec.rules import all_rules
from vfiospec.rules.kernel import ALIVE, INSIDE, QUIET, UNTAINTED
from vfiospec.rules.model import Rule
from vfiospec.session.marks import rules_of

app = typer.Typer(help="The promises, their sources, and the tests that assert them.")
app.command("findings")(findings)
EVERYWHERE = (QUIET, UNTAINTED, ALIVE, INSIDE)  # asserted after every test
# Chapters that a command asserts, of sources: there is nothing to run. Our own tests hold each
# such rule against a change that breaks it.
BY_COMMAND = {"layout": "abi diff"}


class _Collector:
    def __init__(self) -> None:
        self.tests: dict[str, list[str]] = defaultdict(list)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            for rule in rules_of(item):
                self.tests[rule.id].append(item.nodeid)


def tests_by_rule() -> dict[str, list[str]]:
    """Node ids of the tests that name each rule."""
    collector = _Collector()
    arguments = [
        str(ROOT / "suites"), "--collect-only", "--dangerous", "--rootdir", str(ROOT),
        "-c", str(ROOT / "pyproject.toml"), "-p", "no:terminal", "-p", "no:cacheprovider",
    ]  # fmt: skip
    with Path(os.devnull).open("w") as null, redirect_stdout(null):
        code = pytest.main(arguments, plugins=[collector])
    if code != pytest.ExitCode.OK:
        raise LabError("the suites cannot be collected: run `pytest suites --collect-only`")
    return collector.tests


def _wanted(chapter: str | None) -> list[Rule]:
    rules = [r for r in all_rules().values() if chapter in (None, r.chapter)]
    if not rules:
        known = sorted({r.chapter for r in all_rules().values()})
        raise LabError(f"no chapter {chapter!r}; there are {', '.join(known)}")
    return rules


@app.command("list")
def list_rules(
    chapter: Annotated[str | None, typer.Argument(help="Only this chapter.")] = None,
) -> None:
    """Print each rule in one sentence."""
    for rule in _wanted(chapter):
        typer.echo(f"{rule.id} ({rule.strength})\n    {rule.text}")


@app.command()
def show(rule_id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Print a rule with its sources, its answers and its tests."""
    rule = all_rules().get(rule_id)
    if rule is None:
        raise LabError(f"no rule {rule_id!r}: see `vfiospec rules list`")
    typer.echo(f"{rule.id} ({rule.strength})\n{rule.text}")
    for source in rule.sources:
        typer.echo(f"  see {source}")
    if rule.untested:
        typer.echo(f"  untested: {rule.untested}")
    for answer in rule.answers:
        where = f" on kernels {answer.kernels}" if answer.kernels else ""
        why = f": {answer.why}" if answer.why else ""
        typer.echo(f"  answer {answer.value}{where}{why}")
    if rule.chapter in BY_COMMAND:
        typer.echo(f"  asserted by vfiospec {BY_COMMAND[rule.chapter]}")
    for test in tests_by_rule().get(rule.id, []):
        typer.echo(f"  tested by {test}")


@app.command()
def coverage() -> None:
    """Count the tests of each rule; exit 1 if a rule has none and no reason why."""
    tests = tests_by_rule()
    every = sum(len(set(t)) for t in tests.values())
    table = Table("rule", "strength", "tests", box=None)
    untested: list[Rule] = []
    commanded = 0
    for rule in all_rules().values():
        count = len(tests.get(rule.id, []))
        if rule in EVERYWHERE:
            shown = "each"
        elif rule.chapter in BY_COMMAND and not count:
            shown = BY_COMMAND[rule.chapter]
            commanded += 1
        else:
            shown = str(count)
            if not count:
                untested.append(rule)
        table.add_row(rule.id, rule.strength.value, shown)
    Console().print(table)
    total = len(all_rules())
    typer.echo(
        f"{total - len(untested)} of {total} rules are asserted, in {len(chapters())} suites, "
        f"by {every} pairs of rule and test, and {commanded} of them by a command: "
        f"{', '.join(f'vfiospec {command}' for command in BY_COMMAND.values())}"
    )
    for rule in untested:
        typer.echo(f"untested: {rule.id}: {rule.untested or 'nobody says why'}")
    raise typer.Exit(0 if all(rule.untested for rule in untested) else 1)
