# SPDX-License-Identifier: MIT
"""Functions a reproducer may need: only those its calls use are written into it."""

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

_SOURCE = Path(__file__).with_name("c_helpers.c")
_HEADERS = {
    "dirent.h": r"\bopendir\b", "errno.h": r"\berrno\b", "fcntl.h": r"\b(?:open|fcntl)\(|\bO_\w+",
    "linux/types.h": r"\b__[us]\d+\b", "poll.h": r"\bpoll\(", "pthread.h": r"\bpthread_\w+",
    "setjmp.h": r"\bsig\w*jmp\w*", "signal.h": r"\bSIG[A-Z]+\b|\bkill\(",
    "stdarg.h": r"\bva_list\b",
    "stdio.h": r"\bprintf\b", "stdlib.h": r"\bexit\(", "string.h": r"\b(?:mem|str)\w+\(",
    "sys/eventfd.h": r"\beventfd\(", "sys/ioctl.h": r"\bioctl\(", "sys/mman.h": r"\bm(?:un)?map\(",
    "sys/resource.h": r"\bsetrlimit\(", "sys/socket.h": r"\bsocketpair\(|\bshutdown\(|\bmsghdr\b",
    "sys/syscall.h": r"\bSYS_\w+", "sys/uio.h": r"\biovec\b", "sys/wait.h": r"\bwaitpid\(",
    "unistd.h": r"\b(?:close|read|write|fork|access|pread|pwrite|readlink|usleep|syscall)\(",
}  # fmt: skip
_NAME = re.compile(r"^static [^;=(]*?\b(\w+)\(|^struct (\w+) \{|^static [^;(]*?\*?(\w+)(?:\[|;)|"
                   r"^enum \{ (\w+)|^#define (\w+)", re.MULTILINE)  # fmt: skip


@lru_cache(maxsize=1)
def _pieces() -> list[tuple[frozenset[str], str]]:
    """Each helper with the names it defines; what stands together without a blank line is one."""
    pieces: list[tuple[frozenset[str], str]] = []
    depth, lines = 0, list[str]()
    source = _SOURCE.read_text(encoding="utf-8").partition("\n\n")[2]
    for line in [*source.splitlines(), ""]:
        depth += line.count("{") - line.count("}")
        if line or depth:
            lines.append(line)
            continue
        body = "\n".join(lines)
        names = {name for found in _NAME.findall(body) for name in found if name}
        names |= {
            name for enum in re.findall(r"^enum \{ (.*) \};", body) for name in enum.split(", ")
        }
        pieces.append((frozenset(names), body))
        lines = []
    return pieces


def needed(code: str) -> list[str]:
    """The helpers that code uses, and those they use, in an order that compiles."""
    pieces = _pieces()
    wanted: set[int] = set()
    texts = [code]
    while texts:
        words = set(re.findall(r"\w+", _without_strings(texts.pop())))
        for at, (names, body) in enumerate(pieces):
            if at not in wanted and names & words:
                wanted.add(at)
                texts.append(body)
    return [pieces[at][1] for at in sorted(wanted)]


def headers(code: str) -> Iterable[str]:
    """The system headers that code needs."""
    plain = _without_strings(code)
    return [name for name, pattern in _HEADERS.items() if re.search(pattern, plain)]


def _without_strings(code: str) -> str:
    return re.sub(r'"(?:[^"\\]|\\.)*"|/\*.*?\*/', "", code, flags=re.DOTALL)
