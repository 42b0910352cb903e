# SPDX-License-Identifier: MIT
"""Devices by their own files: bound by the first fd, given up by the last, whoever closes it."""

from errno import EBUSY, ENOENT

import pytest

from vfiospec.abi import iommufd as abi
from vfiospec.abi import vfio_feature as feature
from vfiospec.abi import vfio_iommu as iommu
from vfiospec.device import ops as o
from vfiospec.device.apart import Apart
from vfiospec.device.call import CallError
from vfiospec.device.ops import AnyOp, Reply
from vfiospec.tests.made_up_port import MadeUpPort

BDF, OTHER = "0000:00:01.0", "0000:00:02.0"


class Kernel:
    """Says yes, but to what is in `refused`: request -> errno."""

    def __init__(self) -> None:
        self.refused: dict[int, int] = {}
        self.port = MadeUpPort(self._answer)
        self.access = Apart(self.port)

    def _answer(self, op: AnyOp) -> Reply:
        match op:
            case o.ListDir(path):
                return Reply(0, 0, b"vfio1\0" if BDF in path else b"vfio2\0")
            case o.Ioctl(_, request, _, data) if request in self.refused:
                return Reply(-1, self.refused[request], data or b"")
            case o.Ioctl(_, _, _, data):
                return Reply(0, 0, data or b"")
            case _:
                return Reply()

    def done(self) -> list[str]:
        """What was done since this was last asked, in words."""
        words = []
        for op in self.port.asked:
            match op:
                case o.Open(_, path):
                    words.append(f"open {path.rpartition('/')[2]}")
                case o.Ioctl(_, feature.VFIO_DEVICE_BIND_IOMMUFD):
                    words.append("bind")
                case o.Ioctl(_, feature.VFIO_DEVICE_ATTACH_IOMMUFD_PT):
                    words.append("attach")
                case o.Dup():
                    words.append("dup")
                case o.Close():
                    words.append("close")
                case _:
                    pass
        self.port.asked.clear()
        return words


@pytest.fixture
def kernel() -> Kernel:
    """An iommufd is open."""
    made = Kernel()
    assert made.done() == ["open iommu"]
    return made


def test_a_device_is_bound_once(kernel: Kernel) -> None:
    """Whichever of its fds is closed first."""
    first = kernel.access.open(BDF)
    assert kernel.done() == ["open vfio1", "bind", "attach"]
    second = kernel.access.open(BDF)
    first.close()
    third = kernel.access.open(BDF)
    assert kernel.done() == ["dup", "close", "dup"]
    second.close()
    third.close()
    kernel.access.open(BDF)
    assert kernel.done() == ["close", "close", "open vfio1", "bind", "attach"]
    kernel.access.open(OTHER)
    assert kernel.done() == ["open vfio2", "bind", "attach"]


def test_a_descriptor_that_a_test_makes_holds_the_device_too(kernel: Kernel) -> None:
    """And can be closed like any other."""
    first = kernel.access.open(BDF)
    copy = first.dup()
    first.close()
    again = kernel.access.open(BDF)
    assert kernel.done() == ["open vfio1", "bind", "attach", "dup", "close", "dup"]
    again.close()
    copy.close()
    kernel.access.open(BDF)
    assert kernel.done() == ["close", "close", "open vfio1", "bind", "attach"]


def test_one_that_is_kept_stays_bound(kernel: Kernel) -> None:
    """Until it is released, or all is closed."""
    kernel.access.keep(BDF)
    kernel.access.keep(BDF)
    kernel.access.open(BDF).close()
    assert kernel.done() == ["open vfio1", "bind", "attach", "dup", "close"]
    kernel.access.release(BDF)
    kernel.access.release(BDF)
    kernel.access.keep(BDF)
    assert kernel.done() == ["close", "open vfio1", "bind", "attach"]
    kernel.access.close()
    assert kernel.done() == ["close", "close"]


@pytest.mark.parametrize(
    ("step", "calls"),
    [
        (feature.VFIO_DEVICE_BIND_IOMMUFD, ["bind"]),
        (feature.VFIO_DEVICE_ATTACH_IOMMUFD_PT, ["bind", "attach"]),
    ],
)
def test_what_cannot_be_had_is_not_left_open(kernel: Kernel, step: int, calls: list[str]) -> None:
    kernel.refused[step] = EBUSY
    with pytest.raises(CallError):
        kernel.access.open(BDF)
    assert kernel.done() == ["open vfio1", *calls, "close"]
    kernel.refused.clear()
    kernel.access.open(BDF)
    assert kernel.done() == ["open vfio1", "bind", "attach"]


def test_mappings_are_the_address_spaces(kernel: Kernel) -> None:
    """With the flags of a container's, at a fixed address; a refusal is told as it came."""
    both = iommu.VFIO_DMA_MAP_FLAG_READ | iommu.VFIO_DMA_MAP_FLAG_WRITE
    wanted = {
        0: abi.IOMMU_IOAS_MAP_FIXED_IOVA,
        iommu.VFIO_DMA_MAP_FLAG_READ: 1 | abi.IOMMU_IOAS_MAP_READABLE,
        iommu.VFIO_DMA_MAP_FLAG_WRITE: 1 | abi.IOMMU_IOAS_MAP_WRITEABLE,
        both: 1 | abi.IOMMU_IOAS_MAP_READABLE | abi.IOMMU_IOAS_MAP_WRITEABLE,
    }
    mappings = kernel.access.mappings
    for flags, expected in wanted.items():
        call = mappings.try_map(0x7000, 0x1000, 0x2000, flags)
        assert isinstance(call.sent, bytes)
        asked = abi.iommu_ioas_map.unpack(call.sent)
        assert (asked.flags, asked.user_va, asked.iova, asked.length) == (
            expected, 0x7000, 0x1000, 0x2000,
        )  # fmt: skip
    assert mappings.unmapped(0x1000, 0x2000) == 0x2000
    kernel.refused[abi.IOMMU_IOAS_UNMAP] = ENOENT
    assert mappings.try_unmap(0x1000, 0x2000).errno == ENOENT
    with pytest.raises(CallError):
        mappings.unmapped(0x1000, 0x2000)
