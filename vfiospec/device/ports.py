# SPDX-License-Identifier: MIT
"""The two ports: operations made in this process, or by an executor at the end of a stream."""

import platform
import resource
import shlex
import socket
import subprocess
import time
from collections.abc import Sequence

from vfiospec.device import wire
from vfiospec.device.local import LocalExecutor
from vfiospec.device.ops import PROTOCOL, AnyOp, Hello, Reply
from vfiospec.device.port import NO_ANSWER, Port, TargetLostError, socket_pair

DEADLINE = 20.0  # seconds an executor may take over one message
START_DEADLINE = 60.0  # and until it greets: it may have to be reached, and Python to be loaded


def hello_of_this_process() -> Hello:
    """What the local executor says of itself."""
    name = platform.uname()
    return Hello(wire.MAGIC, PROTOCOL, "python", resource.getpagesize(), name.machine, name.release)


class LocalPort(Port):
    """Operations made by this process, in place."""

    def __init__(self) -> None:
        super().__init__()
        self.hello = hello_of_this_process()
        self.executor = LocalExecutor()

    def exchange(self, ops: Sequence[AnyOp]) -> Sequence[Reply]:
        """Make them here."""
        return self.executor.run(ops)

    def do(self, op: AnyOp) -> Reply:
        """Make one operation, without the detour over a list: this is what is called most."""
        reply = self.executor.execute(op)
        self._note(op, reply)
        return reply

    def close(self) -> None:
        """Close all that is open."""
        self.executor.close()


class RemotePort(Port):
    """Operations made by an executor that speaks frames over a socket."""

    def __init__(self, channel: socket.socket, deadline: float = DEADLINE) -> None:
        """The executor's greeting must come within `deadline`, or TargetLostError."""
        super().__init__()
        self._channel = channel
        self._deadline = deadline
        self._number = 0
        self._received = bytearray()
        self._until = time.monotonic() + deadline
        try:
            self.hello = wire.decode_hello(self._receive())
        except (OSError, EOFError, wire.WireError) as e:
            raise TargetLostError(f"the executor did not answer: {e or 'timed out'}") from e

    def set_deadline(self, seconds: float) -> None:
        """Change how long one message may take."""
        self._deadline = seconds

    def _receive(self) -> bytes:
        while (payload := wire.take_frame(self._received)) is None:
            left = self._until - time.monotonic()
            if left <= 0:
                raise TimeoutError("the deadline passed")
            self._channel.settimeout(left)
            got = self._channel.recv(1 << 16)
            if not got:
                raise EOFError("the stream ended")
            self._received += got
        return payload

    def _answer(self) -> Sequence[Reply]:
        # Ctrl-C in the middle of an exchange leaves its answer on the way: pass over it.
        while True:
            number, replies = wire.decode_answer(self._receive())
            if number >= self._number:
                break
        if number != self._number:
            raise wire.WireError(f"an answer to message {number}, which was never sent")
        return replies

    def exchange(self, ops: Sequence[AnyOp]) -> Sequence[Reply]:
        """Send them in one message and wait for the answer."""
        self._number += 1
        allowed = self._deadline + sum(op.allowance() for op in ops)
        self._until = time.monotonic() + allowed
        try:
            self._channel.settimeout(allowed)
            self._channel.sendall(wire.encode_request(self._number, ops))
            replies = self._answer()
        except TimeoutError as e:
            raise TargetLostError(f"{NO_ANSWER} {allowed:.0f} s", ops) from e
        except (OSError, EOFError) as e:
            raise TargetLostError("the executor is gone", ops) from e
        except wire.WireError as e:
            raise TargetLostError(f"the executor sent garbage: {e}", ops) from e
        if len(replies) != len(ops):
            raise TargetLostError(f"{len(replies)} answers to {len(ops)} operations", ops)
        return replies

    def close(self) -> None:
        """End the conversation; the executor ends with it."""
        self._channel.close()


class CommandPort(RemotePort):
    """An executor started by a command: in the C binary, or `ssh HOST vfiospec executor`."""

    def __init__(self, command: Sequence[str], deadline: float = DEADLINE) -> None:
        mine, theirs = socket_pair()
        try:
            self._process = subprocess.Popen(  # noqa: S603 -- the user's own command
                command, stdin=theirs.fileno(), stdout=theirs.fileno()
            )
        except OSError as e:
            mine.close()
            raise TargetLostError(f"cannot start {shlex.join(command)}: {e.strerror}") from e
        finally:
            theirs.close()
        try:
            super().__init__(mine, max(deadline, START_DEADLINE))
        except TargetLostError:
            self.close()
            raise
        self.set_deadline(deadline)

    def close(self) -> None:
        """End the executor."""
        if hasattr(self, "_channel"):
            super().close()
        self._process.kill()
        self._process.wait()
