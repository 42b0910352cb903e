# SPDX-License-Identifier: MIT
"""Frames of a kernel's stack traces, and which of them say nothing about who is to blame."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

# Helpers that many callers share, and the machinery that reports: a title names whoever called
# them. Each is a whole name of a function, as a regular expression.
GENERIC = (
    # the machinery of reports
    r"_*dump_stack(_lvl)?", r"show_stack", r"print_(address_description|report)(\.\w+)*",
    r"_*kasan_.*", r"kfence_.*", r"check_(memory_region|region_inline).*", r"end_report",
    r"_*asan_.*", r"_*hwasan_.*", r"_*ubsan_.*", r"ubsan_epilogue", r"_*warn", r"_*warn_printk",
    r"report_bug", r"handle_bug", r"(asm_)?exc_.*", r"fixup_exception", r"_*die.*", r"oops_.*",
    r"page_fault_oops", r"no_context", r"_*bad_area.*", r"do_(user|kern)_addr_fault", r"panic",
    r"error_entry", r"do_error_trap", r"do_trap.*", r"check_preemption_disabled", r"__might_.*",
    r"print_(circular_bug|usage_bug|deadlock_bug|unlock_imbalance_bug|lock).*", r"lockdep_.*",
    r"debug_(object|check_no|print_object|mutex|locks).*", r"slab_(bug|err|pad_check)",
    r"object_err", r"check_(bytes_and_report|slab|object|poison_obj).*",
    r"free_(to_partial_list|debug_processing).*",
    # memory
    r"_*mem(cpy|set|move|cmp|dup|chr|zero|scan).*", r"_*str(n?cpy|n?len|n?cmp|scpy|chr).*",
    r"k?v?m?free.*", r"_*k[mzv]*alloc.*", r"_*slab_(alloc|free).*", r"slab_(post|free|alloc).*",
    r"_*kmem_cache_.*", r"_*kmalloc_.*", r"___cache_free", r"do_slab_free", r"qlist_.*",
    r"vmalloc.*", r"_*vfree.*", r"_*(raw_)?copy_(from|to)_(user|iter).*", r"_copy_.*",
    r"_*get_user.*", r"_*put_user.*", r"rep_movs.*", r"_*check_(object_size|heap_object).*",
    r"usercopy_abort",
    # counters, lists, locks, waiting
    r"refcount_.*", r"_*kref_.*", r"_*list_(add|del|move).*", r"_*hlist_.*", r"_*list_.*_valid.*",
    r"_*atomic(64)?_.*", r"arch_atomic.*", r"_*x(add|chg).*",
    r"_*(raw_)?(spin|read|write|rw)_(un)?(try)?lock.*", r"_*raw_spin_.*", r"do_raw_.*",
    r"queued_.*", r"native_queued_.*", r"(rt_)?mutex_.*", r"_*mutex_.*",
    r"_*(down|up)(_read|_write)?(_.*)?", r"rwsem_.*", r"_*lock_(acquire|release).*",
    r"_*lock_(is|set|map).*", r"(mark|check)_(lock|prev|noncircular|wait|deadlock).*",
    r"validate_chain", r"_*schedule(_.*)?", r"_*wait_for_(completion|common).*", r"_*wake_up.*",
    r"do_wait_for_common", r"try_to_wake_up", r"context_switch", r"prepare_to_wait.*",
    r"finish_wait", r"(add|remove)_wait_queue.*", r"io_schedule.*", r"preempt_.*",
    r"_*cond_resched.*",
    # accesses to devices, tests of bits
    r"io(read|write)(8|16|32|64)(be)?(_rep)?", r"_*(read|write)[bwlq](_relaxed)?",
    r"_*(test|set|clear|change|find)(_and_(set|clear|change))?(_next|_first|_last)?(_zero)?_bit.*",
    r"instrument_.*", r"_*(in|out)[bwl]", r"_*bitmap_.*",
    # eventfds, which are everybody's
    r"eventfd_(signal|ctx|free)[\w]*", r"_*fput.*", r"fdput", r"fget.*",
)  # fmt: skip
_GENERIC = re.compile("|".join(f"(?:{one})" for one in GENERIC))

# "func+0x12/0x40 [module]", with what stands before it in the several forms of a trace.
_FRAME = re.compile(
    r"^\s*(?:\[<[0-9a-fx]+>\]\s*)?(?P<guess>\?\s+)?"
    r"(?P<function>[A-Za-z_.][\w.]*)\+(?P<offset>0x[0-9a-f]+)/(?P<size>0x[0-9a-f]+)"
    r"(?:\s+(?P<place>\S+:\d+))?(?:\s+\[(?P<module>[\w-]+)[^\]]*\])?"
)
_RIP = re.compile(r"\b(?:RIP|pc)\s*: (?:[0-9a-f]+:)?(?P<frame>\S.*)")
_SUFFIX = re.compile(r"\.(?:constprop|isra|part|cold|llvm)(?:\.\d+)*")


@dataclass(frozen=True, slots=True)
class Frame:
    """One line of a stack trace. `guess`: the kernel found it on the stack and is not sure."""

    function: str
    offset: int
    size: int
    module: str = ""
    guess: bool = False

    @property
    def name(self) -> str:
        """The function as it is called in the source."""
        return _SUFFIX.sub("", self.function)

    @property
    def generic(self) -> bool:
        """Whether it says nothing about who is to blame."""
        return _GENERIC.fullmatch(self.name) is not None

    def __str__(self) -> str:
        """As the kernel prints it."""
        module = f" [{self.module}]" if self.module else ""
        return f"{self.function}+{self.offset:#x}/{self.size:#x}{module}"


def parse(text: str) -> Frame | None:
    """The frame a line of a trace holds, `RIP:` lines included; None if it holds none."""
    rip = _RIP.search(text)
    match = _FRAME.match(rip["frame"] if rip else text)
    if match is None:
        return None
    return Frame(
        function=match["function"],
        offset=int(match["offset"], 16),
        size=int(match["size"], 16),
        module=match["module"] or "",
        guess=match["guess"] is not None,
    )


def culprit(frames: Iterable[Frame]) -> str:
    """The first function that is not generic; without one the first at all; empty if none."""
    sure = [frame for frame in frames if not frame.guess]
    telling = next((frame.name for frame in sure if not frame.generic), "")
    return telling or next((frame.name for frame in sure), "")
