# SPDX-License-Identifier: MIT
"""Each kind of outcome, of made-up suites on a made-up bench: what the results file keeps of it."""

from pathlib import Path

import pytest

from vfiospec.device import ops as o
from vfiospec.device import transcript
from vfiospec.results.model import Outcome
from vfiospec.results.reader import Run, read_run
from vfiospec.tests.made_up_project import SKIPS, Project

SUITE = """
@checks(rules.ALIVE)
def test_passes(port, spec):
    assert port.do(o.ReadFile("/good")).ok

@checks(rules.ALIVE)
@devices("msix")
def test_on_a_role(spec):
    assert spec.bdf == "0000:00:02.0"

@checks(rules.ALIVE)
@devices("vga")
def test_on_a_role_nobody_has(spec):
    assert False

@checks(rules.ALIVE, rules.INSIDE)
def test_fails(port):
    port.do(o.ReadFile("/bad"))
    raise Mismatch("EINVAL", "GET(argsz=8) -> 0")

@checks(rules.ALIVE)
def test_raises(port):
    raise OSError(5, "no such thing")

@checks(rules.ALIVE)
def test_known():
    raise Mismatch("EINVAL", "GET(argsz=8) -> EFAULT")

@checks(rules.ALIVE)
def test_known_and_warns(port):
    port.do(o.WriteFile("/log", b"WARNING: CPU: 0 PID: 1 at y.c:1"))
    raise Mismatch("EINVAL", "GET(argsz=8) -> EFAULT")

@checks(rules.ALIVE)
def test_known_otherwise():
    raise Mismatch("EINVAL", "GET(argsz=8) -> EBUSY")

@checks(rules.ALIVE)
def test_known_and_gone():
    pass

@checks(rules.ALIVE)
def test_warns(port):
    port.do(o.WriteFile("/log", b"WARNING: CPU: 0 PID: 1 at x.c:1"))

@checks(rules.ALIVE)
def test_reports(port):
    port.do(o.WriteFile("/log", b"WARNING: two locks"))
    port.do(o.WriteFile("/log", b"in f"))

@checks(rules.ALIVE)
def test_reports_of_another(port):
    port.do(o.WriteFile("/log", b"WARNING: two locks"))
    port.do(o.WriteFile("/log", b"in g"))

@checks(rules.ALIVE)
def test_reports_and_more(port):
    port.do(o.WriteFile("/log", b"WARNING: two locks"))
    port.do(o.WriteFile("/log", b"in f"))
    port.do(o.WriteFile("/log", b"BUG: more"))

@checks(rules.ALIVE)
def test_reports_and_spills(port):
    port.do(o.WriteFile("/log", b"WARNING: two locks"))
    port.do(o.WriteFile("/log", b"in f"))
    port.do(o.ReadFile("/spill"))

@checks(rules.ALIVE)
def test_reports_and_fails(port):
    port.do(o.WriteFile("/log", b"WARNING: two locks"))
    port.do(o.WriteFile("/log", b"in f"))
    raise Mismatch("EINVAL", "GET(argsz=8) -> 0")

@checks(rules.ALIVE)
def test_taints(port):
    port.do(o.WriteFile("/taint", b"512"))

@checks(rules.ALIVE)
def test_spills(port):
    port.do(o.ReadFile("/spill"))

@checks(rules.ALIVE)
def test_faults(port):
    port.do(o.WriteFile("/log", b"DMAR: [DMA Write] Request device [00:01.0] fault addr 0x0"))

@checks(rules.ALIVE)
def test_kills(port):
    port.do(o.WriteFile("/die", b""))

@checks(rules.ALIVE)
def test_lives_again(run):
    assert run.bench.boots == 2
"""
FINDINGS = """
[[finding]]
id = "efault"
title = "EFAULT instead"
rule = "kernel.alive"
tests = ["made_up.all.known*"]
match = "-> EFAULT$"
reason = "made up"

[[finding]]
id = "locks"
title = "two locks in two orders"
rule = "kernel.quiet"
tests = ["made_up.all.reports*"]
match = "WARNING: two locks"
log = "locks.*in f"
reason = "made up"
"""
EXPECTED = {
    "made_up.all.passes.one": "passed",
    "made_up.all.passes.two": "passed",
    "made_up.all.on-a-role.two": "passed",
    "made_up.all.on-a-role-nobody-has.no-device": "skipped",
    "made_up.all.fails": "failed",
    "made_up.all.raises": "error",
    "made_up.all.known": "xfailed",
    "made_up.all.known-and-warns": "failed",
    "made_up.all.known-otherwise": "failed",
    "made_up.all.known-and-gone": "xpassed",
    "made_up.all.warns": "failed",
    "made_up.all.reports": "xfailed",
    "made_up.all.reports-of-another": "failed",
    "made_up.all.reports-and-more": "failed",
    "made_up.all.reports-and-spills": "failed",
    "made_up.all.reports-and-fails": "failed",
    "made_up.all.taints": "failed",
    "made_up.all.spills": "failed",
    "made_up.all.faults": "passed",
    "made_up.all.kills": "error",
    "made_up.all.lives-again": "passed",
    "required.all.skips": "failed",
}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, int, Path]:
    """A run with an outcome of every kind, its exit code, and its folder."""
    made = Project(tmp_path_factory.mktemp("project"))
    made.suite("made_up", SUITE)
    made.suite("required", SKIPS)
    (made.root / "suites" / "expectations" / "made_up.toml").write_text(FINDINGS)
    done = made.run("suites", "--require", "required")
    assert (made.root / "out" / "results.jsonl").exists(), done.stdout + done.stderr
    return read_run(made.root / "out"), done.returncode, made.root / "out"


