# SPDX-License-Identifier: MIT
"""The kernel's user headers in Python: names, values, layouts. Opens nothing.

One module per header, or per part of one: import each name from where it is declared.
"""
