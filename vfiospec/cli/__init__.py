# SPDX-License-Identifier: MIT
"""The command `vfiospec`."""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command. An executor starts without the rest: where it runs may be slow."""
    if sys.argv[1:] == ["executor"]:
        from vfiospec.device import executor  # noqa: PLC0415

        executor.main()
    else:
        from vfiospec.cli import app  # noqa: PLC0415

        app.main()
