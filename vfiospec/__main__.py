# SPDX-License-Identifier: MIT
"""`python -m vfiospec`: the same as the command."""

from vfiospec.cli import main

main()
