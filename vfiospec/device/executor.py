# SPDX-License-Identifier: MIT
"""The executor in Python: the local port behind standard input and output.

`python -m vfiospec.device.executor` on a lab machine, started by `ssh`, serves a run elsewhere.
"""

import os

from vfiospec.device import wire
from vfiospec.device.local import LocalExecutor, exact_reader, serve
from vfiospec.device.ports import hello_of_this_process


def main() -> None:
    """Serve until the stream ends."""
    # Whatever else prints in this process must not reach the stream.
    out = os.dup(1)
    os.dup2(2, 1)

    def write(data: bytes) -> None:
        while data:
            data = data[os.write(out, data) :]

    write(wire.encode_hello(hello_of_this_process()))
    executor = LocalExecutor()
    try:
        serve(executor, exact_reader(lambda size: os.read(0, size)), write)
    finally:
        executor.close()


if __name__ == "__main__":
    main()
