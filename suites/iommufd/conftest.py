# SPDX-License-Identifier: MIT
"""An iommufd without objects."""

from collections.abc import Iterator

import pytest

from vfiospec.device.iommufd import IOMMUFD_PATH, Iommufd
from vfiospec.device.port import Port
from vfiospec.lab.bench import PortSysfs


@pytest.fixture
def iommufd(port: Port, sysfs: PortSysfs) -> Iterator[Iommufd]:
    """Just opened."""
    if not sysfs.exists(IOMMUFD_PATH):
        pytest.skip("needs a kernel with CONFIG_IOMMUFD")
    with Iommufd.create(port) as made:
        yield made
