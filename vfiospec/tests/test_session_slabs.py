# SPDX-License-Identifier: MIT
"""Objects of the kernel's caches, counted."""

from vfiospec.session.slabs import small_caches


def test_the_small_caches_of_kmalloc_are_counted_whatever_their_kind() -> None:
    """Not what has caches of its own, nor what is large."""
    small = ["kmalloc-8", "kmalloc-cg-96", "kmalloc-rnd-07-512"]
    others = ["kmalloc-1k", "task_struct", "dma-kmalloc-64", "kmalloc-4096", ":0000096"]
    assert small_caches([*others, *small]) == small
