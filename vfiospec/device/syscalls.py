# SPDX-License-Identifier: MIT
"""Numbers of the system calls the local port makes by name (x86-64, asm/unistd_64.h).

The executor in C takes them from its compiler; test_port.py makes each call through both.
"""

from typing import Final

SYSCALLS: Final = {
    "read": 0, "write": 1, "lseek": 8, "mprotect": 10, "munmap": 11, "ioctl": 16, "pread64": 17,
    "pwrite64": 18, "readv": 19, "writev": 20, "mremap": 25, "msync": 26, "madvise": 28,
    "getpid": 39, "fcntl": 72, "ftruncate": 77, "getrlimit": 97, "setresuid": 117,
    "setresgid": 119, "capget": 125, "capset": 126, "mlock": 149, "munlock": 150, "prctl": 157,
    "setrlimit": 160, "unshare": 272, "dup3": 292, "preadv": 295, "pwritev": 296, "prlimit64": 302,
}  # fmt: skip
