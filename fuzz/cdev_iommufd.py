# SPDX-License-Identifier: MIT
"""A device's own file, iommufd behind it, and iommufd in the place of a container."""

from vfiospec.fuzzing.target import Target, operations

TARGET = Target(
    "cdev_iommufd",
    "devices bound to an iommufd",
    operations(
        "iommufd",
        also=(
            "race",
            "pause",
            "open cdev",
            "open iommufd",
            "open group",
            "VFIO_DEVICE_BIND",
            "VFIO_DEVICE_ATTACH",
            "VFIO_DEVICE_DETACH",
            "VFIO_DEVICE_GET_INFO",
            "VFIO_DEVICE_GET_PCI_HOT",
            "VFIO_DEVICE_PCI_HOT",
            "VFIO_IOMMU_MAP",
            "VFIO_IOMMU_UNMAP",
            "VFIO_IOMMU_GET_INFO",
            "VFIO_CHECK",
            "VFIO_SET_IOMMU",
            "VFIO_GROUP",
            "memfd",
            "raw ioctl",
            "close",
            "dup",
            "unbind",
            "bind",
            "fork",
        ),
    ),
    free=("testdev", "xhci", "virtio-rng", "edu", "rtl8139", "mtty"),
)
