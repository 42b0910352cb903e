# SPDX-License-Identifier: MIT
"""The command `vfiospec`."""

from vfiospec.cli.app import main

__all__ = ["main"]
