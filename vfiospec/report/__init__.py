# SPDX-License-Identifier: MIT
"""Reports on a run, made from its results file alone; here is what the formats share."""

import re
import shlex
from collections.abc import Iterator

from vfiospec.results.model import Header, Outcome
from vfiospec.results.reader import Run

# All that XML 1.0 forbids, all that moves a cursor, and all that Python takes for a line end.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]",
)


def printable(text: str) -> str:
    r"""Return text with every control character but tab and newline as \xNN or \uNNNN."""
    return _UNPRINTABLE.sub(_escape, text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """Return text as one printable line, each run of blanks as one space."""
    return " ".join(printable(text).split())


def by_chapter(run: Run) -> dict[str, list[Outcome]]:
    """Return the outcomes of each chapter, chapters in the order they first appear."""
    chapters: dict[str, list[Outcome]] = {}
    for outcome in run.outcomes:
        chapters.setdefault(outcome.chapter, []).append(outcome)
    return chapters


def short_name(outcome: Outcome) -> str:
    """Return the id without its chapter in front."""
    return outcome.id.removeprefix(f"{outcome.chapter}.")


def headline(outcome: Outcome) -> str:
    """Return why an outcome is what it is, or its name if nothing was said."""
    if outcome.outcome in ("xfailed", "xpassed"):
        how = "known deviation" if outcome.outcome == "xfailed" else "unexpectedly passes"
        return f"{how}: {outcome.finding or outcome.message or 'no finding named'}"
    if outcome.message:
        return outcome.message
    if outcome.expected is not None or outcome.actual is not None:
        return f"expected {outcome.expected}, actual {outcome.actual}"
    return outcome.outcome


def stale_issues(run: Run) -> Iterator[str]:
    """Yield a line for each known issue that ended or did not show though its tests ran."""
    for issue in run.footer.known_issues if run.footer else ():
        what = f"{issue.id} ({one_line(issue.title)}, {one_line(issue.link)})"
        if issue.state == "ended":
            yield f"{what}: {issue.note}; take it out of {issue.origin}"
        elif issue.state == "silent":
            maybe = ", as it may" if issue.intermittent else "; if it is fixed, take it out"
            yield f"{what}: its tests ran, and none failed as it says{maybe}"


def facts(header: Header) -> dict[str, str]:
    """Return what the header says as flat names and one-line values; unknown facts are left out."""
    kernel = header.kernel
    named: dict[str, str] = {
        "suite-version": header.suite_version,
        "started": header.started,
        "command": shlex.join(header.command),
        "mode": header.mode,
        "planned": str(header.planned),
        "require": ",".join(header.require),
        "kernel.spec": kernel.spec,
        "kernel.origin": kernel.origin,
        "kernel.release": kernel.release,
        "kernel.version": kernel.version,
        "kernel.machine": kernel.machine,
        "kernel.taint": str(kernel.taint),
    }
    if header.qemu is not None:
        named["qemu.version"] = header.qemu.version
        named["qemu.accel"] = header.qemu.accel
        named["qemu.machine"] = header.qemu.machine
    if header.topology is not None:
        named["topology.name"] = header.topology.name
        named["topology.sha256"] = header.topology.sha256
        named["topology.left-out"] = ",".join(header.topology.left_out)
    for device in header.devices:
        group = "none" if device.group is None else device.group
        named[f"device.{device.name}"] = (
            f"{device.bdf} {device.vendor}:{device.device} driver={device.driver or 'none'}"
            f" group={group} roles={','.join(device.roles)}"
        )
    for option, value in kernel.config.items():
        named[f"kernel.config.{option}"] = value
    return {name: one_line(value) for name, value in named.items() if value}


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 1 << 8 else f"\\u{code:04x}"
