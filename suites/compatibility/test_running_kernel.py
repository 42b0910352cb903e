# SPDX-License-Identifier: MIT
"""The types that the kernel itself says it was compiled with, against those of the headers."""

import os
import shutil
from pathlib import Path

import pytest

from vfiospec import expect
from vfiospec.device.files import File
from vfiospec.device.ops import ListDir, Pread
from vfiospec.device.port import Port
from vfiospec.lab.bench import PortSysfs
from vfiospec.layout.btf import read_btf
from vfiospec.layout.declared import declared_structs, differences, shapes
from vfiospec.layout.history import HISTORY, read
from vfiospec.layout.model import Record
from vfiospec.rules import compatibility as rules
from vfiospec.session.marks import checks

ROOT = Path(__file__).parents[2]
FOLDER, BASE = "/sys/kernel/btf", "vmlinux"
# vfio-pci may be built in, or it and its parts are modules.
MODULES = ("vfio", "vfio_pci_core", "vfio_pci", "vfio_iommu_type1", "iommufd")
CHUNK = 4096  # sysfs gives no more at a time
# Any kernel with vfio-pci uses these.
NEEDED = {"vfio_device_info", "vfio_region_info", "vfio_irq_info", "vfio_irq_set"}


def fetched(port: Port, name: str, folder: Path) -> Path:
    """A file of the kernel's BTF, brought here."""
    data = bytearray()
    with File.open(port, f"{FOLDER}/{name}", os.O_RDONLY | os.O_CLOEXEC) as file:
        while True:
            reply = port.do(Pread(file.handle, CHUNK, len(data)))
            assert reply.ok, f"{name}: errno {reply.errno}"
            if reply.ret == 0:
                break
            data += reply.bytes[: reply.ret]
    (folder / name).write_bytes(data)
    return folder / name


@pytest.fixture
def structs(port: Port, tmp_path: Path) -> dict[str, Record]:
    """The structures of VFIO and iommufd that the kernel and its modules have."""
    if shutil.which("bpftool", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None:
        pytest.skip("no bpftool, which reads BTF: apt install bpftool")
    listed = port.do(ListDir(FOLDER))
    names = {name.decode() for name in listed.bytes.split(b"\0")} if listed.ok else set()
    if BASE not in names:
        pytest.skip("the kernel has no BTF: build it with CONFIG_DEBUG_INFO_BTF")
    if not names & set(MODULES) and "vfio_pci" in PortSysfs(port).listdir("/sys/module"):
        pytest.skip("its modules have no BTF: kernels before 5.11, or DEBUG_INFO_BTF_MODULES")
    paths = [fetched(port, name, tmp_path) for name in (BASE, *MODULES) if name in names]
    return read_btf(*paths).structs


@checks(rules.KERNEL_LAYOUT)
def test_the_kernel_has_the_layout_that_is_declared(structs: dict[str, Record]) -> None:
    """Each structure begins as vfiospec.abi has it: all of it, unless the kernel is older."""
    declared = declared_structs()
    expect.equal("structures of vfio-pci", structs.keys() & NEEDED, NEEDED)
    found = {name: differences(declared[name], structs[name]) for name in structs}
    wrong = [f"{name}: {line}" for name, lines in found.items() for line in lines]
    expect.equal("differences", wrong, [])


@checks(rules.KERNEL_LAYOUT)
def test_the_kernel_has_the_layout_of_its_headers(
    structs: dict[str, Record], kernel: tuple[int, int]
) -> None:
    """Each structure is the one that a compiler made of this kernel's user headers."""
    history = read(ROOT / HISTORY)
    name = ".".join(map(str, kernel))
    if name not in {version.kernel for version in history.versions}:
        pytest.skip(f"the headers of {name} are not in {HISTORY}: vfiospec abi history --json")
    headers = history.abi(name).wide.structs
    expect.equal("structures in no header", structs.keys() - headers.keys(), set())
    for one, record in structs.items():
        expect.equal(f"size of {one}", record.size, headers[one].size)
        expect.equal(f"fields of {one}", shapes(record), shapes(headers[one]))
