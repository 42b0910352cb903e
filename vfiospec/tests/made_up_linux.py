# SPDX-License-Identifier: MIT
"""A source tree that answers to make as Linux does, and is built in no time."""

import tarfile
from pathlib import Path

from vfiospec.tests.lab_files import bzimage, module

_MAKEFILE = """\
VERSION = {version}
PATCHLEVEL = {level}
SUBLEVEL = 12
EXTRAVERSION =

srctree := $(dir $(abspath $(lastword $(MAKEFILE_LIST))))
V := {version}.{level}.12-conformance

allnoconfig:
\t@cp $(KCONFIG_ALLCONFIG) $(O)/.config
\t@echo 'CONFIG_CC_VERSION_TEXT="'"$$(gcc --version | head -n 1)"'"' >> $(O)/.config
\t@{spoil}
olddefconfig:
\t@:
bzImage:
\t@echo '  CC      main.o'
\t@mkdir -p $(O)/arch/x86/boot $(O)/include/config
\t@echo $(V) > $(O)/include/config/kernel.release
\t@cp $(srctree)/image $(O)/arch/x86/boot/bzImage
modules:
\t@echo '  CC [M]  vfio.o'; echo 'instrumented: $(KCOV_INSTRUMENT)'
\t@! grep error $(srctree)/vfio.c
\t@mkdir -p $(O)/drivers/vfio
\t@cp $(srctree)/module $(O)/drivers/vfio/vfio.ko
"""


def make_linux(tree: Path, *, version: str = "7.2", spoil: str = ":") -> Path:
    """Write the tree; spoil is a shell command that changes the .config kconfig makes."""
    major, _, level = version.partition(".")
    release = f"{version}.12-conformance"
    tree.mkdir(parents=True)
    text = _MAKEFILE.format(version=major, level=level, spoil=spoil)
    (tree / "Makefile").write_text(text)
    (tree / "Kconfig").write_text("config VFIO\nconfig SLUB\n\tmenuconfig X\nconfig  KASAN\n")
    (tree / "vfio.c").write_text("fine\n")
    (tree / "image").write_bytes(bzimage(release))
    (tree / "module").write_bytes(module(release=release))
    return tree


def pack(tree: Path, tarball: Path) -> Path:
    """The tarball of a tree, below one folder as releases are."""
    with tarfile.open(tarball, "w:xz") as archive:
        archive.add(tree, "linux-7.2")
    return tarball


class Shown:
    """Keeps what a build shows."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.ticks: list[int] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def tick(self, compiled: int) -> None:
        self.ticks.append(compiled)
