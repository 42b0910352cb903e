# SPDX-License-Identifier: MIT
"""Layouts are read as a compiler makes them, and classes made from them are laid out alike."""

import ctypes
import os
import shutil
import struct
import subprocess
from pathlib import Path

import msgspec
import pytest

from vfiospec.layout import LayoutError
from vfiospec.layout.btf import is_btf, read_btf
from vfiospec.layout.declared import declared_structs, differences, shapes
from vfiospec.layout.dwarf import open_elf, read_object
from vfiospec.layout.fixtures import Fixtures
from vfiospec.layout.headers import compiler, read_abi, read_headers
from vfiospec.layout.history import History, read
from vfiospec.layout.includes import Includes
from vfiospec.layout.model import Abi, Layout, Record, leaves
from vfiospec.layout.show import layout_text, record_text, side_by_side
from vfiospec.tests.header_sets import NEWEST, include_root

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = "layout_sample.h"


@pytest.fixture(scope="module")
def sample() -> Abi:
    """The header of everything, compiled."""
    folder = Path(__file__).parent
    root = include_root(NEWEST)
    includes = Includes("sample", (folder, root, root / "x86_64-linux-gnu"))
    return read_abi(includes, [SAMPLE])


@pytest.fixture(scope="module")
def history() -> History:
    """What the repository has of released kernels."""
    return read(ROOT / "corpora/abi/history.json")


def places(record: Record) -> dict[str, tuple[int, int]]:
    """First bit and width of each field."""
    return {leaf.name: (leaf.start, leaf.width) for leaf in leaves(record)}


def test_every_kind_of_member_has_its_place(sample: Abi) -> None:
    """Nested, anonymous, arrays, pointers, enums, alignment: as the x86-64 ABI lays them out."""
    record = sample.wide.struct("sample_all")
    assert places(record) == {
        "argsz": (0, 32), "flags": (32, 32), "id": (64, 32), "first": (64, 16), "second": (80, 16),
        "bytes": (64, 32), "matrix": (96, 48), "inner": (192, 128), "named.tag": (320, 8),
        "named.value": (352, 32), "many": (384, 256), "pointer": (640, 64), "which": (704, 32),
        "wide": (768, 8), "data": (784, 0),
    }  # fmt: skip
    assert (record.size, record.align) == (112, 16)
    members = {leaf.name: leaf.member for leaf in leaves(record)}
    assert members["second"].signed
    assert not members["first"].signed
    assert members["matrix"].declaration == "__u8 matrix[2][3]"
    assert members["pointer"].declaration == "void * pointer"
    assert members["data"].flexible
    assert (members["which"].kind, members["wide"].align) == ("enum", 16)


def test_bit_fields_have_their_bits(sample: Abi) -> None:
    assert places(sample.wide.struct("sample_bits")) == {
        "low": (0, 3), "middle": (3, 7), "sign": (10, 5), "high": (24, 8), "next": (32, 4),
        "last": (40, 8),
    }  # fmt: skip


def test_packing_and_alignment_are_the_compilers(sample: Abi) -> None:
    """DWARF tells neither, and i386 aligns 64-bit numbers to 4."""
    assert sample.narrow is not None
    packed, inner = sample.wide.struct("sample_packed"), sample.wide.struct("sample_inner")
    assert (packed.size, packed.align, inner.size, inner.align) == (11, 1, 16, 8)
    assert sample.wide.struct("sample_aligned").align == 32
    narrow = sample.narrow.struct("sample_inner")
    assert (narrow.size, narrow.align, places(narrow)["at"]) == (12, 4, (32, 64))


def test_macros_know_the_structure_they_stand_in(sample: Abi) -> None:
    flag, ioctl = sample.wide.constants["SAMPLE_FLAG_B"], sample.wide.constants["SAMPLE_GET"]
    assert (flag.value, flag.width, flag.owner) == (1 << 31, 4, "sample_all")
    assert (ioctl.value, ioctl.owner, ioctl.ioctl) == (0x3B77, "", True)
    assert sample.wide.numbers()["SAMPLE_MINUS"] == 0xFFFFFFFF


@pytest.mark.parametrize("bits", [64, 32])
def test_a_class_made_from_a_layout_is_laid_out_alike(sample: Abi, bits: int) -> None:
    """Also where ctypes by itself would lay it out differently: packed, aligned, for i386."""
    layout = sample.wide if bits == 64 else sample.narrow
    assert layout is not None
    fixtures = Fixtures(layout)
    for name, record in layout.structs.items():
        made = fixtures.struct(name)
        fields = {m.name: m for m in made.members()}
        assert made.sizeof() == record.size, name
        for member in record.members:
            if member.bits or member.flexible or not member.name:
                continue
            field = fields[member.name]
            assert (field.offset, field.size) == (member.offset, member.size), member.name


