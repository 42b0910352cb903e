# SPDX-License-Identifier: MIT
"""Which I/O virtual addresses are a device's to use, by what sysfs says of its group."""

from vfiospec.lab.bench import PortSysfs

Span = tuple[int, int]  # first and last address


def reserved(sysfs: PortSysfs, group: int) -> list[Span]:
    """The reserved regions of a group that are not relaxable, in order."""
    text = sysfs.read(f"/sys/kernel/iommu_groups/{group}/reserved_regions")
    lines = [line.split() for line in text.splitlines()]
    return sorted((int(a, 16), int(b, 16)) for a, b, kind in lines if kind != "direct-relaxable")


def between(regions: list[Span], end: int) -> list[Span]:
    """What is left of 0 to `end` without the regions."""
    left, start = [], 0
    for low, high in regions:
        if start < low <= end:
            left.append((start, low - 1))
        start = max(start, high + 1)
    return [*left, (start, end)] if start <= end else left
