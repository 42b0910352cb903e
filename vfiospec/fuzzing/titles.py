# SPDX-License-Identifier: MIT
"""Reports of trouble in what a kernel printed: each with a title that is the same every time.

A title is the kind of report and the first function that is not generic, such as
`KASAN: slab-use-after-free Read in vfio_pci_core_ioctl`. Two crashes of one title are one crash.
Faults of an IOMMU are not trouble: a program may ask for them.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from vfiospec.fuzzing.frames import Frame, culprit, parse

LOST = "lost connection to the kernel"
SILENT = "no answer from the kernel"

# Where the name in a title comes from.
TRACE = "trace"  # the first telling frame of the first trace
NONE = "none"  # the title is complete without one
HELD = "held"  # lockdep: where the lock that closes the circle is taken


@dataclass(frozen=True, slots=True)
class Prefix:
    """One kind of report: how its first line begins, and what it is called."""

    kind: str
    pattern: str
    title: str  # a template over the groups of the pattern
    name: str = TRACE
    follows: bool = False  # begins a report only where there is none yet
    announces: bool = False  # a line before the report proper, which the same trouble begins


_F = r"(?:(?P<function>[\w.]+)\+0x[0-9a-f]+/0x[0-9a-f]+|(?P<other>\S+))"

# The first that matches wins. Only the start of a line counts: a message may quote another.
PREFIXES = (
    Prefix("KASAN", rf"BUG: KASAN: (?P<what>[\w-]+) in {_F}", "KASAN: {what}{access}"),
    Prefix("KASAN", r"BUG: KASAN: (?P<what>[\w -]+)", "KASAN: {what}{access}"),
    Prefix("KASAN", r"KASAN: (?P<what>[\w-]+) in range", "KASAN: {what}", follows=True),
    Prefix("KFENCE", rf"BUG: KFENCE: (?P<what>[\w -]+?) in {_F}", "KFENCE: {what}"),
    Prefix("KCSAN", r"BUG: KCSAN: (?P<what>[\w-]+) in (?P<where>.+)", "KCSAN: {what} in {where}",
           NONE),
    Prefix("UBSAN", r"UBSAN: (?P<what>[\w-]+) in ", "UBSAN: {what}"),
    Prefix("refcount", r"refcount_t: (?P<what>[^.;]+)", "refcount: {what}", announces=True),
    Prefix("BUG", r"(?P<what>list_(?:add|del)) (?:double add|corruption)", "BUG: {what} corruption",
           announces=True),
    Prefix("soft lockup", r"(?:watchdog: )?BUG: soft lockup", "soft lockup"),
    Prefix("hung task", r"INFO: task \S+ (?:is )?blocked (?:for more than|on|in)", "task hung"),
    Prefix("hung task", r"INFO: task hung", "task hung"),
    Prefix("stall", r"(?:rcu: )?INFO: rcu\w* .*(?:detected|self-detected)", "RCU stall"),
    Prefix("lockup", r"(?:NMI )?(?:watchdog: )?.*[Ww]atchdog detected hard LOCKUP", "hard lockup"),
    Prefix("lockdep", r"WARNING: possible (?P<what>circular|recursive|irq lock inversion)\b.*",
           "possible deadlock", HELD),
    Prefix("lockdep", r"WARNING: (?P<what>[\w-]*HARDIRQ\S*|[\w-]*SOFTIRQ\S*).*detected",
           "possible deadlock", HELD),
    Prefix("lockdep", r"WARNING: inconsistent lock state", "inconsistent lock state", HELD),
    Prefix("lockdep", r"WARNING: (?P<what>suspicious RCU usage|bad unlock balance|held lock freed|"
           r"lock held when returning to user space|Nested lock was not taken)", "WARNING: {what}"),
    Prefix("lockdep", r"INFO: (?P<what>trying to register non-static key)", "INFO: {what}"),
    Prefix("BUG", r"kernel BUG at ", "kernel BUG"),
    Prefix("BUG", r"BUG: kernel NULL pointer dereference", "BUG: NULL pointer dereference{access}"),
    Prefix("BUG", r"BUG: unable to handle (?:kernel )?(?P<what>page fault|paging request)",
           "BUG: unable to handle {what}{access}"),
    Prefix("BUG", r"BUG: (?P<what>sleeping function called from invalid context|"
           r"scheduling while atomic|workqueue leaked lock or atomic|using \w+\(\) in preemptible)",
           "BUG: {what}"),
    Prefix("BUG", r"BUG: (?P<what>(?:spin|rw)lock [\w ]+)", "BUG: {what}"),
    Prefix("leak", r"BUG: memory leak", "memory leak"),
    Prefix("leak", r"kmemleak: \d+ new suspected memory leaks", "memory leak", NONE),
    Prefix("BUG", r"BUG (?P<what>[\w-]+) .*: (?P<where>[\w ]+)", "BUG: slab {what}: {where}"),
    Prefix("BUG", r"BUG: stack guard page was hit", "BUG: stack guard page was hit"),
    Prefix("BUG", r"BUG: Bad page (?P<what>state|map)", "BUG: bad page {what}"),
    Prefix("BUG", r"BUG: (?P<what>[A-Za-z][\w -]*)", "BUG: {what}"),
    # As 6.x says it, with the processor first, and as 7.x does, with the processor last.
    Prefix("WARNING", rf"WARNING: CPU: .* at \S+ {_F}", "WARNING"),
    Prefix("WARNING", rf"WARNING: (?:\[.*\] )?\S+:\d+ at {_F}", "WARNING"),
    Prefix("WARNING", r"WARNING: (?P<what>[a-z][\w -]*)", "WARNING: {what}"),
    Prefix("WARNING", r"ODEBUG: (?P<what>[\w -]+)", "ODEBUG: {what}", announces=True),
    Prefix("oops", r"(?:Oops: )?(?P<what>general protection fault|divide error|invalid opcode|"
           r"stack segment|int3|double fault|alignment check|invalid TSS)\b", "{what}"),
    Prefix("oops", r"Unable to handle kernel (?P<what>[\w -]+?) at", "oops: {what}"),
    Prefix("oops", r"(?:Internal error: )?Oops\b", "oops", follows=True),
    Prefix("hang", r"vfiospec: the operation under way is past its deadline", "task hung"),
    Prefix("panic",
           r"Kernel panic - not syncing: (?P<what>[A-Za-z][\w !-]*?)(?: exitcode=.*|[:(\[].*)?$",
           "panic: {what}", NONE, follows=True),
)  # fmt: skip
_PREFIXES = tuple((row, re.compile(row.pattern)) for row in PREFIXES)

# Seconds, and who spoke, or a level; then the head of a record of /dev/kmsg.
_STAMP = re.compile(r"^(?:<\d+>)?(?:\[\s*\d+\.\d+\]\s?)?(?:\[\s*[TC]\d+\]\s?)?")
_RECORD = re.compile(r"^\d+,\d+,\d+,[^;]*;")
_IOMMU = re.compile(r"^(?:DMAR: |(?:\S+ \S+: )?AMD-Vi: |arm-smmu)")
_ACCESS = re.compile(r"^(Read|Write) of size \d+|^#PF: supervisor (read|write)")
_END = re.compile(r"^---\[ end (?:trace|Kernel panic)")
_CUT = "------------[ cut here ]------------"
_BAR = re.compile(r"^={20,}$")
_TRACE = re.compile(r"^\s*(?:Call [Tt]race|backtrace \()")
_MARK = re.compile(r"^\s*</?(?:TASK|IRQ|NMI|SOFTIRQ|#\w+)>")
_STUCK = re.compile(r"^vfiospec: stuck in (?P<frame>.*)")
_HELD = re.compile(r", at: (?P<frame>\S.*)")
_MOST = 400  # lines of one report


@dataclass(slots=True)
class Report:
    """One report: its title, its kind, its lines without their time stamps."""

    title: str
    kind: str
    lines: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The report as the kernel printed it."""
        return "\n".join(self.lines)

    @property
    def dangerous(self) -> bool:
        """Whether it may be of use to an attacker, so not for the public before it is mended."""
        memory = self.kind in {"KASAN", "KFENCE", "refcount"} or "corruption" in self.title
        return memory and "null-ptr-deref" not in self.title