def test_values_go_where_c_puts_them(sample: Abi) -> None:
    """A union's bytes, an unnamed structure's fields, bit-fields with sign, arrays of arrays."""
    fixtures = Fixtures(sample.wide)
    one = fixtures.struct("sample_all")(argsz=112, id=0xFFFE0001)
    assert (one.first, one.second, list(one.bytes)) == (1, -2, [1, 0, 0xFE, 0xFF])
    one.matrix[1][2] = 7
    one.named.value = 9
    one.many[1].at = -1
    data = one.pack()
    assert (data[17], data[44], data[72:80]) == (7, 9, b"\xff" * 8)
    bits = fixtures.struct("sample_bits")(low=5, middle=127, sign=-1, high=0xA5, next=15, last=1)
    number = int.from_bytes(bits.pack(), "little")
    assert number == 5 | 127 << 3 | 31 << 10 | 0xA5 << 24 | 15 << 32 | 1 << 40
    packed = fixtures.struct("sample_packed")(tag=1, value=2, end=3)
    assert packed.pack() == struct.pack("<BQH", 1, 2, 3)


@pytest.mark.parametrize("kernel", ["5.10", "6.1", "6.12", "7.2", "7.3"])
def test_every_structure_of_a_kernel_becomes_a_class(history: History, kernel: str) -> None:
    """Of both sizes of programs; and vfiospec.abi declares what the 64-bit ones begin with."""
    abi = history.abi(kernel)
    assert abi.narrow is not None
    for layout in (abi.wide, abi.narrow):
        fixtures = Fixtures(layout)
        for name, record in layout.structs.items():
            made = fixtures.struct(name)
            ours = {(m.name, m.offset, m.size) for m in made.members()}
            assert ours == {(s.name, s.offset, s.size) for s in shapes(record) if s.size}, name
            assert made.sizeof() == record.size
    declared = declared_structs()
    both = declared.keys() & abi.wide.structs.keys()
    assert len(both) >= 40
    found = {name: differences(declared[name], abi.wide.structs[name]) for name in both}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize("change", ["moved", "wider", "signed", "renamed", "added", "size"])
def test_a_layout_that_is_not_ours_is_told(history: History, change: str) -> None:
    """One field of one structure, or its size, that a kernel was compiled with otherwise."""
    record = history.abi("7.3").wide.struct("vfio_irq_info")
    count = record.members[-1]
    changes: dict[str, dict[str, object]] = {
        "moved": {"offset": count.offset + 4},
        "wider": {"size": 8},
        "signed": {"signed": True},
        "renamed": {"name": "number"},
    }
    members = (*record.members[:-1], msgspec.structs.replace(count, **changes.get(change, {})))
    if change == "added":
        members += (msgspec.structs.replace(count, name="more", offset=record.size),)
    size = record.size + 4 if change == "size" else record.size
    altered = msgspec.structs.replace(record, members=members, size=size)
    ours = declared_structs()["vfio_irq_info"]
    assert differences(ours, record) == []
    assert differences(ours, altered)


def test_a_structure_that_is_not_there_is_named(sample: Abi) -> None:
    with pytest.raises(LayoutError, match="sample: no structure 'vfio_irq_info' in it"):
        Fixtures(sample.wide).struct("vfio_irq_info")


