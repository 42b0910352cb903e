# SPDX-License-Identifier: MIT
"""Fuzzing: programs of typed operations, and what is made of their answers. Knows no engine."""
