# SPDX-License-Identifier: MIT
"""A port: the one door to a kernel. Everything a test or a fuzzer does goes through `run`."""

import socket
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

from vfiospec.device.ops import AnyOp, Close, FailNth, Hello, In, Munmap, Op, Reply, Wait


class PortError(Exception):
    """An operation could not be made, for a reason that is ours: a handle that is not open."""


NO_ANSWER: Final = "no answer within"  # how the reason of a loss begins, if time was up


class TargetLostError(Exception):
    """The kernel, or the executor on it, is gone or no longer answers."""

    def __init__(self, reason: str, ops: Sequence[Op] = ()) -> None:
        """Keep why, and the operations that were under way."""
        under_way = ", ".join(repr(op)[:200] for op in ops)
        super().__init__(f"{reason}; under way: {under_way}" if ops else reason)
        self.reason = reason
        self.ops = tuple(ops)


# One operation and its answer; None if none came.
Step = tuple[AnyOp, Reply | None]

_RELEASING = frozenset((Close, Munmap, Wait))


class Port(ABC):
    """Makes operations, keeps handles apart, and remembers what was done.

    `steps` is the record; whoever owns the port may slice and clear it.
    """

    hello: Hello

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._next = 0
        self._unused: list[int] = []

    def handle(self) -> int:
        """A handle nothing uses."""
        if self._unused:
            return self._unused.pop()
        self._next += 1
        return self._next

    @abstractmethod
    def exchange(self, ops: Sequence[AnyOp]) -> Sequence[Reply]:
        """Make operations in order and return as many replies."""

    @abstractmethod
    def close(self) -> None:
        """Give up everything the port holds."""

    def run(self, ops: Sequence[AnyOp]) -> Sequence[Reply]:
        """Make operations in order, in one message where there are messages.

        Raises PortError if one of them could not be made at all.
        """
        try:
            replies = self.exchange(ops)
        except TargetLostError:
            self.steps += [(op, None) for op in ops]
            raise
        for op, reply in zip(ops, replies, strict=True):
            self._note(op, reply)
        return replies

    def _note(self, op: AnyOp, reply: Reply) -> None:
        self.steps.append((op, reply))
        if reply.fault:
            raise PortError(f"{type(op).__name__}: {reply.fault}")
        if isinstance(op, FailNth):
            op = op.op  # a close that fails closes all the same
        if type(op) in _RELEASING:
            if isinstance(op, Close | Munmap):
                self._unused.append(op.handle)
            elif isinstance(op, Wait) and reply.ret >= 0:
                self._unused.append(op.process)

    def do(self, op: AnyOp) -> Reply:
        """Make one operation."""
        return self.run((op,))[0]


class ForkedPort(Port):
    """A second process of a port's executor, with a copy of the handles it had at the fork."""

    def __init__(self, parent: Port, process: int) -> None:
        """`process` is the handle of the Fork."""
        super().__init__()
        self.hello = parent.hello
        self._parent = parent
        self.process = process
        self._next = 1 << 16  # the parent goes on numbering from where it was

    def exchange(self, ops: Sequence[AnyOp]) -> Sequence[Reply]:
        """Make operations in the second process."""
        return self._parent.do(In(self.process, tuple(ops))).parts

    def close(self) -> None:
        """Let the second process end."""
        self._parent.do(Wait(self.process))


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected stream sockets: what executors and QEMU are given."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
