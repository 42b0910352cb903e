# SPDX-License-Identifier: MIT
"""The initramfs a guest boots with: our own /init, the modules it loads, and nothing else."""

import stat
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from vfiospec.lab.cache import LabError
from vfiospec.lab.modules import LoadedModule

_FOLDERS = ("dev", "proc", "sys", "tmp", "run", "modules")
_DEVICES = (("dev/console", 5, 1, 0o600), ("dev/null", 1, 3, 0o666))
_BLOCK = 512


class _Cpio:
    """A "newc" archive being written (Documentation/driver-api/early-userspace/buffer-format)."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._names: set[str] = set()

    def add(
        self, name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)
    ) -> None:
        """Append one member; mode holds the file type and the permissions."""
        if name in self._names:
            msg = f"/{name} is in the initramfs twice; give the file another path"
            raise ValueError(msg)
        self._names.add(name)
        self._put(name, len(self._names), mode, data, device)

    def add_folder(self, name: str) -> None:
        """Append a folder and its parents, unless they are there: the kernel makes none itself."""
        for part in (*reversed(PurePosixPath(name).parents), PurePosixPath(name)):
            if str(part) != "." and str(part) not in self._names:
                self.add(str(part), stat.S_IFDIR | 0o755)

    def finish(self) -> bytes:
        """Return the whole archive, a multiple of 512 bytes."""
        self._put("TRAILER!!!", 0, 0, b"", (0, 0))
        self._pad(_BLOCK)
        return bytes(self._bytes)

    def _put(self, name: str, ino: int, mode: int, data: bytes, device: tuple[int, int]) -> None:
        encoded = name.encode() + b"\0"
        links = 2 if stat.S_ISDIR(mode) else 1
        # ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
        fields = (ino, mode, 0, 0, links, 0, len(data), 0, 0, *device, len(encoded), 0)
        self._bytes += b"070701" + "".join(f"{field:08X}" for field in fields).encode()
        self._bytes += encoded
        self._pad(4)
        self._bytes += data
        self._pad(4)

    def _pad(self, to: int) -> None:
        self._bytes += bytes(-len(self._bytes) % to)


def build(
    init: Path, modules: Sequence[LoadedModule], extra: Mapping[str, bytes] | None = None
) -> bytes:
    """Return an uncompressed newc archive, the same bytes for the same input.

    It holds /init, the usual empty folders, /dev/console and /dev/null, /modules/NN-name.ko in
    the order given, /modules.list with their paths, one per line, and the extra files by path.
    Raises LabError if init cannot be read, ValueError if a path of extra is taken or climbs out.
    """
    try:
        program = init.read_bytes()
    except OSError as error:
        msg = f"{init}: cannot read the init program of the guest ({error.strerror}); build it"
        raise LabError(msg) from error
    cpio = _Cpio()
    for folder in _FOLDERS:
        cpio.add_folder(folder)
    for name, major, minor, mode in _DEVICES:
        cpio.add(name, stat.S_IFCHR | mode, device=(major, minor))
    cpio.add("init", stat.S_IFREG | 0o755, program)
    width = max(2, len(str(len(modules) - 1)))
    paths = [f"modules/{at:0{width}}-{module.name}.ko" for at, module in enumerate(modules)]
    for path, module in zip(paths, modules, strict=True):
        cpio.add(path, stat.S_IFREG | 0o644, module.data)
    cpio.add("modules.list", stat.S_IFREG | 0o644, "".join(f"/{p}\n" for p in paths).encode())
    for path, data in (extra or {}).items():
        inside = PurePosixPath("/", path).relative_to("/")
        if not inside.parts or ".." in inside.parts:
            msg = f"{path!r} is no path of a file inside the initramfs; give one below /"
            raise ValueError(msg)
        cpio.add_folder(str(inside.parent))
        # Executable, because an extra file may be a program and does no harm as one.
        cpio.add(str(inside), stat.S_IFREG | 0o755, data)
    return cpio.finish()
