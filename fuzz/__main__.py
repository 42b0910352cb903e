# SPDX-License-Identifier: MIT
"""Fuzzes our own code: `python -m fuzz TARGET [libFuzzer options] [corpus folder]`, with Atheris.

Targets import no engine; this module does, and only when it runs one. Replaying the seeds needs
no engine either: vfiospec/tests/test_seeds.py. The kernel's targets are those of `vfiospec fuzz`.
"""

import importlib
import sys
from pathlib import Path

HERE = Path(__file__).parent


def targets() -> list[str]:
    """The targets there are: what has a check of its own."""
    return sorted(p.stem for p in HERE.glob("[a-z]*.py") if "\ndef check(" in p.read_text())


def main() -> None:
    """Fuzz until stopped, or for `-max_total_time=` seconds; exit 2 for an unknown target."""
    if len(sys.argv) < 2 or sys.argv[1] not in targets():  # noqa: PLR2004 -- the program's name
        sys.stderr.write(f"usage: python -m fuzz TARGET [options]: {', '.join(targets())}\n")
        sys.exit(2)
    try:
        import atheris  # noqa: PLC0415 -- only here: 3.1 has no wheel for every machine
    except ImportError:
        sys.stderr.write("fuzz: atheris is not installed: pip install 'vfiospec[fuzz]'\n")
        sys.exit(2)
    name = sys.argv[1]
    with atheris.instrument_imports(include=["vfiospec", "fuzz"]):
        target = importlib.import_module(f"fuzz.{name}")
    # libFuzzer runs its own argv[0] again for -merge and -fork, through a shell.
    command = f"{sys.executable} -m fuzz {name}"
    atheris.Setup([command, *sys.argv[2:]], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
