# SPDX-License-Identifier: MIT
"""Titles of crashes, from what kernels of several versions print."""

import pytest

from vfiospec.fuzzing import titles
from vfiospec.fuzzing.frames import culprit, parse

KASAN = """\
[   21.100000] ==================================================================
[   21.100100] BUG: KASAN: slab-use-after-free in eventfd_signal_mask+0x2c/0x110
[   21.100200] Read of size 8 at addr ffff888005c1a008 by task init/83
[   21.100300]
[   21.100400] CPU: 0 UID: 0 PID: 83 Comm: init Not tainted 7.3.4-fuzz #1 PREEMPT
[   21.100500] Call Trace:
[   21.100600]  <TASK>
[   21.100700]  dump_stack_lvl+0x4b/0x70
[   21.100800]  print_report+0xd1/0x610
[   21.100900]  ? __virt_addr_valid+0x1c/0x20
[   21.101000]  kasan_report+0xce/0x100
[   21.101100]  eventfd_signal_mask+0x2c/0x110
[   21.101200]  vfio_msihandler.constprop.0+0x1e/0x30 [vfio_pci_core]
[   21.101300]  vfio_pci_core_ioctl+0x12/0x40 [vfio_pci_core]
[   21.101400]  </TASK>
[   21.101500]
[   21.101600] Allocated by task 83:
[   21.101700]  kasan_save_stack+0x20/0x40
[   21.101800]  do_eventfd+0x50/0x120
[   21.101900] ==================================================================
"""

NULL_6_1 = """\
[    9.1] BUG: kernel NULL pointer dereference, address: 0000000000000010
[    9.2] #PF: supervisor write access in kernel mode
[    9.3] #PF: error_code(0x0002) - not-present page
[    9.4] Oops: 0002 [#1] PREEMPT SMP NOPTI
[    9.5] RIP: 0010:vfio_pci_ioeventfd+0x11e/0x2c0 [vfio_pci_core]
[    9.6] Code: 00 00
[    9.7] Call Trace:
[    9.8]  <TASK>
[    9.9]  ? __die_body.cold+0x1a/0x1f
[   10.0]  vfio_device_fops_unl_ioctl+0x5c/0x770 [vfio]
[   10.1] RIP: 0033:0x42a1b7
[   10.2] ---[ end trace 0000000000000000 ]---
[   10.3] Kernel panic - not syncing: Fatal exception
"""

LOCKDEP = """\
======================================================
WARNING: possible circular locking dependency detected
7.3.4-fuzz #1 Not tainted
------------------------------------------------------
init/83 is trying to acquire lock:
ffff888003a5c9a8 (&vdev->igate){+.+.}-{4:4}, at: vfio_pci_set_irqs_ioctl+0x3c/0x110

but task is already holding lock:
ffff888003a5c9a8 (&vdev->memory_lock){+.+.}-{4:4}, at: vfio_pci_core_ioctl+0x3c/0x110
stack backtrace:
Call Trace:
 dump_stack_lvl+0x4b/0x70
"""

ONE_OF_EACH = [
    (KASAN, "KASAN: slab-use-after-free Read in vfio_msihandler"),
    (NULL_6_1, "BUG: NULL pointer dereference Write in vfio_pci_ioeventfd"),
    (LOCKDEP, "possible deadlock in vfio_pci_set_irqs_ioctl"),
    (
        (
            "Oops: general protection fault, probably for non-canonical address 0xdffffc00\n"
            "KASAN: null-ptr-deref in range [0x0-0x7]\n"
            "RIP: 0010:vfio_bar_restore+0x12/0x60\n"
        ),
        "general protection fault in vfio_bar_restore",
    ),
    (
        (
            "------------[ cut here ]------------\n"
            "refcount_t: underflow; use-after-free.\n"
            "WARNING: CPU: 0 PID: 83 at lib/refcount.c:28 refcount_warn_saturate+0xba/0x110\n"
            "RIP: 0010:refcount_warn_saturate+0xba/0x110\n"
            "Call Trace:\n <TASK>\n kref_put+0x1/0x2\n vfio_group_fops_release+0x1/0x2 [vfio]\n"
        ),
        "refcount: underflow in vfio_group_fops_release",
    ),
    (
        "WARNING: CPU: 0 PID: 83 at drivers/vfio/vfio_main.c:391 vfio_device_put+0xba/0x110 [vfio]",
        "WARNING in vfio_device_put",
    ),
    (
        "WARNING: drivers/vfio/container.c:391 at vfio_group_detach+0xba/0x110, CPU#0: init/83",
        "WARNING in vfio_group_detach",
    ),
    (
        (
            "list_del corruption, ffff888003a5c9a8->next is LIST_POISON1 (dead000000000100)\n"
            "------------[ cut here ]------------\n"
            "kernel BUG at lib/list_debug.c:56!\n"
            "Oops: invalid opcode: 0000 [#1] SMP KASAN\n"
            "RIP: 0010:__list_del_entry_valid_or_report+0xba/0x110\n"
            "Call Trace:\n vfio_pci_ioeventfd_do_write+0x1/0x2\n"
        ),
        "BUG: list_del corruption in vfio_pci_ioeventfd_do_write",
    ),
    (
        (
            "kernel BUG at drivers/vfio/vfio_iommu_type1.c:1234!\n"
            "invalid opcode: 0000 [#1] PREEMPT SMP\n"
            "RIP: 0010:vfio_unmap_unpin+0x1/0x2\n"
        ),
        "kernel BUG in vfio_unmap_unpin",
    ),
    (
        (
            "UBSAN: array-index-out-of-bounds in drivers/vfio/pci/vfio_pci_core.c:1100:28\n"
            "index 9 is out of range for type 'u8 [9]'\n"
            "Call Trace:\n dump_stack_lvl+0x1/0x2\n __ubsan_handle_out_of_bounds+0x1/0x2\n"
            " vfio_pci_ioctl_get_region_info+0x1/0x2\n---[ end trace ]---\n"
        ),
        "UBSAN: array-index-out-of-bounds in vfio_pci_ioctl_get_region_info",
    ),
    (
        (
            "INFO: task init:83 blocked for more than 120 seconds.\n"
            "Call Trace:\n __schedule+0x1/0x2\n schedule+0x1/0x2\n"
            " vfio_unregister_group_dev+0x1/0x2\n"
        ),
        "task hung in vfio_unregister_group_dev",
    ),
    (
        (
            "watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [init:83]\n"
            "RIP: 0010:vfio_iommu_type1_unmap+0x1/0x2\n"
        ),
        "soft lockup in vfio_iommu_type1_unmap",
    ),
    (
        (
            "vfiospec: the operation under way is past its deadline\n"
            "vfiospec: stuck in [<0>] wait_for_completion+0x1/0x2\n"
            "vfiospec: stuck in [<0>] vfio_unregister_group_dev+0x98/0x1a0 [vfio]\n"
        ),
        "task hung in vfio_unregister_group_dev",
    ),
    (
        (
            "BUG: sleeping function called from invalid context at mm/slab.h:321\n"
            "Call Trace:\n __might_resched+0x1/0x2\n vfio_intx_set_signal+0x1/0x2\n"
        ),
        "BUG: sleeping function called from invalid context in vfio_intx_set_signal",
    ),
    (
        (
            "BUG: memory leak\nunreferenced object 0xffff888003a5c9a8 (size 64):\n"
            "  backtrace (crc 0):\n    kmalloc_trace+0x1/0x2\n    vfio_pci_ioeventfd+0x1/0x2\n"
        ),
        "memory leak in vfio_pci_ioeventfd",
    ),
    (
        "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000009",
        "panic: Attempted to kill init!",
    ),
]


