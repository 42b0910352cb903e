# SPDX-License-Identifier: MIT
"""Objects of the kernel's caches, counted."""

from vfiospec.session.slabs import caches_of_calls, small_caches


def test_the_small_caches_of_kmalloc_are_counted_whatever_their_kind() -> None:
    """Not what has caches of its own, nor what is large."""
    small = ["kmalloc-8", "kmalloc-cg-96", "kmalloc-rnd-07-512"]
    others = ["kmalloc-1k", "task_struct", "dma-kmalloc-64", "kmalloc-4096", ":0000096"]
    assert small_caches([*others, *small]) == small


def test_what_a_call_may_take_is_any_cache_of_kmalloc_and_open_files() -> None:
    taken = ["kmalloc-8", "kmalloc-8k", "kmalloc-cg-64", "filp"]
    assert caches_of_calls(["dentry", *taken, "files_cache", "filp-not"]) == taken
