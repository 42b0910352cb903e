# SPDX-License-Identifier: MIT
"""A device of which the test has the first fd and the last."""

from collections.abc import Iterator

import pytest

from vfiospec.device.device import Device
from vfiospec.device.group import Assigned
from vfiospec.device.port import Port
from vfiospec.lab.bench import BenchDevice


@pytest.fixture
def own(closed: int, port: Port) -> Iterator[Assigned]:
    """The group in a container of the test's own; no device of it is open."""
    assigned = Assigned(port, closed)
    yield assigned
    assigned.close()


@pytest.fixture
def first(own: Assigned, spec: BenchDevice) -> Device:
    """The first fd of the device, which the test closes."""
    return own.open(spec.bdf)
