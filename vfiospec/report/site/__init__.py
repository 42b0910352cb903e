# SPDX-License-Identifier: MIT
"""The site: pages made from any number of runs, opened straight from the file system."""
