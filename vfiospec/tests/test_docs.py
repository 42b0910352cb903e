# SPDX-License-Identifier: MIT
"""The documents: the list of findings is in step, links lead somewhere, commands exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from vfiospec.cli import app as cli
from vfiospec.cli import findings
from vfiospec.session.findings import load
from vfiospec.tests.test_project import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "reports" / "README.md"])
by_name = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def test_the_list_of_findings_is_in_step() -> None:
    """Whoever adds a finding says: vfiospec rules findings > docs/findings.md."""
    assert (ROOT / "docs" / "findings.md").read_text() == findings.page()


def test_the_list_has_every_finding() -> None:
    known = load(ROOT / "suites" / "expectations")
    assert known
    assert [one.id for one in known if f"\n## {one.id}\n" not in findings.page()] == []


def test_the_readme_shows_the_same_list() -> None:
    rows = [line for line in findings.page().splitlines() if line.startswith("| [")]
    shown = (ROOT / "README.md").read_text()
    assert rows
    assert [row for row in rows if row.replace("](#", "](docs/findings.md#") not in shown] == []


@by_name
def test_every_link_within_the_project_leads_somewhere(page: Path) -> None:
    lost = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        file, _, anchor = link.partition("#")
        if "://" in file:
            continue
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert lost == []


def anchors(page: Path) -> set[str]:
    """The anchors that Markdown renderers make of headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}


def commands(page: Path) -> Iterator[list[str]]:
    """Every line of a block, and every piece of code in a sentence, that calls vfiospec."""
    text = page.read_text()
    lines = re.findall(r"^ {4,6}(?:\$ |sudo )?(vfiospec .*)$", text, re.MULTILINE)
    for line in (*lines, *re.findall(r"`(vfiospec [^`]+)`", text)):
        yield re.split(r" #| >|;| \| ", line)[0].replace("[", "").replace("]", "").split()


@by_name
def test_every_command_that_is_shown_exists(page: Path) -> None:
    unknown = []
    for words in commands(page):
        command, rest = typer.main.get_command(cli.command()), words[1:]
        while rest and (below := getattr(command, "commands", {})):
            several = rest[0].split("|")  # as in `report junit|ktap RUN`
            if not below.keys() >= {*several}:
                break
            command, rest = below[several[0]], rest[1:]
        options = {option for parameter in command.params for option in parameter.opts}
        if getattr(command, "commands", {}) and rest and not rest[0].startswith("-"):
            unknown.append(" ".join(words))
        unknown += [
            f"{' '.join(words)}: {word}"
            for word in rest
            if word.startswith("--") and word.partition("=")[0] not in options
        ]
    assert unknown == []


def test_the_commands_are_seen() -> None:
    """The search above would pass on an empty list."""
    shown = [words for page in PAGES for words in commands(page)]
    assert ["vfiospec", "report", "build", "before", "after", "--out", "site"] in shown
    assert len(shown) > 40
