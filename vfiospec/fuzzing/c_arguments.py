# SPDX-License-Identifier: MIT
"""The arguments of calls in C: buffers with fields by name, with files and addresses put in."""

from collections.abc import Sequence

from vfiospec.abi.base import AbiStruct
from vfiospec.device.ops import Fixup, FixupKind, Ref
from vfiospec.fuzzing import c_values as v
from vfiospec.fuzzing.c_world import World

Lines = list[str]


class Arguments:
    """Writes what calls are given. `structs` and `requests` are the header's that were named."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.structs: dict[str, type[AbiStruct]] = {}
        self.requests: dict[str, int] = {}

    def at(self, ref: Ref) -> str:
        """A place in memory."""
        return f"at(&{self.world.memory(ref.handle)}, {v.number(ref.offset)})"

    def fixed(self, fixup: Fixup) -> str:
        """The value of a fixup: a file, or an address."""
        if fixup.kind == FixupKind.FD:
            return self.world.file(fixup.handle)
        return f"(unsigned long){self.at(Ref(fixup.handle, fixup.addend))}"

    def argument(
        self, data: bytes, struct: type[AbiStruct] | None, fixups: Sequence[Fixup]
    ) -> Lines:
        """Statements that make `arg`, the buffer of one call."""
        size = len(data)
        device = self.world.name(data)
        if device is not None and not fixups:
            return [f"char *arg = buffer({size});", "", f"strncpy(arg, {device}, {size});"]
        if struct is not None and size >= struct.sizeof():
            fields = self._fields(data, struct, fixups)
            if fields is not None:
                return self._structure(struct, fields, data, fixups)
        if size == 4 and len(fixups) <= 1 and struct is None:  # noqa: PLR2004 -- an int
            value = int.from_bytes(data, "little", signed=True)
            shown = self.fixed(fixups[0]) if fixups else v.number(value)
            return ["int *arg = buffer(sizeof(*arg));", "", f"*arg = {shown};"]
        lines = [f"unsigned char *arg = buffer({size});", ""]
        return [*lines, *self.rest(data, fixups, 0)]

    def _fields(
        self, data: bytes, struct: type[AbiStruct], fixups: Sequence[Fixup]
    ) -> list[str] | None:
        values = v.scalars(struct, data)
        if values is None:
            return None
        shown = {n: v.field(struct, n, value) for n, (value, _, _) in values.items()}
        for fixup in fixups:
            if fixup.offset >= struct.sizeof():
                continue
            size = 4 if fixup.kind == FixupKind.FD else 8
            names = [m.name for m in struct.members() if (m.offset, m.size) == (fixup.offset, size)]
            if not names:
                return None
            shown[names[0]] = self.fixed(fixup)
        order = [m.name for m in struct.members()]
        return [f".{n} = {shown[n]}" for n in order if n in shown]

    def _structure(
        self, struct: type[AbiStruct], fields: list[str], data: bytes, fixups: Sequence[Fixup]
    ) -> Lines:
        name, end = struct.__name__, struct.sizeof()
        self.structs[name] = struct
        more = f" + {len(data) - end}" if len(data) > end else ""
        lines = [f"struct {name} *arg = buffer(sizeof(*arg){more});", ""]
        if fields:
            lines += [f"*arg = (struct {name}){{", *(f"\t{field}," for field in fields), "};"]
        behind = [f for f in fixups if f.offset >= end]
        return [*lines, *self.rest(data[end:], behind, end)]

    def rest(self, data: bytes, fixups: Sequence[Fixup], start: int) -> Lines:
        """Statements that fill `arg` from an offset on, zeros left out."""
        lines = []
        for at, piece, same in v.runs(data):
            place = f"(unsigned char *)arg + {start + at}" if start + at else "arg"
            if same:
                lines.append(f"memset({place}, {piece[0]:#x}, {len(piece)});")
            else:
                lines.append(f"memcpy({place}, {v.text(piece)}, {len(piece)});")
        for fixup in fixups:
            ctype = "__s32" if fixup.kind == FixupKind.FD else "__u64"
            lines.append(
                f"*({ctype} *)((unsigned char *)arg + {fixup.offset}) = {self.fixed(fixup)};"
            )
        return lines
