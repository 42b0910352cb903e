# SPDX-License-Identifier: MIT
"""Kernels built for testing: a source and a profile in, a built kernel tree in the cache out."""
