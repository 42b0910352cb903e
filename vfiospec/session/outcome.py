# SPDX-License-Identifier: MIT
"""From what pytest saw of one test to its outcome record."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from vfiospec.device.port import TargetLostError
from vfiospec.expect import Mismatch
from vfiospec.results import model
from vfiospec.rules.model import registered
from vfiospec.session.findings import Deviation
from vfiospec.session.marks import rules_of


def test_id(item: pytest.Item) -> str:
    """The stable dotted id: chapter, section, clause, then the parameters."""
    folder, stem = item.path.parent.name, item.path.stem.removeprefix("test_")
    name = getattr(item, "originalname", item.name).removeprefix("test_")
    callspec = getattr(item, "callspec", None)
    parameters = list(getattr(callspec, "_idlist", None) or [callspec.id]) if callspec else []
    return ".".join(_part(p) for p in (folder, stem, name.replace("_", "-"), *parameters))


test_id.__test__ = False  # type: ignore[attr-defined]  # its name is no accident, but no test


def _part(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-") or "-"


@dataclass
class Judged:
    """What is gathered of one test while it runs."""

    item: pytest.Item
    id: str
    began: float
    outcome: model.OutcomeName = "passed"
    expected: str | None = None
    actual: str | None = None
    message: str | None = None
    details: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    dmar: list[str] = field(default_factory=list)
    finding: str | None = None
    known: model.Known | None = None  # of the finding
    broken: list[str] = field(default_factory=list)  # rules that broke besides the test's own
    lost: str = ""
    transcript: str | None = None
    calls: list[str] = field(default_factory=list)

    @property
    def unbroken(self) -> bool:
        """Whether nothing that is not explained went wrong so far."""
        return self.outcome not in ("failed", "error")

    def failed(self, outcome: model.OutcomeName, message: str) -> None:
        """The first trouble names the outcome; an error outranks a failure.

        A known deviation explains itself, not what else went wrong in the same test.
        """
        if self.unbroken or (outcome == "error" and self.outcome == "failed"):
            self.finding = self.known = None
            self.outcome, self.message = outcome, message

    def explained(self, outcome: model.OutcomeName, by: Deviation) -> None:
        """What it is called in the light of what is known."""
        self.outcome, self.finding = outcome, by.id
        self.known = model.Known(title=by.title, link=by.link or None, origin=by.origin)

    def see(self, report: pytest.TestReport, error: BaseException | None) -> None:
        """Take in one phase of the test: setup, call or teardown."""
        if report.skipped:
            if self.outcome == "passed":
                self.outcome = "skipped"
                self.message = _skip_reason(report)
            return
        if not report.failed or error is None:
            return
        if isinstance(error, Mismatch):
            if self.unbroken:
                self.expected, self.actual = error.expected, error.actual
            first = f"expected {error.expected}, got {error.actual}"
            self.failed("failed", first)
        elif isinstance(error, TargetLostError):
            self.failed("error", str(error))
        else:
            kind = (
                "failed" if report.when == "call" and isinstance(error, AssertionError) else "error"
            )
            self.failed(kind, f"{type(error).__name__}: {error}")  # type: ignore[arg-type]
            self.details.append(report.longreprtext)

    def _promises(self) -> Iterator[str]:
        broken = (registered()[rule_id] for rule_id in self.broken)
        for rule in dict.fromkeys((*broken, *rules_of(self.item))):
            yield f"{rule.id} ({rule.strength}): {rule.text}"
            yield from (f"see {source}" for source in rule.sources)

    def record(
        self, device: model.DeviceRef | None, boot: int, now: float, rerun: str
    ) -> model.Outcome:
        """The outcome as it is written."""
        rules = [r.id for r in rules_of(self.item)]
        bad = self.outcome not in ("passed", "skipped")
        return model.Outcome(
            id=self.id,
            nodeid=self.item.nodeid,
            chapter=self.id.partition(".")[0],
            rules=rules + [b for b in self.broken if b not in rules],
            device=device,
            outcome=self.outcome,
            expected=self.expected,
            actual=self.actual,
            message=self.message,
            promises=list(self._promises()) if bad else [],
            calls=self.calls,
            details="\n".join(self.details) or None,
            log=self.log if bad else [],
            dmar=self.dmar,
            finding=self.finding,
            known=self.known,
            transcript=self.transcript,
            rerun=rerun if bad else None,
            duration=round(now - self.began, 4),
            boot=boot,
            t=now,
        )


def _skip_reason(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return report.longreprtext


def rerun_line(options: list[str], nodeid: str) -> str:
    """The one command that runs just this test again."""
    return shlex.join(["vfiospec", "run", *options, "--test", nodeid])
