# SPDX-License-Identifier: MIT
"""MSI and MSI-X, held against the capabilities in configuration space."""

from collections.abc import Callable

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.device.device import Device
from vfiospec.device.pci import PciDevice
from vfiospec.rules import irq_info as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

MSI, MSIX = vfio.VFIO_PCI_MSI_IRQ_INDEX, vfio.VFIO_PCI_MSIX_IRQ_INDEX
WHOLE = vfio.IRQ_INFO_MIN


@checks(rules.MSI, rules.MSI_COUNT)
@devices("msi")
def test_msi_is_a_set_of_vectors(
    device: Device, pci: PciDevice, promised: Callable[[Rule], int]
) -> None:
    """As many as the device asks for: the multiple message capable field."""
    expected = vfio.vfio_irq_info(WHOLE, promised(rules.MSI), MSI, pci.msi_vectors)
    expect.reply(device.try_get_irq_info(MSI), expected)


@checks(rules.MSIX, rules.MSIX_COUNT)
@devices("msix")
def test_msix_has_as_many_vectors_as_its_table(
    device: Device, pci: PciDevice, promised: Callable[[Rule], int]
) -> None:
    """The flags say whether the kernel can add vectors while it is on."""
    expected = vfio.vfio_irq_info(WHOLE, promised(rules.MSIX), MSIX, pci.msix_vectors)
    expect.reply(device.try_get_irq_info(MSIX), expected)


@checks(rules.ABSENT)
@devices(without=("msi",))
def test_a_device_without_msi_has_none(device: Device, promised: Callable[[Rule], int]) -> None:
    """The index is answered: count 0."""
    expected = vfio.vfio_irq_info(WHOLE, promised(rules.ABSENT), MSI, 0)
    expect.reply(device.try_get_irq_info(MSI), expected)


@checks(rules.ABSENT)
@devices(without=("msix",))
def test_a_device_without_msix_has_none(device: Device, promised: Callable[[Rule], int]) -> None:
    """The index is answered: count 0."""
    expected = vfio.vfio_irq_info(WHOLE, promised(rules.ABSENT), MSIX, 0)
    expect.reply(device.try_get_irq_info(MSIX), expected)
