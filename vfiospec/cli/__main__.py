# SPDX-License-Identifier: MIT
"""`python -m vfiospec.cli`."""

from vfiospec.cli import main

main()
