# SPDX-License-Identifier: MIT
"""The kernel's own selftests of VFIO, run in the same guest on the same devices: to compare."""
