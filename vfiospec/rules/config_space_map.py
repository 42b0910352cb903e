# SPDX-License-Identifier: MIT
"""Which bits of which register are the device's and which are virtual: the rules as data.

`kept`: bits that vfio-pci holds itself; reads give what it holds, writes go no further.
`writable`: bits a write changes. What is neither reads as the device has it, and stays.
"""

from dataclasses import dataclass

from vfiospec.abi import pci

BYTE, WORD, DWORD = 0xFF, 0xFFFF, 0xFFFFFFFF


@dataclass(frozen=True)
class Register:
    """A register, by its offset in the header or in its capability."""

    name: str
    at: int
    width: int
    kept: int = 0
    writable: int = 0
    own_tests: bool = False  # a write does more than change bits: no sweep may write there


# Vendor and device are held for SR-IOV functions, which have no ids of their own. INTx disable is
# what vfio-pci masks interrupts with. The pointer, the pin and CAP_LIST are held to hide things.
HEADER = (
    Register("VENDOR_ID", pci.PCI_VENDOR_ID, 2, kept=WORD),
    Register("DEVICE_ID", pci.PCI_DEVICE_ID, 2, kept=WORD),
    Register(
        "COMMAND", pci.PCI_COMMAND, 2, kept=pci.PCI_COMMAND_INTX_DISABLE, writable=WORD,
    ),
    Register("STATUS", pci.PCI_STATUS, 2, kept=pci.PCI_STATUS_CAP_LIST),
    Register("REVISION_ID", pci.PCI_REVISION_ID, 1),
    Register("CLASS_PROG", pci.PCI_CLASS_PROG, 1),
    Register("CLASS_DEVICE", pci.PCI_CLASS_DEVICE, 2),
    Register("CACHE_LINE_SIZE", pci.PCI_CACHE_LINE_SIZE, 1, writable=BYTE),
    Register("LATENCY_TIMER", pci.PCI_LATENCY_TIMER, 1, writable=BYTE),
    Register("HEADER_TYPE", pci.PCI_HEADER_TYPE, 1),
    # Writable, but a one in it may start a self test: swept where there is none.
    Register("BIST", pci.PCI_BIST, 1, writable=BYTE),
    *(
        Register(
            f"BASE_ADDRESS_{n}", pci.PCI_BASE_ADDRESS_0 + 4 * n, 4,
            kept=DWORD, writable=DWORD, own_tests=True,
        )
        for n in range(pci.PCI_STD_NUM_BARS)
    ),
    Register("CARDBUS_CIS", pci.PCI_CARDBUS_CIS, 4),
    Register("SUBSYSTEM_VENDOR_ID", pci.PCI_SUBSYSTEM_VENDOR_ID, 2),
    Register("SUBSYSTEM_ID", pci.PCI_SUBSYSTEM_ID, 2),
    Register("ROM_ADDRESS", pci.PCI_ROM_ADDRESS, 4, kept=DWORD, writable=DWORD, own_tests=True),
    Register("CAPABILITY_LIST", pci.PCI_CAPABILITY_LIST, 1, kept=BYTE),
    Register("INTERRUPT_LINE", pci.PCI_INTERRUPT_LINE, 1, kept=BYTE, writable=BYTE),
    Register("INTERRUPT_PIN", pci.PCI_INTERRUPT_PIN, 1, kept=BYTE),
    Register("MIN_GNT", pci.PCI_MIN_GNT, 1),
    Register("MAX_LAT", pci.PCI_MAX_LAT, 1),
)  # fmt: skip

PME = pci.PCI_PM_CTRL_PME_ENABLE | pci.PCI_PM_CTRL_PME_STATUS

# The registers of capabilities that are not read-only; `next` is added to each.
CAPABILITIES: dict[int, tuple[Register, ...]] = {
    pci.PCI_CAP_ID_PM: (
        Register("PMC", pci.PCI_PM_PMC, 2, kept=pci.PCI_PM_CAP_PME_MASK),
        Register(
            "CTRL", pci.PCI_PM_CTRL, 4, kept=PME,
            writable=DWORD & ~(PME | pci.PCI_PM_CTRL_STATE_MASK), own_tests=True,
        ),
    ),
    pci.PCI_CAP_ID_VPD: (
        Register("ADDR", pci.PCI_VPD_ADDR, 2, kept=WORD, writable=WORD, own_tests=True),
        Register("DATA", pci.PCI_VPD_DATA, 4, kept=DWORD, writable=DWORD, own_tests=True),
    ),
    pci.PCI_CAP_ID_PCIX: (
        Register("CMD", pci.PCI_X_CMD, 2, writable=WORD),
        Register("ECC_CSR", pci.PCI_X_ECC_CSR, 4, writable=DWORD),
    ),
    pci.PCI_CAP_ID_EXP: (
        Register(
            "DEVCTL", pci.PCI_EXP_DEVCTL, 2,
            kept=pci.PCI_EXP_DEVCTL_BCR_FLR
            | pci.PCI_EXP_DEVCTL_PAYLOAD
            | pci.PCI_EXP_DEVCTL_READRQ,
            writable=WORD & ~pci.PCI_EXP_DEVCTL_PHANTOM, own_tests=True,
        ),
        Register("DEVCTL2", pci.PCI_EXP_DEVCTL2, 2, writable=WORD & ~pci.PCI_EXP_DEVCTL2_ARI),
    ),
    pci.PCI_CAP_ID_AF: (
        Register(
            "CTRL", pci.PCI_AF_CTRL, 1,
            kept=pci.PCI_AF_CTRL_FLR, writable=pci.PCI_AF_CTRL_FLR, own_tests=True,
        ),
    ),
}  # fmt: skip