@pytest.mark.parametrize(
    ("console", "title"), ONE_OF_EACH, ids=[f"{n}-{t}" for n, (_, t) in enumerate(ONE_OF_EACH)]
)
def test_a_report_has_one_title(console: str, title: str) -> None:
    """From a console as from a kernel log, whose lines have other stamps."""
    assert [one.title for one in titles.find_reports(console)] == [title]
    as_log = "\n".join(f"4,{i},100,-;{titles.plain(x)}" for i, x in enumerate(console.splitlines()))
    assert [one.title for one in titles.find_reports(as_log)] == [title]


def test_several_reports_of_one_console() -> None:
    """In order, one of each title; what an oops drags after itself is no report of its own."""
    found = titles.find_reports(KASAN + "\nnoise\n" + NULL_6_1 + KASAN)
    assert [one.kind for one in found] == ["KASAN", "BUG"]
    assert "Allocated by task 83:" in found[0].lines
    assert "do_eventfd" in found[0].text
    assert "supervisor write" not in found[0].text


@pytest.mark.parametrize(
    "line",
    [
        "DMAR: [DMA Read NO_PASID] Request device [00:15.0] fault addr 0x0 [fault reason 0x06]",
        "DMAR: DRHD: handling fault status reg 2",
        "vfio-pci 0000:00:14.0: Masking broken INTx support",
        "audit: a program wrote WARNING: CPU and BUG: KASAN into its log",
    ],
)
def test_what_is_no_crash(line: str) -> None:
    """Faults of the IOMMU are asked for; a report begins its line."""
    assert titles.find_reports(f"[    1.000000] {line}\n") == []


def test_a_guest_that_dies_in_silence() -> None:
    assert titles.title_of("Booting\n") == titles.LOST
    assert titles.title_of("Booting\n", titles.SILENT) == titles.SILENT
    assert titles.title_of(NULL_6_1) == "BUG: NULL pointer dereference Write in vfio_pci_ioeventfd"


def test_what_is_not_for_the_public() -> None:
    """Memory that is used after it was freed, and not a pointer that is NULL."""
    (first,) = titles.find_reports(KASAN)
    (second,) = titles.find_reports(NULL_6_1)
    assert (first.dangerous, second.dangerous) == (True, False)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (" vfio_do+0x12/0x40 [vfio_pci_core]", "vfio_do+0x12/0x40 [vfio_pci_core]"),
        (" [<ffffffff81234567>] do_one+0x1/0x2", "do_one+0x1/0x2"),
        ("RIP: 0010:vfio_x.isra.0+0x1/0x2 [vfio E]", "vfio_x.isra.0+0x1/0x2 [vfio]"),
        (" ? guessed+0x1/0x2", "guessed+0x1/0x2"),
    ],
)
def test_forms_of_a_frame(line: str, shown: str) -> None:
    frame = parse(line)
    assert str(frame) == shown
    assert frame is not None
    assert frame.guess is line.startswith(" ?")


def test_only_generic_frames() -> None:
    """Then the first of them is better than none."""
    frames = [f for f in map(parse, ("kfree+0x1/0x2", "memcpy+0x1/0x2", "? vfio_x+0x1/0x2")) if f]
    assert culprit(frames) == "kfree"
    asked = [f for f in map(parse, ("__bitmap_set+0x9/0xe", "update_user_bitmap+0x1/0x2")) if f]
    assert culprit(asked) == "update_user_bitmap"
    assert culprit([]) == ""
