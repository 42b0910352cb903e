# SPDX-License-Identifier: MIT
"""The interrupts of one device, each call on them judged against what the rules predict."""

from typing import Final

from vfiospec import expect
from vfiospec.abi import pci as regs
from vfiospec.abi import vfio
from vfiospec.device import ops as o
from vfiospec.device.call import Call
from vfiospec.device.device import Device
from vfiospec.device.files import EventFd, File, Memory
from vfiospec.device.irq_model import (
    ERR,
    EVENTFD,
    INTX,
    MSI,
    MSIX,
    NONE,
    REQ,
    TRIGGER,
    UNMASK,
    Fd,
    Outcome,
    Promised,
    Request,
    Shape,
    Source,
    State,
    predict,
)
from vfiospec.device.pci import SYSFS, PciDevice

NOT_OPEN: Final = 0x7FFFFFFF  # beyond what any process may open
NUMBERS: Final = {Fd.CLOSED: NOT_OPEN, Fd.MINUS_ONE: -1, Fd.NEGATIVE: -2}
_NAMES: Final = {INTX: "intx", MSI: "msi", MSIX: "msix"}


def shape_of(device: Device, *, isolated: bool) -> Shape:
    """Ask a device for its interrupts; `isolated`: there is interrupt remapping."""
    calls = [device.try_get_irq_info(index) for index in range(vfio.VFIO_PCI_NUM_IRQS)]
    infos = [call.unpack(vfio.vfio_irq_info) for call in calls]
    counts = tuple(i.count if c.ok else 0 for c, i in zip(calls, infos, strict=True))
    return Shape(counts, not infos[MSIX].flags & vfio.VFIO_IRQ_INFO_NORESIZE, not isolated)


