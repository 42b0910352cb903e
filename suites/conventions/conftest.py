# SPDX-License-Identifier: MIT
"""What tests over the INFO ioctls share."""

from collections.abc import Callable

import pytest

from vfiospec.device.info import InfoCall
from vfiospec.rules import conventions
from vfiospec.rules.model import Rule


@pytest.fixture
def known(info: InfoCall, promised: Callable[[Rule], int]) -> int:
    """Bytes of the structure that the running kernel knows."""
    return promised(conventions.SIZES[info.name])
