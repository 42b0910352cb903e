# SPDX-License-Identifier: MIT
"""What a campaign works with: a kernel that can be lost, who watches it, what comes of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from vfiospec.device.ops import Handle, Reply
from vfiospec.device.port import Port, TargetLostError
from vfiospec.fuzzing.maker import Concrete
from vfiospec.fuzzing.model import Program
from vfiospec.fuzzing.world import Placed


class Monitor(Protocol):
    """Reads a kernel's log: vfiospec.session.health.HealthMonitor is one."""

    @property
    def log(self) -> Handle | None:
        """The handle of the log; None where it is hidden."""
        ...

    def look(self) -> "Seen":
        """What is new."""
        ...

    def read(self, records: bytes) -> "Seen":
        """What some records of the log say."""
        ...


class Seen(Protocol):
    """What a monitor saw: the new lines of the log, and those among them that report a fault."""

    log: list[str]

    @property
    def trouble(self) -> list[str]: ...  # noqa: D102


class Guest(Protocol):
    """A kernel that can be lost: vfiospec.lab.bench.VmBench is one."""

    @property
    def port(self) -> Port: ...  # noqa: D102
    @property
    def devices(self) -> Sequence[Placed]: ...  # noqa: D102
    @property
    def can_restart(self) -> bool: ...  # noqa: D102
    def start(self) -> None: ...  # noqa: D102
    def stop(self) -> None: ...  # noqa: D102
    def abandon(self) -> None: ...  # noqa: D102
    def why_lost(self, error: TargetLostError) -> str: ...  # noqa: D102
    def console(self) -> str: ...  # noqa: D102


@dataclass(frozen=True)
class Outcome:
    """One execution: what was made, what came of it."""

    program: Program
    made: Concrete
    trace: Reply

    @property
    def replies(self) -> Sequence[Reply]:
        """The answers, one for each operation."""
        return self.trace.parts[: len(self.made.ops)]

    @property
    def log(self) -> bytes:
        """What the kernel logged meanwhile."""
        return self.trace.parts[-1].bytes if len(self.trace.parts) > len(self.made.ops) else b""


@dataclass(frozen=True)
class Find:
    """What a kernel did wrong, and the program it did it on (empty: it could not be told)."""

    title: str
    program: Program
    step: int
    console: str
    folder: Path | None = None


@dataclass
class Figures:
    """What a campaign has done so far."""

    executions: int = 0
    reboots: int = 0
    finds: int = 0
    avoided: int = 0
    slow: int = 0  # batches
    unexplained: int = 0  # losses without a report, that did not happen again
    titles: dict[str, int] = field(default_factory=dict)
