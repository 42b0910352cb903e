# SPDX-License-Identifier: MIT
"""Tests of vfiospec itself. They need no VFIO device and no privileges."""
