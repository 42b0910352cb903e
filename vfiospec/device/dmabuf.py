# SPDX-License-Identifier: MIT
"""VFIO_DEVICE_FEATURE_DMA_BUF: slices of a BAR as a file."""

import os
from collections.abc import Sequence

from vfiospec.abi import vfio_feature as feature
from vfiospec.device.call import Call
from vfiospec.device.device import Device
from vfiospec.device.files import File

Slices = Sequence[tuple[int, int]]  # offset and length of each
GET = feature.VFIO_DEVICE_FEATURE_GET | feature.VFIO_DEVICE_FEATURE_DMA_BUF
HEAD = feature.FEATURE_MIN + feature.vfio_device_feature_dma_buf.sizeof()


def is_known(device: Device) -> bool:
    """Whether the kernel has the feature: 7.2 or newer with CONFIG_VFIO_PCI_DMABUF."""
    probe = feature.VFIO_DEVICE_FEATURE_PROBE | feature.VFIO_DEVICE_FEATURE_DMA_BUF
    return device.try_feature(probe).ok


def request_of(
    region: int,
    slices: Slices,
    *,
    flags: int = 0,
    open_flags: int = os.O_RDWR | os.O_CLOEXEC,
    many: int | None = None,
) -> bytes:
    """The buffer of a DMA_BUF request."""
    ranges = b"".join(feature.vfio_region_dma_range(*s).pack() for s in slices)
    number = len(slices) if many is None else many
    data = feature.vfio_device_feature_dma_buf(region, open_flags, flags, number).pack() + ranges
    return feature.vfio_device_feature(feature.FEATURE_MIN + len(data), GET).pack() + data


def try_get(device: Device, request: bytes) -> tuple[Call, File | None]:
    """Make the request; the file is None if there is none."""
    handle = device.port.handle()
    what = f"DMA_BUF, {request[feature.FEATURE_MIN :].hex(' ')[:120]}"
    call = device.try_ioctl(feature.VFIO_DEVICE_FEATURE, request, what=what, out=handle)
    return call, File(device.port, handle) if call.ok else None
