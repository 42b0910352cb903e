# SPDX-License-Identifier: MIT
"""Lists of operations in C: in order, on threads, in second processes."""

from collections.abc import Sequence

from vfiospec.device import ops as o
from vfiospec.device.call import errno_name
from vfiospec.device.ops import AnyOp, Reply
from vfiospec.device.port import Step
from vfiospec.fuzzing.c_ops import Writer
from vfiospec.fuzzing.c_world import World


class Calls:
    """Writes calls, and keeps the functions that they need. `known`: there are answers to tell."""

    def __init__(self, world: World, *, known: bool) -> None:
        self._world, self._known = world, known
        self.writer = Writer(world)
        self._racer = Writer(world, quiet=True)
        self._racer.share(self.writer)
        self._functions: list[list[str]] = []
        self._turns: dict[int, tuple[str, list[str]]] = {}
        self._races = self._children = 0

    def functions(self) -> list[list[str]]:
        """The functions of threads and second processes, once all calls are written."""
        turns = [
            [f"static void {name}(int channel)", "{", *tabbed(lines or ["(void)channel;"]), "}"]
            for name, lines in self._turns.values()
        ]
        return [*self._functions, *turns]

    def sequence(
        self, steps: Sequence[Step], writer: Writer | None = None, *, told: bool = True
    ) -> list[str]:
        """The calls; unless `told`, nobody ever heard of answers to them."""
        lines: list[str] = []
        lost = False
        for op, reply in steps:
            if reply is not None and reply.fault:
                lines.append(f"/* not made: {_comment_safe(reply.fault)} */")
                continue
            said = self._said(op, reply, lost=lost) if told else ""
            lost = lost or reply is None
            made = self._one(op, reply, writer or self.writer)
            lines += _commented(made, said)
        return lines

    def _said(self, op: AnyOp, reply: Reply | None, *, lost: bool) -> str:
        if reply is None:
            return "no answer: lost here" if self._known and not lost else ""
        if isinstance(op, o.In | o.Race | o.Fork):
            return ""
        if reply.signal:
            return f"signal {reply.signal}"
        if reply.ret < 0:
            return errno_name(reply.errno)
        own = (
            isinstance(op, o.Open | o.Dup | o.Eventfd | o.Mmap | o.Alloc)
            or getattr(op, "out", None) is not None
        )
        spilt = ", WROTE OUTSIDE" if reply.spill else ""
        return ("done" if own else str(reply.ret)) + spilt

    def _one(self, op: AnyOp, reply: Reply | None, writer: Writer) -> list[str]:
        match op:
            case o.Race():
                return self._race(op)
            case o.Fork():
                made = self._fork(op, writer)
            case o.In():
                return self._in(op, reply, writer)
            case o.Trace():
                return self._trace(op, reply, writer)
            case o.SendFd():
                return self._send(op, writer)
            case o.Wait():
                made = writer.call(
                    "wait", f"finish(&{self._world.process(op.process)}, {op.signal})"
                )
            case o.ReceiveFd():
                made = "/* received where the process takes its turns */"
            case _:
                return writer.write(op, reply)
        return [made]

    def _trace(self, op: o.Trace, reply: Reply | None, writer: Writer) -> list[str]:
        """A traced program: what it does, and what is given up behind it, the last first."""
        parts: Sequence[Reply | None] = [None] * len(op.ops)
        if reply is not None and len(reply.parts) == len(op.ops):
            parts = reply.parts
        lines = self.sequence(list(zip(op.ops, parts, strict=True)), writer)
        made = dict.fromkeys(getattr(each, "out", None) for each in op.ops)
        gone: list[AnyOp] = []
        for each in reversed(op.ops):
            handle = getattr(each, "out", None)
            if handle is None or handle < op.first or handle not in made:
                continue
            del made[handle]
            if isinstance(each, o.Alloc | o.Mmap):
                gone.append(o.Munmap(handle))
            else:
                gone.append(o.Wait(handle, 9) if isinstance(each, o.Fork) else o.Close(handle))
        behind: list[Step] = [(each, None) for each in (*gone, *op.after)]
        return [*lines, *self.sequence(behind, writer, told=False)]

    def _race(self, op: o.Race) -> list[str]:
        self._races += 1
        names = []
        for at, program in enumerate(op.programs):
            name = f"race_{self._races}_{at + 1}"
            names.append(name)
            body = self.sequence([(each, None) for each in program], self._racer, told=False)
            self._functions.append(
                [
                    f"static void *{name}(void *unused)",
                    "{",
                    f"\tfor (int round = 0; round < {op.rounds}; round++) {{",
                    "\t\tpthread_barrier_wait(&barrier);",
                    *tabbed(body, 2),
                    "\t}",
                    "\treturn unused;",
                    "}",
                ]
            )
        listed = ", ".join(names)
        return [
            "{",
            f"\tvoid *(*const programs[])(void *) = {{ {listed} }};",
            "",
            f"\trace(programs, {len(names)});",
            "}",
        ]

    def _fork(self, op: o.Fork, writer: Writer) -> str:
        self._children += 1
        name = f"turns_of_process_{op.out}" + (
            f"_{self._children}" if op.out in self._turns else ""
        )
        if op.out in self._turns:  # the handle of an earlier process, which has ended
            self._turns[-self._children] = self._turns.pop(op.out)
        self._turns[op.out] = (name, [])
        return writer.call("fork", f"start(&{self._world.process(op.out)}, {name})")

    def _send(self, op: o.SendFd, writer: Writer) -> list[str]:
        fd = self._world.file(op.fd)
        self._world.became(op)
        if op.process in self._turns:
            received = f"keep(&{self._world.file(op.out)}, received(channel));"
            self._turns[op.process][1].extend(
                ["wait_turn(channel);", received, "end_turn(channel);"]
            )
        process = self._world.process(op.process)
        return [writer.call("pass a file", f"pass(&{process}, {fd})")]

    def _in(self, op: o.In, reply: Reply | None, writer: Writer) -> list[str]:
        turns = self._turns.get(op.process)
        if turns is None:
            return [f"/* process {op.process} was never made */"]
        parts = (
            reply.parts
            if reply is not None and len(reply.parts) == len(op.ops)
            else [None] * len(op.ops)
        )
        body = self.sequence(list(zip(op.ops, parts, strict=True)))
        turns[1].extend(["wait_turn(channel);", *body, "end_turn(channel);"])
        return [writer.call(f"process {op.process}", f"turn(&{self._world.process(op.process)})")]


def tabbed(lines: Sequence[str], depth: int = 1) -> list[str]:
    """Lines, further in."""
    return ["\t" * depth + line if line else "" for line in lines]


def _commented(lines: list[str], said: str) -> list[str]:
    """The lines with a comment behind the call itself."""
    if not said or not lines:
        return lines
    for at in range(len(lines) - 1, -1, -1):
        if lines[at].lstrip().startswith(("answer(", "ignore(")):
            return [*lines[:at], f"{lines[at]} /* {said} */", *lines[at + 1 :]]
    return lines


def _comment_safe(text: str) -> str:
    return text.replace("*/", "* /")
