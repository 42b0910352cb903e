# SPDX-License-Identifier: MIT
"""From the rules and findings of this version to the record that says what a run judged by."""

from collections.abc import Iterable
from errno import errorcode

from vfiospec.results import model
from vfiospec.rules import all_rules
from vfiospec.rules.model import Answer, Rule
from vfiospec.session.findings import Finding


def catalogue(findings: Iterable[Finding], version: tuple[int, int]) -> model.Catalogue:
    """Every rule and every finding in words, so that a report needs nothing but the results.

    version is that of the kernel that is judged.
    """
    return model.Catalogue(
        rules=[_rule(rule, version) for rule in all_rules().values()],
        findings=[_finding(finding) for finding in findings],
    )


def _rule(rule: Rule, version: tuple[int, int]) -> model.RuleFacts:
    here = next((answer for answer in rule.answers if answer.holds_on(version)), None)
    return model.RuleFacts(
        id=rule.id,
        text=rule.text,
        strength=rule.strength.value,
        sources=[str(source) for source in rule.sources],
        answers=[_answer(answer) for answer in rule.answers],
        answer=here.value if here else None,
        why=here.why if here else "",
        untested=rule.untested,
    )


def _answer(answer: Answer) -> str:
    where = f" on kernels {answer.kernels}" if answer.kernels else ""
    name = f" (as an errno: {errorcode[answer.value]})" if answer.value in errorcode else ""
    return f"{answer.value}{name}{where}{f': {answer.why}' if answer.why else ''}"


def _finding(finding: Finding) -> model.FindingFacts:
    return model.FindingFacts(
        id=finding.id,
        title=finding.title,
        rule=finding.rule,
        kernels=finding.kernels,
        reason=finding.reason,
        link=finding.link,
        since=finding.since,
        fixed_in=finding.fixed_in,
    )
