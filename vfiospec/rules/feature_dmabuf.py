# SPDX-License-Identifier: MIT
"""The DMA_BUF feature: slices of a BAR as a dma-buf."""

from errno import EFAULT, EINVAL, EMFILE, ENODEV, ENOMEM, ENOTTY, EOVERFLOW

from vfiospec.rules.model import HEADER, Answer, Source, Strength, rule

_FILE = "drivers/vfio/pci/vfio_pci_dmabuf.c"
_FEATURE = Source(_FILE, "vfio_pci_core_feature_dma_buf")
_VALID = Source(_FILE, "validate_dmabuf_input")
_FILL = Source(_FILE, "vfio_pci_core_fill_phys_vec")
_HEADER = Source(HEADER, "VFIO_DEVICE_FEATURE_DMA_BUF")

PRESENT = rule(
    "feature.dma-buf-present",
    "The feature is there where the kernel is built with CONFIG_VFIO_PCI_DMABUF; it can be got.",
    Strength.ENFORCED,
    _FEATURE,
    answer=(
        Answer(ENOTTY, "<7.2", "no kernel that was measured has it before"),
        Answer(0, ">=7.2", "it has come"),
    ),
)

GET = rule(
    "feature.dma-buf",
    "The answer is a new dma-buf, as large as its slices together.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_FEATURE_DMA_BUF", quote="The fd number on success"),
    _FEATURE,
)

OPEN_FLAGS = rule(
    "feature.dma-buf-open-flags",
    "The flags of open(2) go to the new file; none is refused.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_FEATURE_DMA_BUF", quote="open_flags are the typical flags"),
    _FEATURE,
)

FLAGS = rule(
    "feature.dma-buf-flags",
    "There are no flags: any bit is refused.",
    Strength.DOCUMENTED,
    Source(HEADER, "VFIO_DEVICE_FEATURE_DMA_BUF", quote="flags should be 0."),
    _FEATURE,
    answer=EINVAL,
)

NO_RANGE = rule(
    "feature.dma-buf-no-range",
    "Without a slice there is no dma-buf.",
    Strength.ENFORCED,
    _FEATURE,
    answer=EINVAL,
)

TOO_MANY = rule(
    "feature.dma-buf-too-many-ranges",
    "More slices than the kernel can hold are refused for want of memory.",
    Strength.OBSERVED,
    _FEATURE,
    answer=ENOMEM,
)

REGION = rule(
    "feature.dma-buf-region",
    "Only a BAR that is there can be sliced.",
    Strength.ENFORCED,
    _FEATURE,
    answer=ENODEV,
)

IO_BAR = rule(
    "feature.dma-buf-io-bar",
    "A BAR of I/O ports has no memory to give.",
    Strength.ENFORCED,
    Source(_FILE, "vfio_pci_core_get_dmabuf_phys"),
    answer=EINVAL,
)

ALIGNED = rule(
    "feature.dma-buf-alignment",
    "Slices are of whole pages, at least one.",
    Strength.ENFORCED,
    _VALID,
    answer=EINVAL,
)

RANGE = rule(
    "feature.dma-buf-range",
    "Each slice ends within the BAR.",
    Strength.ENFORCED,
    _FILL,
    answer=EINVAL,
)

OVERFLOW = rule(
    "feature.dma-buf-overflow",
    "A slice that begins or ends beyond the last address is an overflow.",
    Strength.ENFORCED,
    _FILL,
    answer=EOVERFLOW,
)

TOTAL = rule(
    "feature.dma-buf-total",
    "Slices whose sizes together overflow are refused.",
    Strength.ENFORCED,
    _VALID,
    answer=EINVAL,
)

BAD_ADDRESS = rule(
    "feature.dma-buf-bad-address",
    "A request or slices that cannot be read are a bad address.",
    Strength.ENFORCED,
    _FEATURE,
    answer=EFAULT,
)

MEMORY_OFF = rule(
    "feature.dma-buf-memory-off",
    "It may be made while memory decoding is off.",
    Strength.ENFORCED,
    _FEATURE,
)

OUTLIVES = rule(
    "feature.dma-buf-outlives",
    "The file may be closed before the device or after it; neither keeps the driver busy.",
    Strength.ENFORCED,
    Source(_FILE, "vfio_pci_dma_buf_release"),
    Source(_FILE, "vfio_pci_dma_buf_cleanup"),
    _HEADER,
)

NO_NUMBER = rule(
    "feature.dma-buf-no-number",
    "Beyond RLIMIT_NOFILE no dma-buf is made: it fails with EMFILE, and holds no module.",
    Strength.ENFORCED,
    _FEATURE,
    answer=EMFILE,
)
