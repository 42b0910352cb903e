# SPDX-License-Identifier: MIT
"""What a run says it judged by: all rules and all findings, in the words of their sources."""

import errno

from vfiospec.rules import all_rules, region_info
from vfiospec.session import findings
from vfiospec.session.catalogue import catalogue
from vfiospec.tests.test_project import ROOT


def test_every_rule_and_every_finding_is_there() -> None:
    rules = all_rules()
    known = findings.load(ROOT / "suites" / "expectations")
    made = catalogue(known, (6, 12))
    assert [rule.id for rule in made.rules] == list(rules)
    assert [finding.id for finding in made.findings] == [finding.id for finding in known]
    assert {rule.strength for rule in made.rules} == {"documented", "enforced", "observed"}
    assert [rule.id for rule in made.rules if not (rule.text and rule.sources)] == []


def test_a_rule_is_told_as_it_was_declared() -> None:
    wanted = region_info.UNIMPLEMENTED
    told = next(rule for rule in catalogue((), (6, 12)).rules if rule.id == wanted.id)
    assert told.text == wanted.text
    assert told.sources == [str(source) for source in wanted.sources]


def test_answers_that_differ_name_their_kernels_and_reasons() -> None:
    several = all_rules()["cdev.bind-argsz-alone"]
    told = next(rule for rule in catalogue((), (6, 12)).rules if rule.id == several.id)
    assert len(told.answers) == len(several.answers) > 1
    for said, meant in zip(told.answers, several.answers, strict=True):
        assert said.startswith(f"{meant.value} (as an errno: {errno.errorcode[meant.value]})")
        assert said.endswith(f" on kernels {meant.kernels}: {meant.why}")


def test_the_answer_of_this_kernel_is_told_apart() -> None:
    told = {
        version: next(r for r in catalogue((), version).rules if r.id == "type1.unmap-all")
        for version in ((5, 10), (5, 12))
    }
    assert (told[5, 10].answer, told[5, 12].answer) == (errno.EINVAL, 0)
    assert told[5, 10].why in told[5, 10].answers[0]
    assert told[5, 10].answers == told[5, 12].answers