Judged = tuple[Run, int, Path]


def outcome(judged: Judged, name: str) -> Outcome:
    return next(one for one in judged[0].outcomes if one.id == f"made_up.all.{name}")


def test_each_test_has_its_outcome(judged: Judged) -> None:
    """In the order of the file, on each device that serves, and the run ends with 1."""
    assert {one.id: one.outcome for one in judged[0].outcomes} == EXPECTED
    assert [one.id for one in judged[0].outcomes] == list(EXPECTED)
    assert judged[1] == 1


def test_a_failure_keeps_both_sides_its_rules_and_its_calls(judged: Judged) -> None:
    failed = outcome(judged, "fails")
    assert (failed.expected, failed.actual) == ("EINVAL", "GET(argsz=8) -> 0")
    assert failed.message == "expected EINVAL, got GET(argsz=8) -> 0"
    assert failed.rules == ["kernel.alive", "kernel.inside-the-buffer"]
    assert failed.nodeid == "suites/made_up/test_all.py::test_fails"
    assert failed.rerun == (
        "vfiospec run --kernel debian --topology two.toml "
        "--test suites/made_up/test_all.py::test_fails"
    )
    assert failed.transcript == "transcripts/made_up.all.fails.jsonl"
    target, steps = transcript.load(judged[2] / failed.transcript)
    assert (target.test, target.topology) == ("made_up.all.fails", "two.toml")
    assert [op for op, _ in steps] == [o.ReadFile("/bad")]
    assert failed.calls == ["ReadFile(path='/bad', limit=65536) -> 0"]


def test_what_passes_is_brief(judged: Judged) -> None:
    passed = outcome(judged, "passes.one")
    assert passed.device is not None
    assert (passed.device.name, passed.device.bdf) == ("one", "0000:00:01.0")
    assert (passed.message, passed.details, passed.rerun, passed.transcript) == (None,) * 4


def test_our_own_error_is_no_failure_of_the_kernel(judged: Judged) -> None:
    error = outcome(judged, "raises")
    assert error.message == "OSError: [Errno 5] no such thing"
    assert "def test_raises" in (error.details or "")


def test_a_skip_says_what_is_missing(judged: Judged) -> None:
    skipped = outcome(judged, "on-a-role-nobody-has.no-device")
    where = "`vfiospec topologies` shows which has one, for --topology NAME"
    assert skipped.message == f"no device with vga: {where}"
    assert skipped.device is None


def test_a_required_skip_is_a_failure(judged: Judged) -> None:
    (required,) = [one for one in judged[0].outcomes if one.chapter == "required"]
    assert required.message == "skipped, though required: no luck: try again"


def test_a_finding_turns_what_it_explains(judged: Judged) -> None:
    """A failure it describes is expected; another one is not, and neither is a pass."""
    assert outcome(judged, "known").finding == "efault"
    assert outcome(judged, "known-otherwise").finding is None
    warns = outcome(judged, "known-and-warns")
    assert (warns.finding, warns.actual) == (None, "WARNING: CPU: 0 PID: 1 at y.c:1")
    gone = outcome(judged, "known-and-gone")
    assert gone.finding == "efault"
    assert gone.message == "efault is known to fail here, and passed: EFAULT instead"


def test_a_known_report_of_the_kernel_is_one_where_it_is_all_that_is_wrong(judged: Judged) -> None:
    known = outcome(judged, "reports")
    assert (known.finding, known.message) == ("locks", "locks: WARNING: two locks")
    assert "kernel.quiet" in known.rules
    for name in (
        "reports-of-another",
        "reports-and-more",
        "reports-and-spills",
        "reports-and-fails",
    ):
        assert outcome(judged, name).finding is None


@pytest.mark.parametrize(
    ("name", "rule", "expected", "actual"),
    [
        ("warns", "kernel.quiet", "a quiet kernel", "WARNING: CPU: 0 PID: 1 at x.c:1"),
        ("taints", "kernel.untainted", "taint 0", "taint 512"),
        (
            "spills",
            "kernel.inside-the-buffer",
            "nothing written outside of a buffer",
            "ReadFile(path='/spill', limit=65536) -> 0, wrote outside: [(4, 'ff')] ",
        ),
    ],
)
def test_a_kernel_that_is_not_sound_fails_the_test(
    judged: Judged, name: str, rule: str, expected: str, actual: str
) -> None:
    """Just the test it became so in, with the rule that broke beside the test's own."""
    failed = outcome(judged, name)
    assert (failed.expected, failed.actual) == (expected, actual)
    assert failed.rules == ["kernel.alive", rule]


def test_a_fault_of_the_iommu_is_noted(judged: Judged) -> None:
    faults = outcome(judged, "faults")
    assert faults.dmar == ["DMAR: [DMA Write] Request device [00:01.0] fault addr 0x0"]


def test_a_death_is_booted_over(judged: Judged) -> None:
    """The test that killed is told with the console; the next one has a fresh kernel."""
    dead = outcome(judged, "kills")
    assert dead.message is not None
    assert dead.message.startswith(
        "the kernel was lost: panic after the executor is gone; under way: WriteFile("
    )
    assert "console:\nthe last words" in (dead.details or "")
    assert (dead.boot, outcome(judged, "lives-again").boot) == (1, 2)
    reason = "panic after the executor is gone"
    assert [(boot.n, boot.reason) for boot in judged[0].boots] == [(1, None), (2, reason)]
    assert judged[0].shortfalls() == []
