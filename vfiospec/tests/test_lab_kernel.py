# SPDX-License-Identifier: MIT
"""What a kernel spec resolves to, and what is said of a spec that is no kernel."""

from pathlib import Path

import pytest

from vfiospec.lab.cache import LabError
from vfiospec.lab.kernel import Kernel, parse_config, resolve
from vfiospec.tests.lab_files import bzimage, module, write

RELEASE = "1.0-test"


def _resolve(spec: Path | str, modules: Path | None = None) -> Kernel:
    return resolve(str(spec), modules, lambda _: None)


def _tree(root: Path) -> Path:
    write(root / "arch/x86/boot/bzImage", bzimage(RELEASE))
    write(root / "include/config/kernel.release", f"{RELEASE}\n".encode())
    write(root / ".config", b"CONFIG_VFIO=m\n# CONFIG_IOMMUFD is not set\n")
    write(root / "drivers/vfio/vfio.ko", module())
    return root


def test_a_lone_image_has_everything_built_in(tmp_path: Path) -> None:
    """A bzImage alone gives its release, no module and no known setting."""
    image = write(tmp_path / "boot/bzImage", bzimage(RELEASE))
    kernel = _resolve(image)
    assert (kernel.release, kernel.image, kernel.tree) == (RELEASE, image, None)
    assert kernel.version_text == f"{RELEASE} (someone@somewhere) #1 SMP"
    assert not kernel.modules.paths
    assert kernel.config == {}


@pytest.mark.parametrize(
    ("image", "modules", "config"),
    [
        ("boot/vmlinuz", f"lib/modules/{RELEASE}", f"boot/config-{RELEASE}"),
        ("boot/vmlinuz", f"usr/lib/modules/{RELEASE}", f"usr/lib/modules/{RELEASE}/config"),
        (
            f"usr/lib/modules/{RELEASE}/vmlinuz",
            f"usr/lib/modules/{RELEASE}",
            f"usr/lib/modules/{RELEASE}/config",
        ),
    ],
    ids=["boot+lib", "boot+usr-lib", "beside"],
)
def test_an_installed_image_finds_its_modules(
    tmp_path: Path, image: str, modules: str, config: str
) -> None:
    """Where distributions install an image, its modules and config are found by its release."""
    write(tmp_path / image, bzimage(RELEASE))
    write(tmp_path / config, b"CONFIG_VFIO=m\n")
    vfio = write(tmp_path / modules / "kernel/vfio.ko", module())
    kernel = _resolve(tmp_path / image)
    assert kernel.modules.paths == {"vfio": vfio}
    assert kernel.config == {"CONFIG_VFIO": "m"}


def test_a_built_tree_gives_image_modules_and_config(tmp_path: Path) -> None:
    """The modules are taken as they lie in the tree."""
    kernel = _resolve(_tree(tmp_path))
    assert (kernel.tree, kernel.release) == (tmp_path, RELEASE)
    assert kernel.modules.paths == {"vfio": tmp_path / "drivers/vfio/vfio.ko"}
    assert kernel.config == {"CONFIG_VFIO": "m", "CONFIG_IOMMUFD": "n"}


def test_the_image_of_a_tree_stands_for_the_tree(tmp_path: Path) -> None:
    """Also through arch/x86_64, which a build links to arch/x86."""
    tree = _tree(tmp_path)
    link = tree / "arch/x86_64/boot/bzImage"
    link.parent.mkdir(parents=True)
    link.symlink_to("../../x86/boot/bzImage")
    assert [_resolve(image).tree for image in (link, link.resolve())] == [tree, tree]


def test_a_tree_whose_image_is_stale_is_refused(tmp_path: Path) -> None:
    """An image of another release than the tree's was not rebuilt: both are named."""
    write(_tree(tmp_path) / "include/config/kernel.release", b"2.0\n")
    with pytest.raises(LabError, match=rf"at 2\.0, but its bzImage is {RELEASE}"):
        _resolve(tmp_path)


def test_given_modules_win_by_name(tmp_path: Path) -> None:
    """--modules replaces what it names and leaves the rest."""
    own = write(tmp_path / "own/vfio.ko", module())
    tree = _tree(tmp_path / "tree")
    other = write(tree / "irqbypass.ko", module())
    assert _resolve(tree, own.parent).modules.paths == {"vfio": own, "irqbypass": other}


@pytest.mark.parametrize("folder", ["empty", "absent"])
def test_given_modules_without_a_module_are_refused(tmp_path: Path, folder: str) -> None:
    """A folder without any .ko would silently test the packaged modules."""
    write(tmp_path / "empty/vfio.o", b"")
    image = write(tmp_path / "bzImage", bzimage(RELEASE))
    with pytest.raises(LabError, match=rf"{folder}: no \.ko"):
        _resolve(image, tmp_path / folder)


def test_modules_of_another_release_are_refused(tmp_path: Path) -> None:
    """The message names the release of the modules and that of the image."""
    image = write(tmp_path / "bzImage", bzimage("6.1.0-test"))
    write(tmp_path / "own/vfio.ko", module(release="6.12.0-other"))
    with pytest.raises(LabError, match=r"6\.12\.0-other, but the image is 6\.1\.0-test"):
        _resolve(image, tmp_path / "own")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "an empty file"),
        (b"\x7fELF" + bytes(600), "an ELF file"),
        (b"!<arch>\n" + bytes(600), "an archive"),
        (bytes(600), "other data"),
        (bzimage(RELEASE)[:0x200], "other data"),
        (bzimage(RELEASE)[:0x20F], "other data"),
        (bzimage(RELEASE)[:0x600], "without a version line"),
    ],
    ids=["empty", "elf", "deb", "zeros", "boot-sector", "cut-header", "cut-setup"],
)
def test_a_file_that_is_no_kernel_is_refused(tmp_path: Path, data: bytes, said: str) -> None:
    """The message says what the file is instead."""
    path = write(tmp_path / "file", data)
    with pytest.raises(LabError, match=f"^{path}: .*{said}"):
        _resolve(path)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("/nowhere/bzImage", "no such file; a kernel is `debian`"),
        ("host", "no such file; a kernel is `debian`"),
        ("/dev/null", "neither a file nor a folder"),
        ("/proc", "without arch/x86/boot/bzImage"),
        ("debian:potato", "unknown suite; known are bullseye, bookworm"),
        ("debian:", "unknown suite"),
    ],
)
def test_a_spec_that_names_nothing_is_refused(spec: str, said: str) -> None:
    """The message lists what is accepted."""
    with pytest.raises(LabError, match=said):
        _resolve(spec)


def test_config_settings_are_facts() -> None:
    """Quotes go, comments go, and what is said not to be set is n."""
    text = '#\n# Linux/x86\n#\nCONFIG_A=y\nCONFIG_S="a b"\nCONFIG_N=0x10\n# CONFIG_B is not set\n'
    facts = {"CONFIG_A": "y", "CONFIG_S": "a b", "CONFIG_N": "0x10", "CONFIG_B": "n"}
    assert parse_config(text) == facts
