# SPDX-License-Identifier: MIT
"""A proof in several guests at once: a process for each share of what is to be proven."""

import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from vfiospec.lab import LabError
from vfiospec.results.proof import PROOF_FILE, Proof, merged, read


def in_parts(shares: Sequence[Sequence[str]], given: Sequence[str], folder: Path) -> Proof:
    """Prove each share in a guest of its own, by the options that name it beside those `given`.

    LabError for one that proved nothing.
    """
    began = time.monotonic()
    folders = [folder / f"part-{n}" for n in range(1, len(shares) + 1)]
    processes = [
        subprocess.Popen(  # noqa: S603
            [
                sys.executable, "-m", "vfiospec.cli", "prove", *given, *share, "--out", str(where),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # the summary is that of the whole
        )
        for share, where in zip(shares, folders, strict=True)
    ]  # fmt: skip
    try:
        for process in processes:
            process.wait()
    except KeyboardInterrupt:
        # Ctrl-C reached each of them too: they put everything back, and we wait for that.
        with suppress(KeyboardInterrupt):
            for process in processes:
                process.wait()
        raise LabError("Ctrl-C, before everything was proven") from None
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()
    parts = []
    for where in folders:
        try:
            parts.append(read(where / PROOF_FILE))
        except (OSError, ValueError) as e:
            raise LabError(f"{where}: this part proved nothing ({e}); what it said is above") from e
    return merged(parts, round(time.monotonic() - began, 1))
