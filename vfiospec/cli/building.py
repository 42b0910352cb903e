# SPDX-License-Identifier: MIT
"""A kernel build as a person sees it: its phases, and how many files are compiled."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import NoReturn, Self

from rich.console import Console

from vfiospec.lab.build.builder import cpus, rebuild
from vfiospec.lab.build.stale import changed
from vfiospec.lab.cache import LabError

_NO_TREES = ("debian", "host")  # what these say wins over a folder of that name
_INTERVAL = 15.0  # seconds between two lines where nobody watches


class Building:
    """Shows phases as lines; the count in place on a terminal, else in a line now and then."""

    def __init__(
        self,
        expected: int,
        console: Console | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Expect that many files, 0 if nobody knows; clock counts seconds."""
        self._expected = expected
        self._console = Console(stderr=True) if console is None else console
        self._clock = clock
        self._begin = self._last = clock()
        self._status = self._console.status("starting") if self._console.is_terminal else None

    def __enter__(self) -> Self:
        """Begin to show."""
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take the count away; lines stay."""
        if self._status is not None:
            self._status.stop()

    def note(self, text: str) -> None:
        """Say which phase begins."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
        if self._status is not None:
            self._status.update("working")

    def tick(self, compiled: int) -> None:
        """Hear that one more file was compiled."""
        now = self._clock()
        about = f" of about {self._expected}" if compiled <= self._expected else ""
        text = f"{compiled}{about} files compiled, {now - self._begin:.0f} s"
        if self._status is not None:
            self._status.update(text)
        elif now - self._last >= _INTERVAL:
            self._last = now
            self._console.print(text, markup=False, highlight=False)


def refresh(kernel: str | None, *, build: bool, own_modules: bool) -> None:
    """Bring a built tree up to date if build says so; if it is not, say so and go on.

    Whoever brings modules of their own judges those, whatever the tree has.
    """
    tree = Path(kernel or "").expanduser().absolute()
    if kernel is None or kernel.partition(":")[0] in _NO_TREES or not tree.is_dir():
        if build:
            raise LabError("--build: give a built kernel tree as --kernel")
        return
    if build:
        with Building(0) as shown, interrupts_raise():
            rebuild(tree, shown, jobs=cpus())
    elif not own_modules and (newer := changed(tree)):
        more = f" and {len(newer) - 1} more" if newer[1:] else ""
        sys.stderr.write(
            f"vfiospec: warning: {newer[0]}{more} changed since {tree} was built, which is judged "
            "as it is; --build builds that first\n"
        )


@contextmanager
def interrupts_raise() -> Iterator[None]:
    """Within it, Ctrl-C and SIGTERM end a build in order, with one line for the user."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    except KeyboardInterrupt as e:
        raise LabError("interrupted; the same command goes on where it stopped") from e
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: object) -> NoReturn:
    del number, frame
    raise KeyboardInterrupt
