# SPDX-License-Identifier: MIT
"""Where headers are: a folder they were installed in, or a kernel tree as it is.

A tree's own headers are made for `make headers_install`, which takes kernel words out of them and
asks for rsync. The few files of ours compile as well with those words defined away.
"""

import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from vfiospec.layout import LayoutError

_UAPI: Final = "include/uapi"
# What headers_install takes out, or replaces.
_WORDS: Final = (
    "-D__user=", "-D__force=", "-D__iomem=", "-D__attribute_const__=",
    "-D__packed=__attribute__((packed))",
)  # fmt: skip
_DROPPED: Final = ("linux/compiler.h", "linux/compiler_types.h")


@dataclass(frozen=True)
class Includes:
    """Folders to search, in order, and how to call them; options for the compiler."""

    source: str
    folders: tuple[Path, ...]
    words: tuple[str, ...] = field(default=())

    def find(self, name: str) -> Path | None:
        """The file that `#include <name>` means; None if there is none."""
        return next((f / name for f in self.folders if (f / name).is_file()), None)

    def options(self) -> list[str]:
        """Options for the compiler: these folders and no others, so that versions do not mix."""
        return ["-nostdinc", *self.words, *(f"-I{folder}" for folder in self.folders)]


def installed(root: Path, source: str = "") -> Includes:
    """Headers as installed, `root` being the folder with linux/ in it. LayoutError if none are."""
    for folder in (root, root / "include", root / "usr/include"):
        if (folder / "linux/vfio.h").is_file():
            machine = folder / f"{platform.machine()}-linux-gnu"
            return Includes(source or str(root), (folder, machine))
    raise LayoutError(
        f"{source or root}: no linux/vfio.h in it; give a folder of headers or a tree"
    )


def is_tree(root: Path) -> bool:
    """Whether it is a kernel tree."""
    return (root / _UAPI / "linux/vfio.h").is_file()


def tree(root: Path, shim: Path, source: str = "") -> Includes:
    """A kernel tree, built or not; what its build would generate is written to the folder shim."""
    uapi, arch = root / _UAPI, root / "arch/x86/include/uapi"
    for name in _DROPPED:
        (shim / name).parent.mkdir(parents=True, exist_ok=True)
        (shim / name).write_text("")
    # The build makes these for what an architecture has no header of its own for.
    (shim / "asm").mkdir(exist_ok=True)
    for path in sorted((uapi / "asm-generic").glob("*.h")):
        if not (arch / "asm" / path.name).exists():
            (shim / "asm" / path.name).write_text(f"#include <asm-generic/{path.name}>\n")
    return Includes(source or str(root), (uapi, arch, shim), _WORDS)
