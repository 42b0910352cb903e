# SPDX-License-Identifier: MIT
"""A port around a real one that answers as a wrong kernel would, one promise at a time."""

import mmap
from collections.abc import Callable, Collection, Mapping, Sequence

from vfiospec.device import ops as o
from vfiospec.device.call import errno_name
from vfiospec.device.ops import AnyOp, Reply
from vfiospec.device.port import Port, PortError, TargetLostError
from vfiospec.wrong.change import answered, asked, swallowed
from vfiospec.wrong.model import Wrong, fits
from vfiospec.wrong.seen import Seen, Things

Exchange = Callable[[Sequence[AnyOp]], Sequence[Reply]]
Watch = Callable[[Seen, AnyOp, Reply], None]

_LIMIT = 30_000  # operations of one test: a test that waits for a wrong kernel has to end


class StuckError(Exception):
    """A test goes on and on."""


class WrongPort(Port):
    """Passes everything on to a real port, but for the calls that `wrong` is about.

    `roles` are those of each device, by address. `watch` hears of every call and its real answer.
    """

    def __init__(self, real: Port, roles: Mapping[str, Collection[str]] = {}) -> None:
        super().__init__()
        self.hello = real.hello
        self.real = real
        self.steps = real.steps
        self.roles = roles
        self.wrong: Wrong | None = None
        self.watch: Watch | None = None
        self.watched = 0  # calls that `watch` heard of since the test began
        self.struck = 0  # how often the wrong one did its work
        self._matched = 0
        self._made = 0
        self._in_child = False
        self._things = Things()
        self._unused = real._unused  # noqa: SLF001 -- one numbering for both

    def handle(self) -> int:
        """A handle nothing uses."""
        return self.real.handle()

    def begin(self) -> None:
        """A test begins: calls are counted anew."""
        self._matched = self._made = self.struck = self.watched = 0

    def close(self) -> None:
        """Give up everything the port holds."""
        self.real.close()

    def release(self) -> None:
        """Close what is still open of all that went through here."""
        self.begin()  # it is no test's: one that made too many calls must not keep us from it
        self.wrong = self.watch = None
        for handle, thing in self._things.held().items():
            if thing.kind == "process":
                op: AnyOp = o.Wait(handle, 9)
            elif thing.kind in ("memory", "mapping"):
                op = o.Munmap(handle)
            else:
                op = o.Close(handle)
            try:
                self.do(op)
            except PortError:  # it was passed on to another process, or never there
                self._things.note(op, Reply())

    def exchange(self, ops: Sequence[AnyOp]) -> Sequence[Reply]:
        """Make operations as the wrong kernel would."""
        self._made += len(ops)
        if self._made > _LIMIT:
            raise StuckError(f"{self._made} operations in one test")
        return self._through(ops, self.real.exchange)

    def _through(self, ops: Sequence[AnyOp], make: Exchange) -> list[Reply]:
        return [self._one(op, make) for op in ops] if self._touches(ops) else self._all(ops, make)

    def _touches(self, ops: Sequence[AnyOp]) -> bool:
        """Whether any of them may be changed; if not, they stay one message."""
        if self.wrong is None and self.watch is None:
            return False
        return len(ops) == 1 or any(not isinstance(op, o.Close | o.Drain) for op in ops)

    def _all(self, ops: Sequence[AnyOp], make: Exchange) -> list[Reply]:
        replies = list(make(ops))
        for op, reply in zip(ops, replies, strict=True):
            self._things.note(op, reply)
        return replies

    def _one(self, op: AnyOp, make: Exchange) -> Reply:
        if isinstance(op, o.In):
            self._in_child = True
            try:
                parts = self._through(
                    op.ops, lambda ops: make([o.In(op.process, tuple(ops))])[0].parts
                )
            finally:
                self._in_child = False
            return Reply(parts=tuple(parts))
        seen = self._things.see(op)
        if self._in_child:
            seen.fields["in"] = "process"
        wrong = self.wrong
        if wrong is None or not self._is_meant(wrong, seen):
            (reply,) = make([op])
            self._things.note(op, reply)
            if self.watch is not None:
                self.watched += 1
                self.watch(seen, op, reply)
            return reply
        return self._struck(wrong, op, make)

    def _is_meant(self, wrong: Wrong, seen: Seen) -> bool:
        return matches(wrong, seen) and (
            not wrong.role or wrong.role in self.roles.get(seen.bdf, ())
        )

    def _strikes(self, wrong: Wrong) -> bool:
        self._matched += 1
        return not wrong.nth or self._matched == wrong.nth

    def _struck(self, wrong: Wrong, op: AnyOp, make: Exchange) -> Reply:
        change = wrong.change
        kind = self._things.of(op.fd).kind if isinstance(op, o.Ioctl) else ""
        if change.swallow or change.ask:
            return self._unmade(wrong, op, kind, make)
        reply = self._made_as(op, make)
        answer = "ok" if reply.ok else errno_name(reply.errno)
        if (wrong.answered and wrong.answered != answer) or not self._strikes(wrong):
            return reply
        self.struck += 1
        if change.lose:
            raise TargetLostError("the wrong kernel is dead", (op,))
        changed = answered(op, reply, kind, change)
        return self._consistent(op, reply, changed, make)

    def _unmade(self, wrong: Wrong, op: AnyOp, kind: str, make: Exchange) -> Reply:
        """Something else is done than what was asked for, or nothing."""
        change = wrong.change
        if not self._strikes(wrong):
            return self._made_as(op, make)
        self.struck += 1
        if not change.swallow:
            reply = self._made_as(asked(op, kind, change), make)
            return answered(op, reply, kind, change)
        if isinstance(op, o.Close):
            # The file stays open under another handle; this one is the test's no longer.
            self._made_as(o.Dup(self.handle(), op.handle), make)
            return self._made_as(op, make)
        return answered(op, swallowed(op, change), kind, change)

    def _made_as(self, op: AnyOp, make: Exchange) -> Reply:
        (reply,) = make([op])
        self._things.note(op, reply)
        return reply

    def _consistent(self, op: AnyOp, reply: Reply, changed: Reply, make: Exchange) -> Reply:
        """Undo what a call made that is now refused; make up what one made that is accepted."""
        out = getattr(op, "out", None)
        if out is None or reply.ok == changed.ok:
            return changed
        if isinstance(op, o.Mmap):
            anonymous = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
            made: AnyOp = o.Mmap(out, op.length, op.prot, anonymous)
            undo: AnyOp = o.Munmap(out)
        else:
            made, undo = o.Open(out, "/dev/null"), o.Close(out)
        return self._made_as(made, make) if changed.ok else self._undone(undo, changed, make)

    def _undone(self, undo: AnyOp, changed: Reply, make: Exchange) -> Reply:
        self._made_as(undo, make)
        return changed


def matches(wrong: Wrong, seen: Seen) -> bool:
    """Whether a wrong port is about a call, whatever the answer."""
    if wrong.call != seen.call:
        return False
    fields = seen.fields
    return all(name in fields and fits(want, fields[name]) for name, want in wrong.where.items())
