# SPDX-License-Identifier: MIT
"""The records of results.jsonl, one JSON object per line; its key "type" says which record it is.

A run is one header, then boots, starts and outcomes as they happen, then one footer. A catalogue
says which promises and known deviations the run judged by; files of before 2026-11-26 have none.
What is added (a key, a kind of record) leaves the schema's number as it is: pass over what is new.
"""

import re
from typing import Annotated, Any, Literal, get_args

import msgspec

SCHEMA_VERSION = 1
RESULTS_FILE = "results.jsonl"

Mode = Literal["vm", "host", "remote"]
OutcomeName = Literal["passed", "failed", "skipped", "error", "xfailed", "xpassed"]

OUTCOMES: tuple[OutcomeName, ...] = get_args(OutcomeName)
UNEXPECTED: frozenset[OutcomeName] = frozenset(("failed", "error", "xpassed"))

_ID_PATTERN = r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$"
_ID = re.compile(_ID_PATTERN.removesuffix("$"))

TestId = Annotated[str, msgspec.Meta(pattern=_ID_PATTERN)]


class ResultsError(Exception):
    """A results file that cannot be written or read; the message names the file."""


class KernelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The kernel under test: what was asked for (spec), where it came from, what uname says."""

    spec: str
    origin: str
    release: str
    version: str
    machine: str
    config: dict[str, str] = msgspec.field(default_factory=dict)
    taint: int = 0


class QemuFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The emulator a "vm" run used."""

    version: str
    accel: str
    machine: str


class TopologyFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The topology a "vm" run asked for, and the parts of it this QEMU could not provide."""

    name: str
    sha256: str
    left_out: list[str] = msgspec.field(default_factory=list)


class DeviceFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A device under test; vendor and device as sysfs prints them, group None without an IOMMU."""

    name: str
    bdf: str
    roles: list[str] = msgspec.field(default_factory=list)
    vendor: str
    device: str
    group: int | None = None
    driver: str | None = None


class DeviceRef(msgspec.Struct, frozen=True, kw_only=True):
    """The device one outcome is about."""

    name: str
    bdf: str


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """Of what an outcome's finding names: its title, and where it is spoken of.

    origin is "finding" if it ships with the suites, else the file of known issues.
    """

    title: str
    link: str | None = None
    origin: str = "finding"


class KnownIssueState(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an entry of the known issues in this run.

    showed: so many tests failed as it says. silent: its tests ran and none failed so. ended: it no
    longer holds, note says why. elsewhere: it is of other kernels, topologies or modes. not run: no
    test it names was judged.
    """

    id: str
    title: str
    link: str
    origin: str
    state: Literal["showed", "silent", "ended", "elsewhere", "not run"]
    tests: int = 0
    intermittent: bool = False
    note: str | None = None


class RuleFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A promise in words: how we know, where it was made, what it takes to test it if nothing does.

    answers are the errnos or numbers it accepts, with their kernels and reasons; answer is the one
    that the kernel of this run must give, why is the reason for just that one.
    """

    id: str
    text: str
    strength: str
    sources: list[str] = msgspec.field(default_factory=list)
    answers: list[str] = msgspec.field(default_factory=list)
    answer: int | None = None
    why: str = ""
    untested: str = ""


class FindingFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A known deviation in words: the rule it breaks, on which kernels, why, and what ends it."""

    id: str
    title: str
    rule: str
    kernels: str = ""
    reason: str = ""
    link: str = ""
    since: str = ""
    fixed_in: str = ""


class _Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=str.lower):
    """Base of all records: the tag is the class name in lower case."""


class Header(_Record, frozen=True, kw_only=True):
    """First line: what is run against what. started is ISO 8601 in UTC; planned counts tests."""

    schema: int = SCHEMA_VERSION
    suite_version: str
    started: str
    command: list[str]
    mode: Mode
    kernel: KernelFacts
    qemu: QemuFacts | None = None
    topology: TopologyFacts | None = None
    devices: list[DeviceFacts] = msgspec.field(default_factory=list)
    planned: int
    require: list[str] = msgspec.field(default_factory=list)


class Catalogue(_Record, frozen=True, kw_only=True):
    """What the run judged by: every rule and every finding, also those no test of it met."""

    rules: list[RuleFacts] = msgspec.field(default_factory=list)
    findings: list[FindingFacts] = msgspec.field(default_factory=list)


class Boot(_Record, frozen=True, kw_only=True):
    """A boot of the kernel: seconds it took, why it was needed, t seconds since the start."""

    n: int
    release: str
    seconds: float
    reason: str | None = None
    t: float


class Start(_Record, frozen=True, kw_only=True):
    """Written before a test starts, so that a dead run tells which test it died in."""

    id: TestId
    t: float

    def __post_init__(self) -> None:
        """Raise ValueError for an id outside the alphabet all report formats share."""
        _check_id(self.id)


class Outcome(_Record, frozen=True, kw_only=True):
    """The judgement on one test. duration and t in seconds, boot is the n of its boot record.

    Of anything but a pass or a skip, promises are the rules in words with their sources, and calls
    what the test did to the kernel, decoded, a line each.
    """

    id: TestId
    nodeid: str
    chapter: str
    rules: list[str] = msgspec.field(default_factory=list)
    device: DeviceRef | None = None
    outcome: OutcomeName
    expected: str | None = None
    actual: str | None = None
    message: str | None = None
    promises: list[str] = msgspec.field(default_factory=list)
    calls: list[str] = msgspec.field(default_factory=list)
    details: str | None = None
    log: list[str] = msgspec.field(default_factory=list)
    dmar: list[str] = msgspec.field(default_factory=list)
    finding: str | None = None
    known: Known | None = None
    transcript: str | None = None
    rerun: str | None = None
    duration: float
    boot: int
    t: float

    def __post_init__(self) -> None:
        """Raise ValueError for an id outside the alphabet all report formats share."""
        _check_id(self.id)


class Footer(_Record, frozen=True, kw_only=True):
    """Last line: only a run that came to its end has one. interrupted says what cut it short.

    known_issues holds every entry of the known issues this run was given.
    """

    finished: str
    counts: dict[str, int]
    exit_code: int
    interrupted: str | None = None
    duration: float
    known_issues: list[KnownIssueState] = msgspec.field(default_factory=list)


Record = Header | Catalogue | Boot | Start | Outcome | Footer


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of one line of results.jsonl, as kept in schema.json."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"One line of {RESULTS_FILE}, schema {SCHEMA_VERSION}",
        **msgspec.json.schema(Record),
    }


def schema_text() -> str:
    """Return json_schema() as the text of schema.json."""
    return msgspec.json.format(msgspec.json.encode(json_schema()), indent=2).decode() + "\n"


def _check_id(test_id: str) -> None:
    if not _ID.fullmatch(test_id):
        msg = f"test id {test_id!r}: use dot-separated parts of [A-Za-z0-9_-]"
        raise ValueError(msg)
