# SPDX-License-Identifier: MIT
"""The kernel's own selftests of VFIO, run in the same guest on the same devices: to compare."""

from vfiospec.lab.selftests.host import run

__all__ = ["run"]
