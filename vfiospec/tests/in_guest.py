# SPDX-License-Identifier: MIT
"""The steps test_e2e_bench.py takes inside a guest, as root on a kernel with real devices."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

DEVICE = Path("/sys/bus/pci/devices/0000:00:14.0")
COMMAND = [sys.executable, "-m", "vfiospec"]


def driver() -> str | None:
    """What drives the device."""
    link = DEVICE / "driver"
    return link.readlink().name if link.exists() else None


def override() -> str:
    """What is to drive it."""
    return (DEVICE / "driver_override").read_text().strip()


def vfiospec(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=False)
    sys.stdout.write(f"$ vfiospec {' '.join(words)} -> {done.returncode}\n")
    sys.stdout.write(done.stdout + done.stderr)
    return done


def main() -> None:
    """Judge in place, then die while a device is bound, then restore."""
    work = Path(sys.argv[1])
    name = DEVICE.name
    assert driver() is None
    assert override() == "(null)"
    options = ("--device", name, "--suite", "device_info")
    assert vfiospec("run", *options, "--out", str(work / "out")).returncode == 0
    assert driver() is None, "put back after the run"
    assert override() == "(null)"

    elsewhere = shlex.join([*COMMAND, "executor"])
    options = ("--device", name, "--test", "suites/device_info/test_counts.py")
    remote = vfiospec("run", *options, "--executor", elsewhere, "--out", str(work / "remote"))
    assert remote.returncode == 0
    assert driver() is None, "put back through the executor"

    process = subprocess.Popen(
        [*COMMAND, "run", *options, "--out", str(work / "killed")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 240  # Python is emulated here, and the machine may be busy
    while not (work / "killed" / "results.jsonl").exists():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert driver() == "vfio-pci", "a killed runner leaves it bound"
    restored = vfiospec("restore")
    assert restored.returncode == 0
    assert name in restored.stdout
    assert driver() is None, "restored"
    assert override() == "(null)"
    sys.stdout.write("all steps done\n")


if __name__ == "__main__":
    main()
