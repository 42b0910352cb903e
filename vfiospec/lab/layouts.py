# SPDX-License-Identifier: MIT
"""Where layouts come from: what the user named, resolved to headers, an object or BTF, and read."""

import lzma
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import zstandard

from vfiospec.lab.apt import Apt
from vfiospec.lab.cache import LabError, cache_root, locked, make_dir
from vfiospec.lab.debian import Progress, fetch_package, suite_of_this_machine
from vfiospec.lab.sources import SUITES
from vfiospec.layout.btf import is_btf, read_btf
from vfiospec.layout.dwarf import read_object
from vfiospec.layout.headers import read_abi
from vfiospec.layout.includes import Includes, installed, is_tree, tree
from vfiospec.layout.model import Abi
from vfiospec.rules.model import kernel_version

ACCEPTED: Final = (
    "a source is `debian:SUITE[=VERSION]`, a folder of headers, a kernel tree, an object, module or"
    " vmlinux with DWARF (.xz and .zst too), or BTF as in /sys/kernel/btf"
)
BTF_MODULES: Final = ("vfio", "vfio_pci_core", "vfio_pci", "vfio_iommu_type1", "iommufd")
HEADERS_PACKAGE: Final = "linux-libc-dev"


def quiet(text: str) -> None:
    """Hear of progress and say nothing."""
    del text


def debian_headers(suite: str, progress: Progress = quiet) -> Path:
    """The include root of a suite's headers package, `SUITE=VERSION` for one that is not newest.

    Fetched once. LabError.
    """
    return fetch_package(suite, [HEADERS_PACKAGE], progress) / "usr/include"


def read(spec: str, progress: Progress = quiet) -> Abi:
    """Read the ABI of a source. LabError if it is none, LayoutError if it cannot be read."""
    path = Path(spec).expanduser()
    if (path / "vmlinux").is_file() and is_btf((path / "vmlinux").read_bytes()[:2]):
        modules = [found for name in BTF_MODULES if (found := path / name).is_file()]
        return Abi(read_btf(path / "vmlinux", *modules))
    if spec.partition(":")[0] == "debian" or path.is_dir():
        with ExitStack() as stack:
            return read_abi(sources_includes(spec, stack, progress))
    return _read_file(path, spec, progress)


def sources_includes(spec: str, stack: ExitStack, progress: Progress = quiet) -> Includes:
    """The headers of a source that has them. LabError if it has none."""
    name, colon, suite = spec.partition(":")
    if name == "debian":
        wanted = suite if colon else suite_of_this_machine()
        return installed(debian_headers(wanted, progress), f"debian:{wanted}")
    path = Path(spec).expanduser()
    if not path.is_dir():
        raise LabError(f"{spec}: no folder of headers and no kernel tree, which this needs")
    return includes_of(path, stack)


def includes_of(folder: Path, stack: ExitStack, source: str = "") -> Includes:
    """A folder's headers, a kernel tree's included; what has to be written lives with stack."""
    if is_tree(folder):
        shim = stack.enter_context(tempfile.TemporaryDirectory(prefix="vfiospec-tree-"))
        return tree(folder, Path(shim), source)
    return installed(folder, source)


def _read_file(path: Path, spec: str, progress: Progress) -> Abi:
    try:
        data = path.read_bytes()
    except FileNotFoundError as e:
        raise LabError(f"{spec}: no such file; {ACCEPTED}") from e
    except OSError as e:
        raise LabError(f"{spec}: cannot read it ({e.strerror}); {ACCEPTED}") from e
    data = unpacked(data, spec)
    if is_btf(data):
        return Abi(read_btf(path))
    if len(data) > _LONG:
        progress(f"{spec}: reading {len(data) / 1e6:.0f} MB of DWARF")
    return Abi(read_object(data, spec))


_LONG: Final = 20_000_000  # bytes of an object that is not read in two seconds


def unpacked(data: bytes, what: str) -> bytes:
    """The data, unpacked if xz or zstd packed it. LabError if it is damaged."""
    try:
        if data.startswith(b"\xfd7zXZ\0"):
            return lzma.decompress(data)
        if data.startswith(b"\x28\xb5\x2f\xfd"):
            packed = zstandard.ZstdDecompressor().decompressobj()
            plain = packed.decompress(data)
            if packed.eof:
                return plain
            raise LabError(f"{what}: compressed and cut short; build or fetch it again")
    except (lzma.LZMAError, zstandard.ZstdError) as e:
        raise LabError(f"{what}: compressed and damaged ({e}); build or fetch it again") from e
    return data


def header_versions(suite: str, progress: Progress = quiet) -> list[str]:
    """The versions of the headers package that a suite holds, the newest first. LabError."""
    home = make_dir(cache_root() / "apt" / suite)

    def waiting() -> None:
        progress(f"debian:{suite}: another vfiospec is fetching it; waiting")

    with locked(home / "lock", waiting):
        apt = Apt(suite, home)
        if not apt.is_fresh():
            progress(f"debian:{suite}: fetching the package lists")
            apt.update()
        return apt.versions(HEADERS_PACKAGE)


def every_kernel(progress: Progress = quiet) -> dict[str, tuple[str, Abi]]:
    """The ABI of each kernel whose headers a suite holds, oldest first, with its source.

    A suite that cannot be reached is left out, and progress hears of it. LabError if all are.
    """
    found: dict[tuple[int, int], str] = {}
    for suite in SUITES:
        try:
            versions = header_versions(suite, progress)
        except LabError as e:
            progress(f"{e}; left out")
            continue
        for version in versions:
            found.setdefault(kernel_version(version), f"debian:{suite}={version}")
    if not found:
        raise LabError("no suite of Debian can be reached: is there a network?")
    return {
        f"{major}.{minor}": (source, read(source, progress))
        for (major, minor), source in sorted(found.items())
    }
