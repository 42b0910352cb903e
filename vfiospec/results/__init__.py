# SPDX-License-Identifier: MIT
"""A run as JSON lines: its records (model), how they are written (writer) and read (reader)."""
