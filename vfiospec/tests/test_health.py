# SPDX-License-Identifier: MIT
"""The kernel's health: which lines of its log are trouble, and what a look asks and keeps."""

from errno import ENOENT, EPERM

import pytest

from vfiospec.device import ops as o
from vfiospec.device.ops import AnyOp, FixupKind, Reply
from vfiospec.session.health import LOCKDEP, TAINTED, Health, HealthMonitor
from vfiospec.tests.made_up_port import MadeUpPort

TROUBLE = [
    "BUG: unable to handle page fault for address: ffffc90000000000",
    "BUG: KASAN: slab-out-of-bounds in vfio_pci_rw+0x1a3/0x200 [vfio_pci_core]",
    "BUG: KFENCE: use-after-free read in vfio_unmap+0x10/0x20",
    "BUG: sleeping function called from invalid context at mm/slab.h:413",
    "BUG: Bad page state in process qemu  pfn:1f000",
    "BUG kmalloc-64 (Not tainted): Right Redzone overwritten",
    "WARNING: CPU: 0 PID: 91 at drivers/vfio/vfio_main.c:120 vfio_x+0x5/0x10 [vfio]",
    "WARNING: possible circular locking dependency detected",
    "WARNING: possible recursive locking detected",
    "WARNING: suspicious RCU usage",
    "INFO: possible recursive locking detected",
    "INFO: trying to register non-static key.",
    "DEBUG_LOCKS_WARN_ON(lock->magic != lock)",
    "INFO: task vfio:812 blocked for more than 120 seconds.",
    "INFO: rcu_sched self-detected stall on CPU",
    "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
    "watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [vfio:99]",
    "watchdog: Watchdog detected hard LOCKUP on cpu 1",
    "NMI watchdog: Watchdog detected hard LOCKUP on cpu 1",
    "UBSAN: array-index-out-of-bounds in drivers/vfio/pci/vfio_pci_core.c:44:3",
    "Oops: 0002 [#1] PREEMPT SMP",
    "Oops: general protection fault, probably for non-canonical address 0xdead: 0000 [#1]",
    "general protection fault, probably for non-canonical address 0xdead: 0000 [#1]",
    "kernel BUG at mm/slub.c:379!",
    "Kernel panic - not syncing: Fatal exception",
    "divide error: 0000 [#1] SMP",
    "Unable to handle kernel NULL pointer dereference at virtual address 0000000000000008",
    "refcount_t: underflow; use-after-free.",
    "list_del corruption. prev->next should be ffff888003a1c0f0, but was 0000000000000000",
    "vfio-pci 0000:00:14.0: Runtime PM usage count underflow!",
    "kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
]
FAULTS = [
    "DMAR: DRHD: handling fault status reg 3",
    "DMAR: [DMA Write NO_PASID] Request device [00:15.0] fault addr 0x1000 [fault reason 0x05]",
    "AMD-Vi: Event logged [IO_PAGE_FAULT device=00:15.0 domain=0x0001 address=0x1000]",
    "vfio-pci 0000:00:15.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x0001 address=0x1000]",
]
ORDINARY = [
    "vfio-pci 0000:00:14.0: enabling device (0000 -> 0003)",
    "vfio-pci 0000:00:1b.0: vgaarb: VGA decodes changed: olddecodes=io+mem,decodes=none",
    "vfio_cap_init: 0000:00:14.0 hiding cap 0x10",
    "DMAR: Intel(R) Virtualization Technology for Directed I/O",
    "AMD-Vi: AMD IOMMUv2 loaded and initialized",
    "traps: test[99] general protection fault ip:55d0c0 sp:7ffd error:0 in test[55d000+1000]",
    "INFO: NMI handler (perf_event_nmi_handler) took too long to run: 1.2 msecs",
    "rcu: Hierarchical SRCU implementation.",
    "perf: interrupt took too long, it says BUG: and WARNING: further on",
    "user said: Kernel panic",
]
OUT_OF_THE_WAY = ["6,1,5,-;", " SUBSYSTEM=pci", " DEVICE=+pci:0000:00:14.0", "garbage"]


class Kernel:
    """A made-up kernel: its taint, its log, and whether it shows the log."""

    def __init__(self, *, hides_log: bool = False) -> None:
        self.taint = b"0\n"
        self.log: list[str] = []
        self.hides_log = hides_log
        self.port = MadeUpPort(self.answer)

    def says(self, *lines: str) -> None:
        self.log += [f"6,{number},5140900,-;{line}" for number, line in enumerate(lines)]

    def answer(self, op: AnyOp) -> Reply:
        match op:
            case o.Open(path="/dev/kmsg"):
                return Reply(-1, EPERM) if self.hides_log else Reply(7)
            case o.ReadFile(path=path) if path == TAINTED:
                return Reply(len(self.taint), 0, self.taint)
            case o.Drain():
                text = "\n".join(self.log).encode()
                self.log.clear()
                return Reply(len(text), 0, text)
            case o.Syscall(name="lseek"):
                return Reply()
        raise AssertionError(op)