class _Open:
    """A report that is being read."""

    def __init__(self, row: Prefix, match: re.Match[str], line: str) -> None:
        self.row, self.match, self.lines, self.ended = row, match, [line], False

    def takes(self, row: Prefix) -> bool:
        """Whether the start of a report is only the next part of this one."""
        if row.follows:
            return True
        if self.row.announces and not any(_TRACE.match(line) for line in self.lines):
            return row.kind in {"WARNING", "BUG", "oops"}
        return not self.ended and row.kind == "oops" and self.row.kind in {"BUG", "oops"}

    def add(self, line: str) -> None:
        """One more line, if it still belongs here."""
        if self.ended or len(self.lines) >= _MOST:
            return
        if line == _CUT and not self.row.announces:
            self.ended = True
            return
        self.lines.append(line)
        barred = self.row.kind in {"KASAN", "UBSAN", "KFENCE"} and _BAR.match(line) is not None
        self.ended = barred or _END.match(line) is not None

    def finish(self) -> Report:
        """The report with its title."""
        accesses = (m for line in self.lines if (m := _ACCESS.match(line)))
        access = next(((m[1] or m[2]).capitalize() for m in accesses), "")
        groups = {name: text or "" for name, text in self.match.groupdict().items()}
        title = self.row.title.format(
            **{**groups, "access": f" {access}" if access else ""}
        ).strip()
        name = "" if self.row.name == NONE else self._name(groups.get("function", ""))
        return Report(f"{title} in {name}" if name else title, self.row.kind, self.lines)

    def _name(self, function: str) -> str:
        if self.row.name == HELD:
            held = [parse(m["frame"]) for line in self.lines if (m := _HELD.search(line))]
            if name := culprit(frame for frame in held[:1] if frame):
                return name
        frames = trace(self.lines)
        if function:
            frames.insert(0, Frame(function, 0, 0))
        return culprit(frames)


