# SPDX-License-Identifier: MIT
"""Races in the local port: programs on threads, started together again and again."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from vfiospec.device.ops import Op, Race, Reply


class _Executor(Protocol):
    def execute(self, op: Op) -> Reply: ...

    def twin(self) -> _Executor: ...


def _errno_of(reply: Reply) -> int:
    if reply.fault:
        return -1
    return -100 - reply.signal if reply.signal else reply.errno


def run_race(executor: _Executor, op: Race) -> tuple[int, ...]:
    """Run the programs and count their answers; the format is Race's."""
    barrier = threading.Barrier(len(op.programs))
    tallies: list[Counter[tuple[int, int, int]]] = [Counter() for _ in op.programs]

    def run(index: int) -> None:
        mine = executor.twin()
        for _ in range(op.rounds):
            barrier.wait()
            for at, step in enumerate(op.programs[index]):
                reply = mine.execute(step)
                tallies[index][at, reply.ret, _errno_of(reply)] += 1

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(op.programs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tuple(
        number
        for index, tally in enumerate(tallies)
        for (at, ret, err), count in sorted(tally.items())
        for number in (index, at, ret, err, count)
    )
