# SPDX-License-Identifier: MIT
"""A machine that does not isolate interrupts: nothing is bound unless allowed."""

from collections.abc import Callable

import pytest

from vfiospec import expect
from vfiospec.device.cdev import Cdev
from vfiospec.device.iommufd import Iommufd
from vfiospec.device.port import Port
from vfiospec.lab.bench import PortSysfs
from vfiospec.rules import cdev as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks

ALLOW = "/sys/module/iommufd/parameters/allow_unsafe_interrupts"


@pytest.fixture
def not_allowed(
    own_file: str,
    sysfs: PortSysfs,
    interrupt_remapping: bool,  # noqa: FBT001 -- a fixture
) -> None:
    """On such a machine, with iommufd, and without leave."""
    del own_file
    if interrupt_remapping:
        pytest.skip("the platform isolates interrupts: `--topology no-intremap` is one without")
    if sysfs.read(ALLOW).strip() != "N":
        pytest.skip("iommufd.allow_unsafe_interrupts is set")


@pytest.mark.usefixtures("not_allowed")
@checks(rules.UNSAFE, rules.BIND_REFUSED)
def test_nothing_is_bound(
    own_file: str,
    closed: int,
    port: Port,
    enables: Callable[[], int],
    group_opens: Callable[[], int],
    promised: Callable[[Rule], int],
) -> None:
    """The device is not enabled, and its group stays free."""
    del closed
    before = enables()
    with Cdev.at(port, own_file) as cdev, Iommufd.create(port) as iommufd:
        for _ in range(2):
            expect.refused(cdev.try_bind(iommufd), promised(rules.UNSAFE))
            expect.refused(cdev.try_get_info(), promised(rules.GATE))
            expect.equal("enables", enables(), before)
            expect.equal("open of the group", group_opens(), 0)
        ioas = iommufd.alloc_ioas()
        expect.accepted(iommufd.try_destroy(ioas))
