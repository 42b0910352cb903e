# SPDX-License-Identifier: MIT
"""A port without a kernel behind it, for tests of what is made of a kernel's answers."""

from collections.abc import Callable, Sequence

from vfiospec.device.ops import PROTOCOL, AnyOp, Hello, Reply
from vfiospec.device.port import Port


class MadeUpPort(Port):
    """Answers each operation as a function says; `asked` keeps them all."""

    def __init__(self, answer: Callable[[AnyOp], Reply]) -> None:
        super().__init__()
        self.hello = Hello("vfiospec", PROTOCOL, "made-up", 4096, "x86_64", "6.12.0-made-up")
        self.answer = answer
        self.asked: list[AnyOp] = []

    def exchange(self, ops: Sequence[AnyOp]) -> Sequence[Reply]:
        """Ask the function."""
        self.asked += ops
        return [self.answer(op) for op in ops]

    def close(self) -> None:
        """Nothing is held."""
