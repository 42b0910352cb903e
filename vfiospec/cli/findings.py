# SPDX-License-Identifier: MIT
"""`vfiospec rules findings`: every known deviation, as the page docs/findings.md."""

from collections.abc import Iterator

import typer

from vfiospec.cli.run import ROOT
from vfiospec.rules import all_rules
from vfiospec.rules.model import Rule
from vfiospec.session.findings import Finding, load

HEAD = """\
<!-- SPDX-License-Identifier: MIT -->
<!-- Made by `vfiospec rules findings`, from suites/expectations/ and vfiospec/rules/. -->
# Findings

Promises about the VFIO user ABI that kernels break. Each is data in `suites/expectations/`: a run
says `xfailed` where one is known, and `xpassed`, which is an error, once it is mended.
"""


def findings() -> None:
    """Print every known deviation from the rules, as Markdown: the page docs/findings.md."""
    typer.echo(page(), nl=False)


def page() -> str:
    """Return the page."""
    rules = all_rules()
    known = sorted(load(ROOT / "suites" / "expectations"), key=lambda one: (one.rule, one.id))
    lines = [HEAD, "| finding | kernels | what happens |", "|---|---|---|"]
    lines += [
        f"| [{one.id}](#{_anchor(one.id)}) | {_kernels(one)} | {one.title} |" for one in known
    ]
    for one in known:
        lines += ["", *_section(one, rules[one.rule])]
    return "\n".join(lines) + "\n"


def _section(one: Finding, rule: Rule) -> Iterator[str]:
    yield f"## {one.id}"
    yield ""
    yield f"**{one.title}.** Kernels: {_kernels(one)}."
    if one.reason:
        yield ""
        yield one.reason
    yield ""
    yield f"- promised: {rule.text} (`{rule.id}`, {rule.strength})"
    for source in rule.sources:
        yield f"- source: {source}"
    for word, value in (("see", one.link), ("since", one.since), ("mended in", one.fixed_in)):
        if value:
            yield f"- {word}: {value}"
    devices = [*one.roles, *(f"not {role}" for role in one.not_roles)]
    if devices:
        yield f"- devices: {', '.join(devices)}"
    for test in one.tests:
        yield f"- shown by: `{test}`"


def _kernels(one: Finding) -> str:
    return f"`{one.kernels}`" if one.kernels else "all that were run"


def _anchor(name: str) -> str:
    """The anchor that Markdown renderers make of a heading: without its dots."""
    return name.lower().replace(".", "")
