# SPDX-License-Identifier: MIT
"""A run as a report in KCIDB's I/O schema, version 5.3, for KernelCI's database.

Source: the package kcidb-io (schema v5.3) and SUBMITTERS.md of kcidb: FAIL is the tested code's
fault, ERROR that of the infrastructure. There is no status for a failure that is known: it is a
FAIL with an incident, which ties it to an issue. Ids are made from the contents, so that a run that
is sent twice is there once.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from vfiospec.report import headline, printable
from vfiospec.report.compare import Status, status, worst_of_each
from vfiospec.results.model import Header, Outcome, ResultsError
from vfiospec.results.reader import Run

VERSION = {"major": 5, "minor": 3}
ROOT = "vfiospec"  # the first part of every test's path

_STATUS = {Status.PASS: "PASS", Status.FAIL: "FAIL", Status.INCONCLUSIVE: "SKIP", None: "ERROR"}
_EXCERPT = 16384  # characters of a log_excerpt
_ORIGIN = re.compile(r"[a-z0-9_]+")
_BUILD = re.compile(r"[a-z0-9_]+:[^\0]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")

Object = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What the results file cannot know. ResultsError for what the schema would refuse.

    build is the id of a build that KCIDB already has; then neither it nor its checkout is sent.
    """

    origin: str = "vfiospec"
    build: str | None = None
    commit: str | None = None
    tree_url: str | None = None
    kernel_log: bool = False

    def __post_init__(self) -> None:
        """Check each value."""
        if not _ORIGIN.fullmatch(self.origin):
            raise ResultsError(f"--origin {self.origin}: only a-z, 0-9 and _, as KernelCI gave it")
        if self.build is not None and not _BUILD.fullmatch(self.build):
            raise ResultsError(f"--build {self.build}: an id such as maestro:64f1c0de")
        if self.commit is not None and not _COMMIT.fullmatch(self.commit):
            raise ResultsError(f"--commit {self.commit}: 40 hexadecimal digits, as git prints them")
        if self.tree_url is not None and not self.tree_url.startswith("https://"):
            raise ResultsError(f"--tree-url {self.tree_url}: KCIDB wants an https:// address")


def kcidb(run: Run, how: Submission | None = None) -> str:
    """Return the report as JSON text. The kernel's log is in it only if how says so.

    A log may show where a kernel writes out of bounds, and what is sent there is public.
    """
    how = how or Submission()
    origin, header = how.origin, run.header
    key = _digest(msgspec.json.encode(header))
    report: Object = {"version": VERSION}
    build_id = how.build
    if build_id is None:
        checkout, build = _kernel(header, how)
        report |= {"checkouts": [checkout], "builds": [build]}
        build_id = build["id"]
    outcomes = list(worst_of_each(run.outcomes).values())
    tests = [_test(outcome, header, key, build_id, how) for outcome in outcomes]
    tests += [_unfinished(test, key, build_id, how) for test in run.started_only]
    known = [outcome for outcome in outcomes if outcome.finding is not None]
    report["tests"] = tests
    issues = {outcome.finding: _issue(outcome, origin) for outcome in known}
    report["issues"] = list(issues.values())
    report["incidents"] = [_incident(outcome, origin, key) for outcome in known]
    return json.dumps({name: of for name, of in report.items() if of}, indent=1) + "\n"


def _kernel(header: Header, how: Submission) -> tuple[Object, Object]:
    kernel, origin = header.kernel, how.origin
    digest = _digest(f"{kernel.version}\n{kernel.origin}".encode())
    checkout = {"id": f"{origin}:{how.commit or digest}", "origin": origin, "valid": True}
    checkout |= {"comment": printable(kernel.origin)}
    checkout |= {"git_commit_hash": how.commit} if how.commit else {}
    checkout |= {"git_repository_url": how.tree_url} if how.tree_url else {}
    build = {
        "id": f"{origin}:{digest}",
        "origin": origin,
        "checkout_id": checkout["id"],
        "architecture": re.sub(r"[^a-z0-9_]", "_", kernel.machine.lower()),
        "comment": printable(kernel.version),
        "status": "PASS",  # it booted
        "misc": {"release": kernel.release, "config": kernel.config},
    }
    return checkout, build


