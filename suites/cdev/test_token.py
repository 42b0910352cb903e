# SPDX-License-Identifier: MIT
"""VFIO_DEVICE_BIND_FLAG_TOKEN: who may bind a virtual function, and its physical one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID

import pytest

from vfiospec import expect
from vfiospec.abi import vfio_feature as abi
from vfiospec.device.call import Call
from vfiospec.device.cdev import Cdev, cdev_path
from vfiospec.device.files import Memory
from vfiospec.device.iommufd import Iommufd
from vfiospec.device.ops import WriteFile
from vfiospec.device.pci import SYSFS
from vfiospec.device.port import Port
from vfiospec.device.sriov import first_vf, set_numvfs
from vfiospec.lab.bench import BenchDevice, PortSysfs
from vfiospec.lab.qemu import Vm
from vfiospec.rules import cdev as rules
from vfiospec.rules.model import Rule
from vfiospec.session.marks import checks, devices

Promised = Callable[[Rule], int]
TOKEN, WRONG = UUID(int=0x1234 << 64 | 0x5678), UUID(int=0x1234 << 64 | 0x5679)
FLAG, WHOLE = abi.VFIO_DEVICE_BIND_FLAG_TOKEN, abi.vfio_device_bind_iommufd.sizeof()
ENABLE = "/sys/module/vfio_pci/parameters/enable_sriov"
WITH_TOKENS = (6, 17)


@pytest.fixture
def with_token(memory: Memory) -> Callable[[Cdev, Iommufd, UUID], Call]:
    """BIND with a token at the very end of memory."""

    def attempt(cdev: Cdev, iommufd: Iommufd, token: UUID) -> Call:
        memory.write(memory.size - 16, token.bytes)
        at = abi.vfio_device_bind_iommufd.offset_of("token_uuid_ptr")
        fixups = (memory.fixup(at, memory.size - 16),)
        return cdev.try_bind(iommufd, FLAG, argsz=WHOLE, fixups=fixups)

    return attempt


WithToken = Callable[[Cdev, Iommufd, UUID], Call]


@checks(rules.TOKEN_UNUSED, rules.BIND_REFUSED)
@devices(without=("sriov",))
def test_a_device_without_use_for_one(
    cdev: Cdev,
    iommufd: Iommufd,
    with_token: WithToken,
    group_opens: Callable[[], int],
    promised: Promised,
) -> None:
    """Refused; without the flag the pointer is not looked at."""
    for token in (TOKEN, UUID(int=0)):
        expect.refused(with_token(cdev, iommufd, token), promised(rules.TOKEN_UNUSED))
    expect.equal("open of the group", group_opens(), 0)
    expect.accepted(cdev.try_bind(iommufd, argsz=WHOLE, token=1))


@checks(rules.TOKEN_ADDRESS, rules.BIND_REFUSED)
def test_a_token_that_cannot_be_read(
    cdev: Cdev,
    iommufd: Iommufd,
    memory: Memory,
    group_opens: Callable[[], int],
    promised: Promised,
) -> None:
    """None at all, also because argsz does not reach the pointer, and one that ends too early."""
    errno = promised(rules.TOKEN_ADDRESS)
    expect.refused(cdev.try_bind(iommufd, FLAG, argsz=WHOLE), errno)
    expect.refused(cdev.try_bind(iommufd, FLAG, argsz=abi.BIND_MIN, token=1), errno)
    at = abi.vfio_device_bind_iommufd.offset_of("token_uuid_ptr")
    short = (memory.fixup(at, memory.size - 15),)
    expect.refused(cdev.try_bind(iommufd, FLAG, argsz=WHOLE, fixups=short), errno)
    expect.equal("open of the group", group_opens(), 0)
    cdev.bind(iommufd)


@dataclass
class Functions:
    """A physical function that is bound, and the file of its virtual one, which is not."""

    pf: Cdev
    vf: Cdev


@pytest.fixture
def functions(
    machine: Vm,
    kernel: tuple[int, int],
    cdev: Cdev,
    iommufd: Iommufd,
    port: Port,
    spec: BenchDevice,
    sysfs: PortSysfs,
) -> Iterator[Functions]:
    """With TOKEN set; the virtual function is taken away again."""
    del machine
    if kernel < WITH_TOKENS:
        pytest.skip("needs a kernel with VFIO_DEVICE_BIND_FLAG_TOKEN, 6.17 or later")
    if not sysfs.exists(ENABLE):
        pytest.skip("vfio-pci cannot make VFs: needs CONFIG_PCI_IOV")
    before = sysfs.read(ENABLE).strip()
    port.do(WriteFile(ENABLE, b"Y"))
    try:
        cdev.bind(iommufd)
        made = set_numvfs(port, spec.bdf, 1)
        assert made.ok, f"sriov_numvfs: errno {made.errno}"
        expect.accepted(cdev.try_set_vf_token(TOKEN))
        path = cdev_path(port, f"{SYSFS}/{first_vf(port, spec.bdf)}")
        assert path
        with type(cdev).at(port, path) as vf:
            yield Functions(cdev, vf)
        set_numvfs(port, spec.bdf, 0)
    finally:
        port.do(WriteFile(ENABLE, before.encode()))


@checks(rules.TOKEN_VF, rules.BIND_TWICE)
@devices("sriov")
def test_a_virtual_function(
    functions: Functions, iommufd: Iommufd, path: str, port: Port, with_token: WithToken,
    promised: Promised,
) -> None:  # fmt: skip
    """Not without the token, nor with another; while it is in use the PF asks for it too."""
    pf, vf, errno = functions.pf, functions.vf, promised(rules.TOKEN_VF)
    expect.refused(vf.try_bind(iommufd), errno)
    for wrong in (WRONG, UUID(int=0), UUID(int=TOKEN.int ^ 1 << 127)):
        expect.refused(with_token(vf, iommufd, wrong), errno)
    expect.refused(vf.try_get_info(), promised(rules.GATE))
    expect.accepted(with_token(vf, iommufd, TOKEN))
    expect.accepted(vf.try_get_info())
    with Cdev.at(port, path) as again:
        expect.refused(again.try_bind(iommufd), errno)
        expect.refused(with_token(again, iommufd, WRONG), errno)
        expect.refused(with_token(again, iommufd, TOKEN), promised(rules.BIND_TWICE))
    vf.close()
    expect.accepted(pf.try_get_info())


@checks(rules.TOKEN_VF)
@devices("sriov")
def test_a_physical_function_sets_it(
    cdev: Cdev, iommufd: Iommufd, kernel: tuple[int, int], with_token: WithToken
) -> None:
    """While no VF is in use any token is taken, and none."""
    if kernel < WITH_TOKENS:
        pytest.skip("needs a kernel with VFIO_DEVICE_BIND_FLAG_TOKEN, 6.17 or later")
    expect.accepted(with_token(cdev, iommufd, WRONG))
    expect.accepted(cdev.try_get_info())
