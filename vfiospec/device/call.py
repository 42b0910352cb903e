# SPDX-License-Identifier: MIT
"""One call on a VFIO file and its answer, in the words of the header."""

import errno as errno_names
from typing import TypeVar

import msgspec

from vfiospec.abi.base import AbiStruct
from vfiospec.device.ops import Reply

T = TypeVar("T", bound=AbiStruct)

UNTOUCHED = 0xA5  # what buffers hold where the caller has nothing to say


def errno_name(number: int) -> str:
    """`EINVAL` for 22."""
    return errno_names.errorcode.get(number, str(number))


class Call(msgspec.Struct, frozen=True):
    """A call: its name, what was handed over, what came back.

    `sent` are the bytes of the argument before the call, or its value. `argsz` is what the
    caller claimed, which may differ from the size of the buffer.
    """

    name: str
    what: str
    sent: bytes | int
    reply: Reply
    argsz: int = 0

    @property
    def ret(self) -> int:
        """The return value; -1 for an error."""
        return self.reply.ret

    @property
    def errno(self) -> int:
        """The error number; 0 for success."""
        return self.reply.errno

    @property
    def ok(self) -> bool:
        """Whether the call succeeded."""
        return self.reply.ret >= 0

    @property
    def data(self) -> bytes:
        """The buffer after the call."""
        return self.reply.bytes

    def answer(self) -> str:
        """The answer as a person says it: `0`, `16`, `EINVAL`."""
        return str(self.ret) if self.ok else errno_name(self.errno)

    def __str__(self) -> str:
        return f"{self.name}({self.what}) -> {self.answer()}"

    def unpack(self, struct: type[T]) -> T:
        """The start of the buffer after the call as a structure."""
        return struct.unpack(self.data)


class CallError(OSError):
    """A call that should have succeeded did not."""

    def __init__(self, call: Call) -> None:
        """Keep the call."""
        super().__init__(call.errno, str(call))
        self.call = call


def checked(call: Call) -> Call:
    """Raise CallError unless the call succeeded."""
    if not call.ok:
        raise CallError(call)
    return call
