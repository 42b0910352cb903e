# SPDX-License-Identifier: MIT
"""Runs inside a guest: calls a second of each way to make VFIO_DEVICE_GET_INFO, as JSON."""

import ctypes
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable

import msgspec

from vfiospec.abi.vfio import VFIO_DEVICE_GET_INFO, vfio_device_info
from vfiospec.device.group import Assigned
from vfiospec.device.ports import LocalPort
from vfiospec.lab.bench import InPlaceBench

SECONDS = 1.0
_BURST = 200


def per_second(call: Callable[[], object], seconds: float = SECONDS) -> float:
    """How often something can be done in a second."""
    done, begin = 0, time.perf_counter()
    while (spent := time.perf_counter() - begin) < seconds:
        for _ in range(_BURST):
            call()
        done += _BURST
    return done / spent


def measure(bdf: str, loop: str) -> dict[str, float]:
    """Open the device in place and call its info in each way."""
    bench = InPlaceBench([bdf])
    bench.start()
    try:
        port = bench.port
        if not isinstance(port, LocalPort):
            raise TypeError("the port of a run in place is a LocalPort")
        assigned = Assigned(port, bench.devices[0].group or 0)
        device = assigned.open(bdf)
        fd = port.executor.fd_number(device.handle)
        command = [loop, str(fd), str(SECONDS)]
        c_loop = subprocess.run(  # noqa: S603
            command, pass_fds=[fd], capture_output=True, text=True, check=True
        )
        buffer = bytearray(vfio_device_info(argsz=vfio_device_info.sizeof()).pack())
        info = vfio_device_info(argsz=vfio_device_info.sizeof())
        libc = ctypes.CDLL(None, use_errno=True)
        pointer = ctypes.byref(info)

        def recorded() -> None:
            device.try_get_info()
            port.steps.clear()

        result = {
            "C loop": float(c_loop.stdout),
            "bare fcntl.ioctl": per_second(lambda: fcntl.ioctl(fd, VFIO_DEVICE_GET_INFO, buffer)),
            "bare libc.ioctl (ctypes)": per_second(
                lambda: libc.ioctl(fd, VFIO_DEVICE_GET_INFO, pointer)
            ),
            "try_get_info(), local port": per_second(recorded),
        }
        device.close()
        assigned.close()
        return result
    finally:
        bench.stop()


if __name__ == "__main__":
    answer = msgspec.json.encode(measure(sys.argv[1], sys.argv[2]))
    os.write(1, answer + b"\n")