def plain(line: str) -> str:
    """A line without its time stamp, whichever way it was read."""
    line = line.rstrip("\r\n")
    if match := _RECORD.match(line):
        return line[match.end() :]
    stamp = _STAMP.match(line)
    return line[stamp.end() :] if stamp else line


def trace(lines: Sequence[str]) -> list[Frame]:
    """The first stack trace of a report, where it was (RIP) at its head."""
    frames: list[Frame] = []
    inside = False
    for line in lines:
        stuck = _STUCK.match(line)
        frame = parse(stuck["frame"] if stuck else line)
        if frame is not None and (stuck or inside or "RIP" in line):
            frames.append(frame)
        elif _TRACE.match(line):
            inside = True
        elif inside and frame is None and line.strip() and not _MARK.match(line):
            break
    return frames


def find_reports(text: str | Iterable[str]) -> list[Report]:
    """Every report of a console or of a kernel log, in order, each title once."""
    found: dict[str, Report] = {}
    open_: _Open | None = None

    def close() -> None:
        if open_ is not None:
            report = open_.finish()
            found.setdefault(report.title, report)

    for line in map(plain, text.splitlines() if isinstance(text, str) else text):
        start = None if _IOMMU.match(line) else _start(line)
        if start is None or (open_ is not None and open_.takes(start[0])):
            if open_ is not None:
                open_.add(line)
            continue
        close()
        open_ = _Open(*start, line)
    close()
    return list(found.values())


def title_of(console: str, fallback: str = LOST) -> str:
    """The title of a kernel that died: that of its first report, or what is left to say."""
    reports = find_reports(console)
    return reports[0].title if reports else fallback


def _start(line: str) -> tuple[Prefix, re.Match[str]] | None:
    for row, pattern in _PREFIXES:
        if match := pattern.match(line):
            return row, match
    return None
