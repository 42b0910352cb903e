# SPDX-License-Identifier: MIT
"""Loads, stores and copies that survive SIGBUS and SIGSEGV and report where they faulted.

A Python signal handler cannot do this: it runs after the instruction, which faults again for
ever. So the access is made by a few bytes of machine code that keep nothing on the stack, and a
handler installed with sigaction(2) makes a fault in them return to their caller.
"""

import ctypes
import mmap
import platform
import signal
import threading
from typing import Final, NamedTuple

_libc = ctypes.CDLL(None, use_errno=True)

# x86-64, System V calls: address in rdi, value or source in rsi, count in rdx.
_X86_64: Final = {
    "load1": "0fb607c3",  # movzx eax, byte [rdi]; ret
    "load2": "0fb707c3",
    "load4": "8b07c3",
    "load8": "488b07c3",
    "store1": "408837c3",  # mov [rdi], sil; ret
    "store2": "668937c3",
    "store4": "8937c3",
    "store8": "488937c3",
    "copy": "4889d1f3a4c3",  # mov rcx, rdx; rep movsb; ret
}
_SI_ADDR = 16  # siginfo_t: si_signo, si_errno, si_code, padding, then si_addr
_GREGS = 40  # ucontext_t: uc_flags, uc_link, uc_stack, then uc_mcontext.gregs
_RSP = _GREGS + 15 * 8
_RIP = _GREGS + 16 * 8
_SA_SIGINFO = 4

_Handler = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


class Fault(NamedTuple):
    """A touch that did not go through."""

    signal: int
    address: int


class TouchUnavailableError(OSError):
    """This machine's architecture has no machine code here; the executor in C serves it."""


class _Sigaction(ctypes.Structure):
    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_byte * 128),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


def _word(address: int) -> ctypes.c_uint64:
    return ctypes.c_uint64.from_address(address)


class Toucher:
    """Makes guarded accesses to this process's memory. One for each process is enough."""

    def __init__(self) -> None:
        if platform.machine() != "x86_64":
            raise TouchUnavailableError(
                f"touching mapped memory in place is not written for {platform.machine()}: "
                "use the executor in C (vfiospec/device/executor)"
            )
        self._code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self._first = ctypes.addressof(ctypes.c_char.from_buffer(self._code))
        self._call = {}
        kind = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64)
        for name, code in _X86_64.items():
            self._call[name] = kind(self._first + self._code.tell())
            self._code.write(bytes.fromhex(code))
        self._caught: dict[int, Fault] = {}
        self._keep = _Handler(self._on_fault)
        self._before: dict[int, _Sigaction] = {}
        action = _Sigaction(
            handler=ctypes.cast(self._keep, ctypes.c_void_p).value, flags=_SA_SIGINFO
        )
        for number in (signal.SIGBUS, signal.SIGSEGV):
            self._before[number] = _Sigaction()
            _libc.sigaction(int(number), ctypes.byref(action), ctypes.byref(self._before[number]))

    def _on_fault(self, number: int, info: int, context: int) -> None:
        at = _word(context + _RIP)
        if not self._first <= at.value < self._first + len(self._code):
            # Not ours: let whoever was there before see it, as the instruction runs again.
            _libc.sigaction(number, ctypes.byref(self._before[number]), None)
            return
        self._caught[threading.get_ident()] = Fault(number, _word(info + _SI_ADDR).value)
        stack = _word(context + _RSP)
        at.value = _word(stack.value).value
        stack.value += 8

    def _run(self, name: str, *args: int) -> int | Fault:
        value: int = self._call[name](*(*args, 0, 0)[:3])
        return self._caught.pop(threading.get_ident(), value)

    def load(self, address: int, width: int) -> int | Fault:
        """Read 1, 2, 4 or 8 bytes with one instruction."""
        return self._run(f"load{width}", address)

    def store(self, address: int, width: int, value: int) -> Fault | None:
        """Write 1, 2, 4 or 8 bytes with one instruction."""
        got = self._run(f"store{width}", address, value)
        return got if isinstance(got, Fault) else None

    def copy(self, to: int, source: int, size: int) -> Fault | None:
        """Copy bytes; a fault may leave a part copied."""
        got = self._run("copy", to, source, size)
        return got if isinstance(got, Fault) else None