class Irqs:
    """SET_IRQS on one device: `apply` makes requests and holds them against the prediction.

    Every eventfd in use is read after every request: none may be signalled but those predicted.
    """

    def __init__(
        self, device: Device, pci: PciDevice, shape: Shape, promised: Promised, memory: Memory
    ) -> None:
        self.device = device
        self.port = device.port
        self.pci = pci
        self.shape = shape
        self.state = State()
        self.events: dict[Source, EventFd] = {}
        self.unmask: EventFd | None = None
        self._promised = promised
        self._memory = memory
        self._free: list[EventFd] = []
        self._other = File.open(self.port, "/dev/null")

    def predict(self, request: Request) -> Outcome:
        """What a request must lead to now."""
        return predict(request, self.state, self.shape, self._promised)

    def apply(self, *requests: Request) -> Outcome:
        """Make requests and judge each; the last one's outcome."""
        batch: list[tuple[Request, Outcome, list[EventFd]]] = []
        outcome = None
        for request in requests:
            outcome = self.predict(request)
            batch.append((request, outcome, self._take(request)))
            if outcome.state != self.state or outcome.bound:
                self._make(batch)
                batch = []
        self._make(batch)
        if outcome is None:
            raise ValueError("no request to apply")
        return outcome

    def on(self, index: int, count: int = 1, start: int = 0) -> Outcome:
        """Give interrupts of an index an eventfd each."""
        return self.apply(
            Request(index, EVENTFD | TRIGGER, start, count, fds=(Fd.EVENTFD,) * count)
        )

    def off(self, index: int) -> Outcome:
        """Turn an index off."""
        return self.apply(Request(index, NONE | TRIGGER))

    def loopback(self, index: int, count: int = 1, start: int = 0) -> Outcome:
        """Trigger interrupts: those that have an eventfd, and no other, are signalled."""
        return self.apply(Request(index, NONE | TRIGGER, start, count))

    def _take(self, request: Request) -> list[EventFd]:
        wanted = sum(fd is Fd.EVENTFD for fd in request.fds)
        while len(self._free) < wanted:
            self._free.append(EventFd.create(self.port))
        return self._free[:wanted]

    def _op(self, request: Request, fresh: list[EventFd]) -> tuple[o.Ioctl, Call]:
        head = vfio.vfio_irq_set.sizeof()
        data, fixups, unused = request.bools, [], iter(fresh)
        for fd in request.fds:
            file = next(unused) if fd is Fd.EVENTFD else self._other if fd is Fd.OTHER else None
            if file is not None:
                fixups.append(file.fixup(head + len(data)))
            data += NUMBERS.get(fd, 0).to_bytes(4, "little", signed=True)
        packed = vfio.vfio_irq_set(
            request.claim, request.flags, request.index, request.start, request.count
        ).pack()
        at = None if request.readable else self._memory.tail(head)
        sent = packed + data if request.readable else packed
        names = ",".join(fd.value for fd in request.fds)
        op = o.Ioctl(
            self.device.handle, vfio.VFIO_DEVICE_SET_IRQS, 0, sent,
            tuple(fixups) if request.readable else (), at,
        )  # fmt: skip
        what = (
            f"argsz={request.claim}, flags={request.flags:#x}, index={request.index}, "
            f"start={request.start}, count={request.count}, data={names or request.bools.hex()}"
        )
        return op, Call("VFIO_DEVICE_SET_IRQS", what, sent, o.Reply(), request.claim)

    def _make(self, batch: list[tuple[Request, Outcome, list[EventFd]]]) -> None:
        if not batch:
            return
        ops: list[o.AnyOp] = []
        calls = []
        for request, _, fresh in batch:
            op, call = self._op(request, fresh)
            calls.append(call)
            ops += [op, *(o.Pread(e.handle, 8) for e in self._watched(fresh))]
        replies = iter(self.port.run(ops))
        for call, (request, outcome, fresh) in zip(calls, batch, strict=True):
            made = Call(call.name, call.what, call.sent, next(replies), call.argsz)
            answers = [next(replies) for _ in self._watched(fresh)]
            counts = [a.value if a.ok else 0 for a in answers]
            self._judge(made, request, outcome, fresh, counts)

    def _watched(self, fresh: list[EventFd]) -> list[EventFd]:
        unmask = [self.unmask] if self.unmask else []
        return [*self.events.values(), *unmask, *fresh]

    def _judge(
        self,
        call: Call,
        request: Request,
        outcome: Outcome,
        fresh: list[EventFd],
        counts: list[int],
    ) -> None:
        before, watched = self.state, self._watched(fresh)
        if call.ok:
            self._follow(request, outcome, fresh)  # also when it should not be: to clean up
        if outcome.ret < 0:
            expect.refused(call, -outcome.ret)
        else:
            expect.accepted(call, outcome.ret)
        self.state = outcome.state
        names = {id(e): f"eventfd of {s}" for s, e in self.events.items()}
        signalled = {id(self.events[s]) for s in outcome.signalled}
        for event, count in zip(watched, counts, strict=True):
            what = names.get(id(event), "an eventfd that is not assigned")
            wanted = 1 if id(event) in signalled else 0
            expect.equal(f"{call} with {before}: {what}, signals", count, wanted)
        for source in set(self.events) - self._live():
            self._free.append(self.events.pop(source))

    def _live(self) -> set[Source]:
        state = self.state
        live = {(index, 0) for index in state.singles}
        if state.mode is not None:
            live |= {(state.mode, number) for number in state.assigned}
        return live

    def _follow(self, request: Request, outcome: Outcome, fresh: list[EventFd]) -> None:
        goods = [place for place, fd in enumerate(request.fds) if fd is Fd.EVENTFD]
        for source, place in outcome.bound.items():
            old = self.events.pop(source, None)
            self._free += [old] if old else []
            self.events[source] = fresh[goods.index(place)]
        if outcome.state.unmask and not self.state.unmask:
            self.unmask = fresh[0]
        used = {id(e) for e in self._watched([])}
        self._free = [e for e in self._free if id(e) not in used]
        if not outcome.state.unmask and self.unmask is not None:
            self._free.append(self.unmask)
            self.unmask = None

    def requested(self) -> list[str]:
        """The device's interrupts that are requested, by their names, sorted."""
        text = self.port.do(o.ReadFile("/proc/interrupts", 1 << 20)).bytes.decode()
        words = (word.rstrip(",") for word in text.split())
        return sorted(w for w in words if w.startswith("vfio-") and f"({self.pci.bdf})" in w)

    def named(self) -> list[str]:
        """The names of the interrupts that must be requested now."""
        if self.state.mode is None:
            return []
        if self.state.mode == INTX:
            return [f"vfio-intx({self.pci.bdf})"]
        kind = _NAMES[self.state.mode]
        return sorted(f"vfio-{kind}[{n}]({self.pci.bdf})" for n in self.state.assigned)

    def allocated(self) -> int:
        """How many MSI or MSI-X interrupts the kernel has for the device."""
        reply = self.port.do(o.ListDir(f"{SYSFS}/{self.pci.bdf}/msi_irqs"))
        return len([name for name in reply.bytes.split(b"\0") if name]) if reply.ok else 0

    def hardware(self, offset: int, size: int) -> int:
        """A register of the device's own config space."""
        reply = self.port.do(o.ReadFile(f"{SYSFS}/{self.pci.bdf}/config", 4096))
        return int.from_bytes(reply.bytes[offset : offset + size], "little")

    def hardware_flags(self, capability: int) -> int:
        """The message control register of MSI or MSI-X in the device; 0 without one."""
        at = self.pci.capabilities.get(capability)
        return self.hardware(at + regs.PCI_CAP_FLAGS, 2) if at is not None else 0

    def check(self) -> None:
        """Hold what is requested, allocated and enabled in the device against the state."""
        expect.equal("requested interrupts", self.requested(), self.named())
        expect.equal("interrupts allocated", self.allocated(), len(self.state.vectors))
        msi = bool(self.hardware_flags(regs.PCI_CAP_ID_MSI) & regs.PCI_MSI_FLAGS_ENABLE)
        msix = bool(self.hardware_flags(regs.PCI_CAP_ID_MSIX) & regs.PCI_MSIX_FLAGS_ENABLE)
        expect.equal("MSI enabled in the device", msi, self.state.mode == MSI)
        expect.equal("MSI-X enabled in the device", msix, self.state.mode == MSIX)

    def silence(self) -> None:
        """Turn everything off, whatever is on, and close the eventfds."""
        for index in (INTX, MSI, MSIX, ERR, REQ):
            if index == INTX:
                self.device.try_set_irqs(INTX, NONE | UNMASK, 0, 1)
            self.device.try_set_irqs(index, NONE | TRIGGER)
        own: list[File] = [*self.events.values(), *self._free, self._other]
        self.port.run([o.Close(f.handle) for f in {f.handle: f for f in own}.values()])
        if self.unmask is not None:
            self.unmask.close()

    def prove(self) -> None:
        """See what is on by its effects: check(), and loopback of each interrupt alone."""
        self.check()
        sources = [(self.state.mode, n) for n in sorted(self.state.vectors)]
        if self.state.mode == INTX:
            sources = [(INTX, 0)]
        self.apply(
            *(Request(i, NONE | TRIGGER, n, 1) for i, n in sources if i is not None),
            *(Request(i, NONE | TRIGGER, 0, 1) for i in (ERR, REQ)),
        )

    def all_off(self) -> None:
        """Turn off what is on."""
        for index in (self.state.mode, *sorted(self.state.singles)):
            if index is not None:
                self.off(index)
