# SPDX-License-Identifier: MIT
"""include/uapi/linux/vfio_zdev.h: the capabilities of GET_INFO on an s390 PCI function."""

from vfiospec.abi.base import AbiStruct, u8, u16, u32, u64
from vfiospec.abi.vfio import vfio_info_cap_header


class vfio_device_info_cap_zpci_base(AbiStruct):
    """VFIO_DEVICE_INFO_CAP_ZPCI_BASE: the function; header.version says how far it is filled."""

    _fields_ = [
        ("header", vfio_info_cap_header),
        ("start_dma", u64),  # out: first usable DMA address
        ("end_dma", u64),  # out: last usable DMA address
        ("pchid", u16),  # out: physical channel id
        ("vfn", u16),  # out: virtual function number
        ("fmb_length", u16),  # out: bytes in the measurement block
        ("pft", u8),  # out: function type
        ("gid", u8),  # out: function group id
        ("fh", u32),  # out, version 2: function handle
        ("ccdf_err_length", u32),  # out, version 3: bytes that VFIO_DEVICE_FEATURE_ZPCI_ERROR fills
    ]


class vfio_device_info_cap_zpci_group(AbiStruct):
    """VFIO_DEVICE_INFO_CAP_ZPCI_GROUP: the group that the function is in."""

    _fields_ = [
        ("header", vfio_info_cap_header),
        ("dasm", u64),  # out: mask of the DMA address space
        ("msi_addr", u64),  # out: MSI address
        ("flags", u64),  # out: VFIO_DEVICE_INFO_ZPCI_FLAG_*
        ("mui", u16),  # out: measurement block update interval
        ("noi", u16),  # out: most MSIs
        ("maxstbl", u16),  # out: longest store block
        ("version", u8),  # out: PCI version
        ("reserved", u8),
        ("imaxstbl", u16),  # out, version 2: longest interpreted store block
    ]


VFIO_DEVICE_INFO_ZPCI_FLAG_REFRESH = 1


class vfio_device_info_cap_zpci_util(AbiStruct):
    """VFIO_DEVICE_INFO_CAP_ZPCI_UTIL; then u8 util_str[size] in EBCDIC."""

    _fields_ = [
        ("header", vfio_info_cap_header),
        ("size", u32),  # out: bytes in the string
    ]


class vfio_device_info_cap_zpci_pfip(AbiStruct):
    """VFIO_DEVICE_INFO_CAP_ZPCI_PFIP; then u8 pfip[size], the path of the function."""

    _fields_ = [
        ("header", vfio_info_cap_header),
        ("size", u32),  # out: bytes in the path
    ]
