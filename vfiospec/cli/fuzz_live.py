# SPDX-License-Identifier: MIT
"""The figures of a campaign as it goes: one line in place on a terminal, else one now and then."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console

from vfiospec.session.jobs import Stats

_INTERVAL = 15.0  # seconds between two lines where nobody watches
# What a person asks about first.
_ABOUT = ("vfio", "vfio_iommu_type1", "vfio_pci_core", "vfio_pci", "iommufd")


class Live:
    """Shows figures."""

    def __init__(self, corpus: Path, console: Console | None = None) -> None:
        """`corpus` is counted."""
        self._corpus = corpus
        self._console = console or Console(stderr=True)
        self._status = self._console.status("starting") if self._console.is_terminal else None
        self._last = time.monotonic()
        self._before: tuple[float, int] = (self._last, 0)
        self._rate = 0.0
        self._said: set[str] = set()

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
        """Take the line away."""
        if self._status is not None:
            self._status.stop()

    def show(self, stats: Sequence[Stats]) -> None:
        """Show what the jobs said last."""
        for title in sorted({t for s in stats for t in s.titles} - self._said):
            self._said.add(title)
            self._console.print(f"found: {title}", markup=False, highlight=False, soft_wrap=True)
        now = time.monotonic()
        done = sum(s.executions for s in stats)
        if now - self._before[0] >= 2.0:  # noqa: PLR2004 -- seconds over which a rate is taken
            self._rate = max(done - self._before[1], 0) / (now - self._before[0])
            self._before = (now, done)
        text = line(stats, self._rate, corpus_size(self._corpus))
        if self._status is not None:
            self._status.update(text)
        elif now - self._last >= _INTERVAL:
            self._last = now
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def corpus_size(corpus: Path) -> int:
    """How many programs a corpus has."""
    return sum(1 for _ in corpus.iterdir()) if corpus.is_dir() else 0


def line(stats: Sequence[Stats], rate: float, corpus: int) -> str:
    """All jobs in one line."""
    going = [s for s in stats if s.state != "starting"]
    if not going:
        return "booting"
    seconds = max(s.seconds for s in going)
    parts = [
        f"{seconds:.0f} s",
        f"{sum(s.executions for s in stats)} executions, {rate:.0f}/s",
        _reached(stats),
        f"corpus {corpus}",
        f"finds {len({t for s in stats for t in s.titles})}",
        f"reboots {sum(s.reboots for s in stats)}",
    ]
    return ", ".join(part for part in parts if part)


def _reached(stats: Sequence[Stats]) -> str:
    best: Counter[str] = Counter()
    for s in stats:
        for name, count in s.places.items():
            best[name] = max(best[name], count)
    if best:
        shown = [f"{name} {best[name]}" for name in _ABOUT if best[name]]
        return f"{sum(best.values())} places: {' '.join(shown)}"
    return f"{max((s.features for s in stats), default=0)} visible features"


def summary(stats: Sequence[Stats], folders: Sequence[Path], corpus: Path) -> Iterator[str]:
    """What a person reads at the end."""
    seconds = max((s.seconds for s in stats), default=0.0)
    done = sum(s.executions for s in stats)
    release = next((s.release for s in stats if s.release), "no kernel")
    yield (
        f"{release}: {done} executions in {seconds:.0f} s "
        f"({done / seconds if seconds else 0:.0f}/s), {_reached(stats)}, "
        f"corpus {corpus_size(corpus)} in {corpus}, "
        f"{sum(s.reboots for s in stats)} reboots, {sum(s.avoided for s in stats)} avoided"
    )
    for s, folder in zip(stats, folders, strict=True):
        for title, count in s.titles.items():
            yield f"found {count} times: {title} (in {folder / 'finds'})"
    if not any(s.titles for s in stats):
        yield "found nothing"
