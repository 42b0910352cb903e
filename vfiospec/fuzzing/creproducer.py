# SPDX-License-Identifier: MIT
"""C reproducers: what a transcript did, as one C program that needs nothing but a C library.

It builds with `gcc -static -Wall -Werror`, binds the devices it is given to vfio-pci, finds their
groups and character devices by itself, and makes the same calls in the same order.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from vfiospec.device.port import Step
from vfiospec.device.transcript import Target, TranscriptDevice
from vfiospec.fuzzing import c_helpers
from vfiospec.fuzzing import c_values as v
from vfiospec.fuzzing.c_calls import Calls, tabbed
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
        self._known = any(reply is not None for _, reply in steps)
        self._world = World(target, steps)
        self._calls = Calls(self._world, known=self._known)

    def text(self) -> str:
        """All of it."""
        main = self._calls.sequence(self._steps)
        functions = self._calls.functions()
        # Functions of second processes and of races may start each other.
        forward = [f"{function[0]};" for function in functions]
        code = _paragraphs(forward, *functions, self._main(main))
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
            **{n: r for n, r in self._calls.writer.requests.items() if not n.startswith("0x")},
        }
        if numbers:
            lines.append(
                "/* As in the kernel's own headers, which may be newer than this system's. */"
            )
            lines += [f"#define {name} {v.number(value)}" for name, value in numbers.items()]
        seen: set[str] = set()
        for struct in self._calls.writer.structs.values():
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
        return [*lines, *tabbed(body), end, "\treturn 0;", "}"]


def _paragraphs(*groups: Sequence[str]) -> str:
    """Groups of lines with one blank line between them; groups of none are left out."""
    return "\n\n".join("\n".join(lines).strip("\n") for lines in groups if lines) + "\n"
