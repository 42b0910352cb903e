# SPDX-License-Identifier: MIT
"""A run: what ties pytest, the bench, the rules and the results together."""