UNCORRECTABLE = (
    pci.PCI_ERR_UNC_UND | pci.PCI_ERR_UNC_DLP | pci.PCI_ERR_UNC_SURPDN | pci.PCI_ERR_UNC_POISON_TLP
    | pci.PCI_ERR_UNC_FCP | pci.PCI_ERR_UNC_COMP_TIME | pci.PCI_ERR_UNC_COMP_ABORT
    | pci.PCI_ERR_UNC_UNX_COMP | pci.PCI_ERR_UNC_RX_OVER | pci.PCI_ERR_UNC_MALF_TLP
    | pci.PCI_ERR_UNC_ECRC | pci.PCI_ERR_UNC_UNSUP | pci.PCI_ERR_UNC_ACSV | pci.PCI_ERR_UNC_INTN
    | pci.PCI_ERR_UNC_MCBTLP | pci.PCI_ERR_UNC_ATOMEG | pci.PCI_ERR_UNC_TLPPRE
)  # fmt: skip
CORRECTABLE = (
    pci.PCI_ERR_COR_RCVR | pci.PCI_ERR_COR_BAD_TLP | pci.PCI_ERR_COR_BAD_DLLP
    | pci.PCI_ERR_COR_REP_ROLL | pci.PCI_ERR_COR_REP_TIMER | pci.PCI_ERR_COR_ADV_NFAT
    | pci.PCI_ERR_COR_INTERNAL | pci.PCI_ERR_COR_LOG_OVER
)  # fmt: skip
ECRC = pci.PCI_ERR_CAP_ECRC_GENE | pci.PCI_ERR_CAP_ECRC_CHKE

EXTENDED: dict[int, tuple[Register, ...]] = {
    pci.PCI_EXT_CAP_ID_ERR: (
        Register("UNCOR_STATUS", pci.PCI_ERR_UNCOR_STATUS, 4, writable=UNCORRECTABLE),
        Register("UNCOR_MASK", pci.PCI_ERR_UNCOR_MASK, 4, writable=UNCORRECTABLE),
        Register("UNCOR_SEVER", pci.PCI_ERR_UNCOR_SEVER, 4, writable=UNCORRECTABLE),
        Register("COR_STATUS", pci.PCI_ERR_COR_STATUS, 4, writable=CORRECTABLE),
        Register("COR_MASK", pci.PCI_ERR_COR_MASK, 4, writable=CORRECTABLE),
        Register("CAP", pci.PCI_ERR_CAP, 4, writable=ECRC),
    ),
    pci.PCI_EXT_CAP_ID_PWR: (Register("DATA", pci.PCI_PWR_DATA, 1, writable=BYTE),),
}

# Capabilities that pass every access through, as do bytes that are in none.
RAW_CAPABILITIES = frozenset({pci.PCI_CAP_ID_VNDR})
RAW_EXTENDED = frozenset({pci.PCI_EXT_CAP_ID_VNDR, pci.PCI_EXT_CAP_ID_DVSEC})


def msi(flags: int) -> tuple[Register, ...]:
    """MSI's registers: 32 or 64 bits of address, and mask bits or none."""
    wide = bool(flags & pci.PCI_MSI_FLAGS_64BIT)
    high = Register("ADDRESS_HI", pci.PCI_MSI_ADDRESS_HI, 4, kept=DWORD, writable=DWORD)
    data = pci.PCI_MSI_DATA_64 if wide else pci.PCI_MSI_DATA_32
    mask = pci.PCI_MSI_MASK_64 if wide else pci.PCI_MSI_MASK_32
    pending = pci.PCI_MSI_PENDING_64 if wide else pci.PCI_MSI_PENDING_32
    masked = (
        Register("MASK", mask, 4, writable=DWORD),
        Register("PENDING", pending, 4, writable=DWORD),
    )
    return (
        Register("FLAGS", pci.PCI_MSI_FLAGS, 2, kept=BYTE, writable=BYTE, own_tests=True),
        Register("ADDRESS_LO", pci.PCI_MSI_ADDRESS_LO, 4, kept=DWORD, writable=DWORD),
        *((high,) if wide else ()),
        Register("DATA", data, 2, kept=WORD, writable=WORD),
        *(masked if flags & pci.PCI_MSI_FLAGS_MASKBIT else ()),
    )
