# SPDX-License-Identifier: MIT
"""The report for LAVA: what its dispatcher would make of the signals and of the commands."""

import re
import subprocess
from pathlib import Path

import msgspec
import pytest

from vfiospec.report.lava import lava_commands, lava_signals
from vfiospec.results.model import Known
from vfiospec.results.reader import Run, read_run
from vfiospec.tests import sample_run

ROOT = Path(__file__).parent.parent.parent
SIGNAL = re.compile(r"<LAVA_SIGNAL_(\S+) ([^>]+)>")  # what the dispatcher waits for
KNOWN = Known(title="t", link="https://example.invalid/a b>?x=1#f")
XFAILED = msgspec.structs.replace(sample_run.XFAILED, known=KNOWN)
OUTCOMES = [
    *(o for o in sample_run.ALL if o.outcome != "xfailed"),
    XFAILED,
    sample_run.outcome("lab.down", "error", message="LabError: no guest"),
]
Result = tuple[str, str, str, str]  # set, case, result, reference or measurement


def dispatched(text: str) -> list[Result]:
    """Read a console as LAVA's dispatcher does: signals, words at blanks, key=value once."""
    results, current = [], ""
    for name, words in SIGNAL.findall(text):
        parameters = words.split()
        match name:
            case "TESTSET":
                current = parameters[1] if parameters[0] == "START" else ""
            case "TESTCASE":
                pairs = dict(parameter.split("=") for parameter in parameters)
                more = pairs.get("MEASUREMENT", "")
                results.append((current, pairs["TEST_CASE_ID"], pairs["RESULT"], more))
            case "TESTREFERENCE":
                case, result, reference = parameters
                results.append((current, case, result, reference))
            case _:
                pytest.fail(f"no signal of ours: {name}")
    return results


def run_in_shell(commands: str, folder: Path) -> str:
    """Run the commands with helpers that print what LAVA's own print."""
    helpers = {
        "lava-test-set": 'echo "<LAVA_SIGNAL_TESTSET $(echo $1 | tr a-z A-Z)${2:+ $2}>"',
        "lava-test-case": 'test $2 = --result || exit 9\necho "<LAVA_SIGNAL_TESTCASE '
        'TEST_CASE_ID=$1 RESULT=$3${5:+ UNITS=$5}${7:+ MEASUREMENT=$7}>"',
        "lava-test-reference": "test $2$4 = --result--reference || exit 9\n"
        'echo "<LAVA_SIGNAL_TESTREFERENCE $1 $3 $5>"',
    }
    for name, text in helpers.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    words = ["sh", "-eu"]
    done = subprocess.run(
        words, input=commands, capture_output=True, text=True, check=True,
        env={"PATH": f"{folder}:/usr/bin:/bin"},
    )  # fmt: skip
    return done.stdout


EXPECTED = [
    ("device-info", "device-info.smallest-argsz", "pass", "0.2500"),
    ("device-info", "device-info.argsz-too-small.argsz-15", "fail", "0.2500"),
    ("irq", "irq.mask", "pass", "0.2500"),
    ("irq", "irq.eventfd", "fail", "0.2500"),
    ("irq", "irq.loopback", "fail", "https://example.invalid/a%20b%3E?x=1#f"),
    ("migration", "migration.state", "skip", "0.2500"),
    ("migration", "migration.stop", "skip", "0.2500"),
    ("lab", "lab.down", "unknown", "0.2500"),
    ("", "run.complete", "pass", ""),
]


@pytest.fixture(name="run")
def _run(tmp_path: Path) -> Run:
    return sample_run.run(tmp_path, OUTCOMES)


def test_the_signals_say_each_outcome(run: Run) -> None:
    assert dispatched(lava_signals(run)) == EXPECTED


def test_the_commands_say_the_same(run: Run, tmp_path: Path) -> None:
    assert dispatched(run_in_shell(lava_commands(run), tmp_path)) == EXPECTED


def test_a_partial_run_is_not_complete(tmp_path: Path) -> None:
    run = sample_run.run(tmp_path, [sample_run.PASSED], ended=False)
    assert dispatched(lava_signals(run))[-1] == ("", "run.complete", "unknown", "")
    assert "lava-test-case run.complete --result unknown\n" in lava_commands(run)


def test_the_sample_is_all_there() -> None:
    run = read_run(ROOT / "reports" / "sample")
    said = dispatched(lava_signals(run))
    assert [case for _, case, _, _ in said] == [*(o.id for o in run.outcomes), "run.complete"]
