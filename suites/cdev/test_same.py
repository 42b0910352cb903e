# SPDX-License-Identifier: MIT
"""One device, twice: through its group and through its own file."""

from vfiospec import expect
from vfiospec.abi import vfio
from vfiospec.abi import vfio_feature as abi
from vfiospec.device.cdev import Cdev
from vfiospec.device.device import Device
from vfiospec.device.group import Assigned
from vfiospec.device.info import snapshot
from vfiospec.device.iommufd import Iommufd
from vfiospec.device.port import Port
from vfiospec.lab.bench import BenchDevice
from vfiospec.rules import cdev as rules
from vfiospec.session.marks import checks

FEATURES = 32
UNKNOWN_REQUESTS = range(vfio.VFIO_BASE + 21, vfio.VFIO_BASE + 28)


def everything(device: Device) -> dict[str, str]:
    """INFO, config space, features, calls that are refused: call -> answer."""
    seen = snapshot(device)
    probe = abi.VFIO_DEVICE_FEATURE_PROBE
    for direction in (abi.VFIO_DEVICE_FEATURE_GET, abi.VFIO_DEVICE_FEATURE_SET):
        for number in range(FEATURES):
            call = device.try_feature(number | probe | direction)
            seen[f"{call.name}({call.what})"] = call.answer()
    for number in UNKNOWN_REQUESTS:
        call = device.try_ioctl(vfio.VFIO_TYPE << 8 | number)
        seen[call.name] = call.answer()
    config = device.region(vfio.VFIO_PCI_CONFIG_REGION_INDEX)
    for offset in range(0, config.info.size, 4):
        seen[f"config space at {offset:#x}"] = f"{config.try_read(offset, 4).data.hex()}"
    return seen


@checks(rules.SAME)
def test_all_that_it_tells(cdev: Cdev, iommufd: Iommufd, port: Port, spec: BenchDevice) -> None:
    """Answers and bytes, attached or not."""
    group = Assigned(port, spec.group or 0)
    try:
        with group.open(spec.bdf) as device:
            wanted = everything(device)
    finally:
        group.close()
    cdev.bind(iommufd)
    for attach in (False, True):
        if attach:
            cdev.attach(iommufd.alloc_ioas())
        got = everything(cdev)
        different = [f"{k}: {wanted[k]} -> {got.get(k)}" for k in wanted if wanted[k] != got.get(k)]
        expect.equal("differences", different, [])
        expect.equal("answers", set(got) - set(wanted), set())