@pytest.mark.parametrize("line", TROUBLE)
def test_trouble_is_found(line: str) -> None:
    kernel = Kernel()
    monitor = HealthMonitor(kernel.port)
    kernel.says(ORDINARY[0], line, ORDINARY[1])
    health = monitor.look()
    assert health.trouble == [line]
    assert health.log == [ORDINARY[0], line, ORDINARY[1]]


@pytest.mark.parametrize("line", ORDINARY)
def test_ordinary_lines_are_no_trouble(line: str) -> None:
    kernel = Kernel()
    monitor = HealthMonitor(kernel.port)
    kernel.says(line)
    assert monitor.look() == Health(0, [line])
    assert Health(0, [line]).trouble == []


@pytest.mark.parametrize("line", FAULTS)
def test_faults_of_the_iommu_are_apart(line: str) -> None:
    """A stray DMA is what an IOMMU is for: noted, and no trouble of the kernel."""
    kernel = Kernel()
    monitor = HealthMonitor(kernel.port)
    kernel.says(line, TROUBLE[0])
    health = monitor.look()
    assert (health.dmar, health.log) == ([line], [TROUBLE[0]])


def test_a_look_tells_what_is_new() -> None:
    kernel = Kernel()
    monitor = HealthMonitor(kernel.port)
    kernel.says(TROUBLE[0])
    assert monitor.look().trouble
    assert monitor.look() == Health(0)


def test_what_belongs_to_a_line_is_left_out() -> None:
    """Key and value lines behind a message, and what is no record; bytes that are no text stay."""
    kernel = Kernel()
    monitor = HealthMonitor(kernel.port)
    kernel.log += OUT_OF_THE_WAY
    kernel.log.append("4,17,99,c,caller=T1;a; b")
    assert monitor.look().log == ["", "a; b"]


def test_the_log_is_read_from_where_it_ends_now() -> None:
    kernel = Kernel()
    HealthMonitor(kernel.port)
    opened, seek = kernel.port.asked[:2]
    assert isinstance(opened, o.Open)
    assert isinstance(seek, o.Syscall)
    assert seek.args == (o.Fixup(0, FixupKind.FD, opened.out), 0, 2)


def test_a_change_of_taint_is_told() -> None:
    kernel = Kernel()
    kernel.taint = b"512\n"
    monitor = HealthMonitor(kernel.port)
    assert monitor.taint == 512
    assert monitor.look().taint == 512
    kernel.taint = b"640\n"
    assert monitor.look().taint == 640
    assert monitor.taint == 512  # whoever judges decides what is known from here on


def test_a_kernel_that_hides_its_log_is_watched_by_taint() -> None:
    kernel = Kernel(hides_log=True)
    monitor = HealthMonitor(kernel.port)
    kernel.taint = b"128\n"
    assert monitor.look() == Health(128)
    assert not [op for op in kernel.port.asked if isinstance(op, o.Drain | o.Syscall)]


def test_a_kernel_without_taint_has_none() -> None:
    port = MadeUpPort(lambda _: Reply(-1, ENOENT))
    assert HealthMonitor(port).taint == 0


@pytest.mark.parametrize(
    ("stats", "unwatched"),
    [
        (b" lock-classes:  1290 [max: 8192]\n debug_locks:                             0\n", True),
        (b" lock-classes:  1290 [max: 8192]\n debug_locks:                             1\n", False),
        (
            b" hardirq on events:              10\n debug_locks:                            10\n",
            False,
        ),
        (None, False),
    ],
    ids=["off", "on", "another-number", "without-lockdep"],
)
def test_lockdep_that_is_off(stats: bytes | None, unwatched: bool) -> None:  # noqa: FBT001
    def answer(op: AnyOp) -> Reply:
        told = stats if op == o.ReadFile(LOCKDEP) else None
        return Reply(-1, ENOENT) if told is None else Reply(len(told), 0, told)

    port = MadeUpPort(answer)
    monitor = HealthMonitor(port)
    port.steps.clear()
    assert monitor.locks_unwatched() is unwatched
    assert port.steps == []


def test_a_look_leaves_no_trace_in_the_transcript() -> None:
    kernel = Kernel()
    monitor = HealthMonitor(kernel.port)
    kernel.port.steps.clear()
    kernel.port.do(o.ReadFile(TAINTED))
    monitor.look()
    assert kernel.port.steps == [(o.ReadFile(TAINTED), Reply(2, 0, b"0\n"))]