def _test(outcome: Outcome, header: Header, key: str, build: str, how: Submission) -> Object:
    test: Object = {
        "id": _test_id(outcome.id, how.origin, key),
        "origin": how.origin,
        "build_id": build,
        "path": f"{ROOT}.{outcome.id}",
        "status": _STATUS[status(outcome)],
        "duration": outcome.duration,
        "environment": _environment(header, outcome),
        "misc": {"outcome": outcome.outcome, "rules": outcome.rules, "nodeid": outcome.nodeid},
    }
    if started := _started(header, outcome):
        test["start_time"] = started
    if outcome.outcome != "passed":
        test["comment"] = printable(headline(outcome))
    excerpt = "\n".join(_excerpt(outcome, kernel_log=how.kernel_log))
    if excerpt:
        test["log_excerpt"] = printable(excerpt)[:_EXCERPT]
    return test


def _unfinished(test: str, key: str, build: str, how: Submission) -> Object:
    return {
        "id": _test_id(test, how.origin, key),
        "origin": how.origin,
        "build_id": build,
        "path": f"{ROOT}.{test}",
        "status": "ERROR",
        "comment": "started and never finished",
    }


def _excerpt(outcome: Outcome, *, kernel_log: bool) -> Iterator[str]:
    if outcome.outcome in ("passed", "skipped"):
        return
    for name in ("expected", "actual"):
        if (text := getattr(outcome, name)) is not None:
            yield f"{name}: {text}"
    yield from outcome.promises
    yield from (f"call: {call}" for call in outcome.calls)
    if outcome.rerun:
        yield f"rerun: {outcome.rerun}"
    if kernel_log:
        yield from [*outcome.log, *outcome.dmar]


def _environment(header: Header, outcome: Outcome) -> Object:
    words, misc = [f"mode {header.mode}"], {}
    if header.qemu is not None:
        words.append(f"QEMU {header.qemu.version} ({header.qemu.accel})")
        misc["platform"] = f"qemu-{header.qemu.machine}"
    if header.topology is not None:
        words.append(f"topology {header.topology.name}")
    if outcome.device is not None:
        words.append(f"device {outcome.device.name} {outcome.device.bdf}")
    return {"comment": printable(", ".join(words)), "misc": misc}


def _issue(outcome: Outcome, origin: str) -> Object:
    known = outcome.known
    issue: Object = {
        "id": f"{origin}:{ROOT}:{printable(outcome.finding or '')}",
        "version": 1,
        "origin": origin,
        "report_subject": printable(known.title if known else outcome.finding or ""),
        "culprit": {"code": True, "tool": False, "harness": False},
    }
    if known and known.link and re.match(r"https?://\S+$", known.link):
        issue["report_url"] = known.link
    return issue


def _incident(outcome: Outcome, origin: str, key: str) -> Object:
    issue = f"{origin}:{ROOT}:{printable(outcome.finding or '')}"
    return {
        "id": f"{_test_id(outcome.id, origin, key)}:{_digest(issue.encode())[:12]}",
        "origin": origin,
        "issue_id": issue,
        "issue_version": 1,
        "test_id": _test_id(outcome.id, origin, key),
        "present": outcome.outcome != "xpassed",
    }


def _test_id(test: str, origin: str, key: str) -> str:
    return f"{origin}:{key[:16]}.{test}"


def _started(header: Header, outcome: Outcome) -> str | None:
    try:
        begin = datetime.fromisoformat(header.started)
        moment = begin + timedelta(seconds=max(0.0, outcome.t - outcome.duration))
    except (ValueError, OverflowError):
        return None  # the header is not ours
    return moment.isoformat() if moment.tzinfo else None


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
