# SPDX-License-Identifier: MIT
"""What a device reaches: what is mapped where it is attached, and nothing else."""

from vfiospec import expect
from vfiospec.device.cdev import Bound
from vfiospec.device.edu import Edu
from vfiospec.device.files import Memory
from vfiospec.rules import cdev as rules
from vfiospec.session.marks import checks, devices

pytestmark = devices("dma-stimulus")
IOVA, SIZE = 0x100000, 64


def reaches(edu: Edu, memory: Memory, offset: int) -> bool:
    """Whether the device can read what lies at IOVA and write it to the page at the offset."""
    word = bytes((offset // 64 + i) % 251 for i in range(SIZE))
    memory.write(offset, word)
    memory.write(offset + SIZE, bytes(SIZE))
    expect.equal("DMA ended", edu.read_memory(IOVA, SIZE), True)
    expect.equal("DMA ended", edu.write_memory(IOVA + SIZE, SIZE), True)
    return memory.read(offset + SIZE, SIZE) == word


@checks(rules.ATTACH, rules.DETACH)
def test_only_while_attached(bound: Bound, edu: Edu, memory: Memory) -> None:
    """Not before, not after."""
    expect.accepted(bound.iommufd.try_map_ioas(bound.ioas, memory, IOVA, memory.size))
    for _ in range(2):
        expect.equal("reached before", reaches(edu, memory, 0), False)
        bound.cdev.attach(bound.ioas)
        expect.equal("reached while attached", reaches(edu, memory, 0), True)
        bound.cdev.detach()
    expect.equal("reached after", reaches(edu, memory, 0), False)


@checks(rules.REPLACE)
def test_it_moves_to_another_address_space(
    bound: Bound, edu: Edu, memory: Memory, page: int
) -> None:
    """One address, a page of its own in each; what it left is untouched."""
    iommufd, other = bound.iommufd, bound.iommufd.alloc_ioas()
    expect.accepted(iommufd.try_map_ioas(bound.ioas, memory, IOVA, page))
    expect.accepted(iommufd.try_map_ioas(other, memory.at(page), IOVA, page))
    for ioas, mine, foreign in ((bound.ioas, 0, page), (other, page, 0), (bound.ioas, 0, page)):
        bound.cdev.attach(ioas)
        memory.write(foreign, bytes(2 * SIZE))
        expect.equal("reached where it is attached", reaches(edu, memory, mine), True)
        expect.equal("the other page", memory.read(foreign, 2 * SIZE), bytes(2 * SIZE))


@checks(rules.IOMMUFD_CLOSED)
def test_without_an_fd_of_the_iommufd(bound: Bound, edu: Edu, memory: Memory) -> None:
    """The mapping stays in use."""
    expect.accepted(bound.iommufd.try_map_ioas(bound.ioas, memory, IOVA, memory.size))
    bound.cdev.attach(bound.ioas)
    bound.iommufd.close()
    expect.equal("reached", reaches(edu, memory, 0), True)
    expect.accepted(bound.cdev.try_get_info())
    expect.accepted(bound.cdev.try_detach())
