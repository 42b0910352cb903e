# SPDX-License-Identifier: MIT
"""How long each capability is, by the PCI specifications; which ones vfio-pci shows at all."""

from vfiospec.abi import pci

# Capabilities of one length. What is in no table here is hidden from the list.
FIXED = {
    pci.PCI_CAP_ID_PM: pci.PCI_PM_SIZEOF,
    pci.PCI_CAP_ID_AGP: pci.PCI_AGP_SIZEOF,
    pci.PCI_CAP_ID_VPD: pci.PCI_CAP_VPD_SIZEOF,
    pci.PCI_CAP_ID_MSIX: pci.PCI_CAP_MSIX_SIZEOF,
    pci.PCI_CAP_ID_AF: pci.PCI_CAP_AF_SIZEOF,
}
EXTENDED_FIXED = {
    pci.PCI_EXT_CAP_ID_ERR: pci.PCI_ERR_ROOT_COMMAND,
    pci.PCI_EXT_CAP_ID_DSN: pci.PCI_EXT_CAP_DSN_SIZEOF,
    pci.PCI_EXT_CAP_ID_PWR: pci.PCI_EXT_CAP_PWR_SIZEOF,
    pci.PCI_EXT_CAP_ID_ARI: pci.PCI_EXT_CAP_ARI_SIZEOF,
    pci.PCI_EXT_CAP_ID_ATS: pci.PCI_EXT_CAP_ATS_SIZEOF,
    pci.PCI_EXT_CAP_ID_SRIOV: pci.PCI_EXT_CAP_SRIOV_SIZEOF,
    pci.PCI_EXT_CAP_ID_MCAST: pci.PCI_EXT_CAP_MCAST_ENDPOINT_SIZEOF,
    pci.PCI_EXT_CAP_ID_PRI: pci.PCI_EXT_CAP_PRI_SIZEOF,
    pci.PCI_EXT_CAP_ID_LTR: pci.PCI_EXT_CAP_LTR_SIZEOF,
}
_EXP_ENDPOINT_V2 = 0x34  # the header's constant of this name grew and shrank with the kernels
_MSI, _MSI_WIDE, _MSI_MASKED = 10, 4, 10  # 32-bit; what 64 bits add; what mask bits add


def number(data: bytes, at: int, width: int) -> int:
    """A little-endian number in bytes."""
    return int.from_bytes(data[at : at + width], "little")


def length(config: bytes, kind: int, at: int) -> int:  # noqa: PLR0911 -- one for each kind
    """Bytes of the capability of this kind at an offset; 0 if it is hidden."""
    if kind in FIXED:
        return FIXED[kind]
    if kind == pci.PCI_CAP_ID_MSI:
        flags = number(config, at + pci.PCI_MSI_FLAGS, 2)
        wide = _MSI_WIDE if flags & pci.PCI_MSI_FLAGS_64BIT else 0
        return _MSI + wide + (_MSI_MASKED if flags & pci.PCI_MSI_FLAGS_MASKBIT else 0)
    if kind == pci.PCI_CAP_ID_EXP:
        return _express(number(config, at + pci.PCI_EXP_FLAGS, 2))
    if kind == pci.PCI_CAP_ID_VNDR:
        return config[at + pci.PCI_CAP_FLAGS]
    if kind == pci.PCI_CAP_ID_PCIX:
        second = number(config, at + pci.PCI_X_CMD, 2) >> 12 & 3
        return pci.PCI_CAP_PCIX_SIZEOF_V2 if second else pci.PCI_CAP_PCIX_SIZEOF_V0
    if kind == pci.PCI_CAP_ID_HT:
        secondary = config[at + 3] & pci.HT_3BIT_CAP_MASK
        return pci.HT_CAP_SIZEOF_SHORT if secondary else pci.HT_CAP_SIZEOF_LONG
    if kind == pci.PCI_CAP_ID_SATA:
        inline = config[at + pci.PCI_SATA_REGS] & pci.PCI_SATA_REGS_MASK
        long = inline == pci.PCI_SATA_REGS_INLINE
        return pci.PCI_SATA_SIZEOF_LONG if long else pci.PCI_SATA_SIZEOF_SHORT
    return 0


def _express(flags: int) -> int:
    integrated = (flags & pci.PCI_EXP_FLAGS_TYPE) >> 4 == pci.PCI_EXP_TYPE_RC_END
    if flags & pci.PCI_EXP_FLAGS_VERS == 1:
        without, whole = pci.PCI_CAP_EXP_RC_ENDPOINT_SIZEOF_V1, pci.PCI_CAP_EXP_ENDPOINT_SIZEOF_V1
    else:
        without, whole = pci.PCI_CAP_EXP_RC_ENDPOINT_SIZEOF_V2, _EXP_ENDPOINT_V2
    return without if integrated else whole


def extended_length(config: bytes, kind: int, at: int) -> int:  # noqa: PLR0911 -- as above
    """Bytes of the extended capability of this kind at an offset; 0 if it is hidden."""
    if kind in EXTENDED_FIXED:
        return EXTENDED_FIXED[kind]
    first = number(config, at + 4, 4)  # where each of those below says how long it is
    if kind in {pci.PCI_EXT_CAP_ID_VNDR, pci.PCI_EXT_CAP_ID_DVSEC}:
        return first >> 20
    if kind in {pci.PCI_EXT_CAP_ID_VC, pci.PCI_EXT_CAP_ID_VC9, pci.PCI_EXT_CAP_ID_MFVC}:
        return _channels(first, number(config, at + pci.PCI_VC_PORT_CAP2, 4))
    if kind == pci.PCI_EXT_CAP_ID_ACS:
        bits = config[at + pci.PCI_ACS_EGRESS_BITS] or 256
        return 8 + (-(-bits // 32) * 4 if first & pci.PCI_ACS_EC else 0)
    if kind == pci.PCI_EXT_CAP_ID_REBAR:
        control = number(config, at + pci.PCI_REBAR_CTRL, 4)
        return 4 + 8 * ((control & pci.PCI_REBAR_CTRL_NBAR_MASK) >> pci.PCI_REBAR_CTRL_NBAR_SHIFT)
    if kind == pci.PCI_EXT_CAP_ID_DPA:
        return pci.PCI_DPA_BASE_SIZEOF + (first & pci.PCI_DPA_CAP_SUBSTATE_MASK) + 1
    if kind == pci.PCI_EXT_CAP_ID_TPH:
        table = first & pci.PCI_TPH_CAP_LOC_MASK == pci.PCI_TPH_LOC_CAP
        entries = ((first & pci.PCI_TPH_CAP_ST_MASK) >> pci.PCI_TPH_CAP_ST_SHIFT) + 1
        return pci.PCI_TPH_BASE_SIZEOF + (2 * entries if table else 0)
    return 0


def _channels(first: int, second: int) -> int:
    """Virtual channels: the registers of each, then the arbitration table behind them."""
    channels = 1 + (first & pci.PCI_VC_CAP1_EVCC)
    size = pci.PCI_CAP_VC_BASE_SIZEOF + channels * pci.PCI_CAP_VC_PER_VC_SIZEOF
    for flag, phases in (
        (pci.PCI_VC_CAP2_128_PHASE, 128),
        (pci.PCI_VC_CAP2_64_PHASE, 64),
        (pci.PCI_VC_CAP2_32_PHASE, 32),
    ):
        if second & flag:
            return -(-size // 16) * 16 + phases // 2  # four bits for each phase
    return size
