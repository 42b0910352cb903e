# SPDX-License-Identifier: MIT
"""Which modules a list of names needs, in which order, and what is said of broken ones."""

import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from vfiospec.lab.cache import LabError
from vfiospec.lab.modules import ModuleSet
from vfiospec.tests.lab_files import module, write


def _names(modules: ModuleSet, *wanted: str) -> list[str]:
    return [one.name for one in modules.plan(wanted)]


def test_dependencies_come_first_and_once(tmp_path: Path) -> None:
    """A module follows all that it needs, however deep; shared needs are loaded once."""
    write(tmp_path / "vfio-pci.ko", module("vfio-pci-core,vfio"))
    write(tmp_path / "b/vfio-pci-core.ko", module("irqbypass,vfio"))
    write(tmp_path / "c/vfio.ko", module())
    write(tmp_path / "irqbypass.ko", module())
    found = ModuleSet([tmp_path])
    assert _names(found, "vfio", "vfio_pci") == ["vfio", "irqbypass", "vfio_pci_core", "vfio_pci"]


def test_a_dash_in_a_wanted_name_is_an_underscore(tmp_path: Path) -> None:
    """The kernel takes both for the same name, and so do we."""
    write(tmp_path / "vfio_pci.ko", module())
    assert _names(ModuleSet([tmp_path]), "vfio-pci") == ["vfio_pci"]


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [("", bytes), (".xz", lzma.compress), (".zst", zstandard.ZstdCompressor().compress)],
    ids=["raw", "xz", "zst"],
)
def test_data_is_decompressed(
    tmp_path: Path, suffix: str, compress: Callable[[bytes], bytes]
) -> None:
    """The guest has no decompressor, so plan() hands out plain ELF files."""
    write(tmp_path / f"a.ko{suffix}", compress(module()))
    assert [one.data for one in ModuleSet([tmp_path]).plan(["a"])] == [module()]


def test_a_later_folder_wins(tmp_path: Path) -> None:
    """A module of the user replaces the packaged one of that name, whatever it is packed in."""
    write(tmp_path / "packaged/vfio.ko.xz", lzma.compress(module()))
    own = write(tmp_path / "own/vfio.ko", module())
    found = ModuleSet([tmp_path / "packaged", tmp_path / "own"])
    assert [one.path for one in found.plan(["vfio"])] == [own]


def test_wanted_but_absent_is_taken_as_built_in(tmp_path: Path) -> None:
    """plan() leaves such a name out and missing() tells it."""
    write(tmp_path / "vfio.ko", module())
    found = ModuleSet([tmp_path])
    assert _names(found, "virtio-pci", "vfio") == ["vfio"]
    assert found.missing(["virtio-pci", "vfio"]) == ["virtio_pci"]


def test_only_needed_modules_are_opened(tmp_path: Path) -> None:
    """A broken module that nothing asks for does not stop a run."""
    write(tmp_path / "broken.ko", b"not an ELF file")
    write(tmp_path / "vfio.ko", module())
    assert _names(ModuleSet([tmp_path]), "vfio") == ["vfio"]


@pytest.mark.parametrize(
    ("file", "data"),
    [
        ("a.ko", b""),
        ("a.ko", b"\x7fELF"),
        ("a.ko", module()[:-100]),
        ("a.ko", b"\x7fELF" + bytes(200)),
        ("a.ko.xz", lzma.compress(module())[:-20]),
        ("a.ko.xz", module()),
        ("a.ko.zst", module()),
        ("a.ko.zst", zstandard.ZstdCompressor().compress(module())[:-20]),
    ],
    ids=["empty", "magic-only", "cut", "zeros", "xz-cut", "xz-raw", "zst-raw", "zst-cut"],
)
def test_a_corrupt_module_is_named(tmp_path: Path, file: str, data: bytes) -> None:
    """The message says which file is broken; nothing but LabError comes out."""
    path = write(tmp_path / file, data)
    with pytest.raises(LabError, match=f"^{path}: "):
        ModuleSet([tmp_path]).plan(["a"])


def test_a_cycle_is_named(tmp_path: Path) -> None:
    """Modules that need each other cannot be loaded: the circle is spelled out."""
    for name, needs in (("a", "b"), ("b", "c"), ("c", "b")):
        write(tmp_path / f"{name}.ko", module(needs))
    with pytest.raises(LabError, match=r"b -> c -> b"):
        ModuleSet([tmp_path]).plan(["a"])


def test_a_dependency_that_is_nowhere_is_named(tmp_path: Path) -> None:
    """Modpost lists only real modules as depends, so an absent one would fail in the guest."""
    write(tmp_path / "vfio-pci.ko", module("vfio-pci-core"))
    with pytest.raises(LabError, match="needs module vfio_pci_core"):
        ModuleSet([tmp_path]).plan(["vfio_pci"])


def test_a_module_of_another_kernel_is_refused_when_planned(tmp_path: Path) -> None:
    """Even among right ones: the message names both releases."""
    write(tmp_path / "a.ko", module())
    write(tmp_path / "b.ko", module(release="2.0-other"))
    found = ModuleSet([tmp_path], "1.0-test")
    assert _names(found, "a") == ["a"]
    with pytest.raises(LabError, match=r"2\.0-other.*1\.0-test"):
        found.plan(["b"])
