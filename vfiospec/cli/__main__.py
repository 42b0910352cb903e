# SPDX-License-Identifier: MIT
"""`python -m vfiospec.cli`."""

from vfiospec.cli.app import main

main()
