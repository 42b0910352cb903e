# SPDX-License-Identifier: MIT
"""C reproducers: what a transcript did, as one C program that needs nothing but a C library.

It builds with `gcc -static -Wall -Werror`, binds the devices it is given to vfio-pci, finds their
groups and character devices by itself, and makes the same calls in the same order.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from vfiospec.device import ops as o
from vfiospec.device.call import errno_name
from vfiospec.device.ops import AnyOp, Reply
from vfiospec.device.port import Step
from vfiospec.device.transcript import Target, TranscriptDevice
from vfiospec.fuzzing import c_helpers
from vfiospec.fuzzing import c_values as v
from vfiospec.fuzzing.c_ops import Writer
from vfiospec.fuzzing.c_world import World

_REGION = [
    "/* A place in a region of a PCI device, as an offset of its fd. */",
    "#define REGION(index, offset) (((unsigned long long)(index) << 40) + (offset))",
]
BUILD = "gcc -static -Wall -Werror -pthread -o reproducer reproducer.c"

END = "reproducer: all calls were made"  # what a program that was survived says last


class Reproducer(NamedTuple):
    """A program in C, and the devices whose addresses it takes as arguments, in that order."""

    text: str
    devices: tuple[TranscriptDevice, ...]


def reproducer(target: Target, steps: Sequence[Step], title: str = "") -> Reproducer:
    """The program. Steps without an answer are written like the others."""
    program = _Program(target, steps, title)
    return Reproducer(program.text(), program.devices)


class _Program:
    def __init__(self, target: Target, steps: Sequence[Step], title: str) -> None:
        self._target, self._steps, self._title = target, steps, title
        self._world = World(target, [op for op, _ in steps])
        self._writer = Writer(self._world)
        self._racer = Writer(self._world, quiet=True)
        self._racer.share(self._writer)
        self._functions: list[list[str]] = []
        self._turns: dict[int, tuple[str, list[str]]] = {}
        self._known = any(reply is not None for _, reply in steps)
        self._races = self._children = 0

    def text(self) -> str:
        """All of it."""
        main = self._sequence(self._steps)
        for name, lines in self._turns.values():
            self._functions.append([f"static void {name}(int channel)", "{", *_tabbed(lines), "}"])
        # Functions of second processes and of races may start each other.
        forward = [f"{function[0]};" for function in self._functions]
        code = _paragraphs(forward, *self._functions, self._main(main))
        variables = self._variables()
        helpers = c_helpers.needed(code + "\n".join(variables))
        body = _paragraphs(
            _REGION if "REGION(" in code else [],
            self._definitions(code),
            *([helper] for helper in helpers),
            variables,
            [code],
        )
        includes = [f"#include <{name}>" for name in c_helpers.headers(body)]
        return _paragraphs([*self._comment(), "#define _GNU_SOURCE", *includes], [body])

    @property
    def devices(self) -> tuple[TranscriptDevice, ...]:
        """The devices it takes, once the text is made."""
        return tuple(self._world.devices)

    # -- around the calls

    def _comment(self) -> list[str]:
        target = self._target
        lines = [self._title or f"The calls of {target.test}."]
        if self._title:
            lines.append(f"Made from {target.test}.")
        lines += ["", f"Seen on Linux {target.release}."] if target.release else []
        lines += ["", f"Build: {BUILD}"]
        usage = " ".join(d.name.upper().replace("-", "_") for d in self._world.devices)
        lines.append(f"Run, as root, where vfio-pci is loaded: ./reproducer {usage}".rstrip())
        if self._world.devices:
            lines += ["Each argument is the PCI address of a device that nothing else uses:"]
            lines += [f"  {d.name}, which was at {d.bdf}" for d in self._world.devices]
        else:
            lines.append("It needs no device.")
        if self._known:
            lines += ["", "The comments beside the calls are the answers that were seen."]
        shown = (f" * {line}".rstrip() for line in lines)
        return ["// SPDX-License-Identifier: MIT", "/*", *shown, " */"]

    def _definitions(self, code: str) -> list[str]:
        """The header's numbers and structures, so that an older header will do."""
        lines: list[str] = []
        words = dict.fromkeys(re.findall(r"\b(?:VFIO|IOMMU)_\w+", re.sub(r'"[^"\n]*"', "", code)))
        numbers = {
            **{n: v.CONSTANTS[n] for n in words if n in v.CONSTANTS},
            **{n: r for n, r in self._writer.requests.items() if not n.startswith("0x")},
        }
        if numbers:
            lines.append(
                "/* As in the kernel's own headers, which may be newer than this system's. */"
            )
            lines += [f"#define {name} {v.number(value)}" for name, value in numbers.items()]
        seen: set[str] = set()
        for struct in self._writer.structs.values():
            text = "\n".join(v.declaration(struct))
            lines += ["", *(text.splitlines() if text not in seen else [])]
            seen.add(text)
        return lines

    def _variables(self) -> list[str]:
        world = self._world
        lines = [f"static const char *{world.device(d)}; /* {d.name} */" for d in world.devices]
        lines += [f"static int {name} = -1;" for name in world.files()]
        lines += [f"static struct memory memory_{h};" for h in sorted(world.memories)]
        return lines + [f"static struct process process_{h};" for h in sorted(world.processes)]

    def _main(self, body: list[str]) -> list[str]:
        devices = self._world.devices
        lines = ["int main(int argc, char **argv)" if devices else "int main(void)", "{"]
        if devices:
            names = " ".join(d.name.upper().replace("-", "_") for d in devices)
            lines += [
                f"\tif (argc != {len(devices) + 1}) {{",
                f'\t\tfprintf(stderr, "usage: %s {names}, each a PCI address\\n", argv[0]);',
                "\t\treturn 2;",
                "\t}",
            ]
            for at, device in enumerate(devices, 1):
                name = self._world.device(device)
                lines += [f"\t{name} = argv[{at}];", f"\tbind_to_vfio({name});"]
        lines += ["\tsetvbuf(stdout, NULL, _IOLBF, 0);", ""]
        end = f'\tprintf("{END}\\n");'
        return [*lines, *_tabbed(body), end, "\treturn 0;", "}"]

    # -- the calls

    def _sequence(
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
            made = self._one(op, reply, writer or self._writer)
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
        lines = self._sequence(list(zip(op.ops, parts, strict=True)), writer)
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
        return [*lines, *self._sequence(behind, writer, told=False)]

    def _race(self, op: o.Race) -> list[str]:
        self._races += 1
        names = []
        for at, program in enumerate(op.programs):
            name = f"race_{self._races}_{at + 1}"
            names.append(name)
            body = self._sequence([(each, None) for each in program], self._racer, told=False)
            self._functions.append(
                [
                    f"static void *{name}(void *unused)",
                    "{",
                    f"\tfor (int round = 0; round < {op.rounds}; round++) {{",
                    "\t\tpthread_barrier_wait(&barrier);",
                    *_tabbed(body, 2),
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
        body = self._sequence(list(zip(op.ops, parts, strict=True)))
        turns[1].extend(["wait_turn(channel);", *body, "end_turn(channel);"])
        return [writer.call(f"process {op.process}", f"turn(&{self._world.process(op.process)})")]


def _paragraphs(*groups: Sequence[str]) -> str:
    """Groups of lines with one blank line between them; groups of none are left out."""
    return "\n\n".join("\n".join(lines).strip("\n") for lines in groups if lines) + "\n"


def _tabbed(lines: Sequence[str], depth: int = 1) -> list[str]:
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