@pytest.fixture(scope="module", params=["-m64", "-m32", "-gdwarf-4", "-gz=zlib"])
def vfio_object(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> bytes:
    """An object with DWARF, compiled with the newest headers."""
    folder = tmp_path_factory.mktemp("object")
    source, binary = folder / "user.c", folder / "user.o"
    source.write_text(
        "#include <linux/vfio.h>\nstruct vfio_irq_info info; struct vfio_irq_set set;\n"
        "struct vfio_pci_hot_reset_info reset;\n"
    )
    root = include_root(NEWEST)
    command = [compiler(), "-g", request.param, "-nostdinc", f"-I{root}"]
    command += [f"-I{root}/x86_64-linux-gnu"]
    subprocess.run([*command, "-c", source, "-o", binary], check=True)
    return binary.read_bytes()


def test_an_object_has_what_it_uses(vfio_object: bytes) -> None:
    """The same layouts as those of the headers, and no others."""
    layout = read_object(vfio_object, "user.o")
    assert layout.partial
    assert set(layout.structs) == {
        "vfio_irq_info", "vfio_irq_set", "vfio_pci_hot_reset_info", "vfio_pci_dependent_device",
    }  # fmt: skip
    root = include_root(NEWEST)
    includes = Includes("newest", (root, root / "x86_64-linux-gnu"))
    whole = read_headers(includes, ["linux/vfio.h"], bits=layout.bits)
    for name, record in layout.structs.items():
        assert places(record) == places(whole.structs[name])
        assert (record.size, record.align) == (whole.structs[name].size, whole.structs[name].align)


def test_a_layout_is_shown_with_offsets(sample: Abi) -> None:
    text = record_text(sample.wide.struct("sample_inner"))
    assert [" ".join(line.split()) for line in text] == [
        "struct sample_inner {", "__u8 kind; /* 0 1 */", "/* 7 bytes of padding */",
        "__s64 at; /* 8 8 */", "}; /* size 16, align 8 */",
    ]  # fmt: skip
    everything = list(layout_text(sample.wide, []))
    assert "#define SAMPLE_FLAG_A 1  /* sample_all */" in everything
    assert list(layout_text(sample.wide, ["SAMPLE_GET"])) == [
        "", "/* ioctls */", "#define SAMPLE_GET 0x3b77",
    ]  # fmt: skip
    with pytest.raises(LayoutError, match="no 'nonsense'"):
        list(layout_text(sample.wide, ["nonsense"]))


def test_two_texts_stand_beside_each_other() -> None:
    assert side_by_side(["a", "b", "d"], ["a", "c", "c", "d"], 43) == [
        f"{'a':20}   a", f"{'b':20} | c", f"{'':20} | c", f"{'d':20}   d",
    ]  # fmt: skip


def test_btf_is_told_from_elf(vfio_object: bytes) -> None:
    assert is_btf(b"\x9f\xeb\1\0")
    assert not is_btf(vfio_object)


def test_big_endian_btf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vmlinux").write_bytes(b"\xeb\x9f\1\0")
    with pytest.raises(LayoutError, match=r"vmlinux: big-endian|apt install bpftool"):
        read_btf(tmp_path / "vmlinux")


def test_ctypes_places_bit_fields_as_the_fixtures_take_it() -> None:
    """What _misplaced() reads of a descriptor is not documented: hold it."""

    class sample_field(ctypes.Structure):
        _fields_ = [("a", ctypes.c_uint32, 3), ("b", ctypes.c_uint32, 7)]

    assert (sample_field.b.offset, sample_field.b.size) == (0, 7 << 16 | 3)


def test_layouts_of_the_history_are_those_of_headers(history: History) -> None:
    """Nobody wrote the data by hand: the newest is what the newest headers compile to."""
    root = include_root(NEWEST)
    abi = read_abi(Includes("newest", (root, root / "x86_64-linux-gnu")))
    kept: Layout = history.abi(history.versions[-1].kernel).wide
    assert kept.structs == abi.wide.structs
    assert kept.numbers() == abi.wide.numbers()


def btf_of(source: str, folder: Path) -> Path:
    """Raw BTF of a source with VFIO's header; skips where the compiler writes none."""
    (folder / "a.c").write_text(f"#include <linux/vfio.h>\n{source}\n")
    root = include_root(NEWEST)
    options = ["-gbtf", "-nostdinc", f"-I{root}", f"-I{root}/x86_64-linux-gnu"]
    command = [compiler(), *options, "-c", "a.c", "-o", "a.o"]
    if subprocess.run(command, cwd=folder, check=False, capture_output=True).returncode:
        pytest.skip("this compiler writes no BTF: gcc does since 12")
    elf = open_elf((folder / "a.o").read_bytes(), "a.o")
    section = elf.get_section_by_name(".BTF")
    assert section is not None
    (folder / "module").write_bytes(section.data())
    return folder / "module"


def test_btf_says_what_dwarf_says(tmp_path: Path) -> None:
    """Anonymous unions, arrays at the end, pointers, signs: the same structures from both."""
    if shutil.which("bpftool", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None:
        pytest.skip("no bpftool, which reads BTF: apt install bpftool")
    names = (
        "vfio_irq_set", "vfio_device_gfx_plane_info", "vfio_pci_hot_reset_info", "vfio_bitmap",
        "vfio_device_ioeventfd", "vfio_pci_hot_reset",
    )  # fmt: skip
    path = btf_of(" ".join(f"struct {name} {name};" for name in names), tmp_path)
    found = read_btf(path).structs
    root = include_root(NEWEST)
    whole = read_headers(Includes("newest", (root, root / "x86_64-linux-gnu")), ["linux/vfio.h"])
    assert found.keys() == {*names, "vfio_pci_dependent_device"}
    for name, record in found.items():
        assert shapes(record) == shapes(whole.structs[name]), name
        assert record.size == whole.structs[name].size


def test_btf_without_vfio_is_one_line(tmp_path: Path) -> None:
    if shutil.which("bpftool", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None:
        pytest.skip("no bpftool, which reads BTF: apt install bpftool")
    path = btf_of("int x;", tmp_path)
    with pytest.raises(LayoutError, match="no structure of VFIO or iommufd in it"):
        read_btf(path)
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(LayoutError, match="bpftool cannot read it: "):
        read_btf(path)
