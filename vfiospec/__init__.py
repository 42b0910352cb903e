# SPDX-License-Identifier: MIT
"""Conformance and fuzz suite for the Linux VFIO user ABI."""

__version__ = "0.1.0"
