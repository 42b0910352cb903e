# SPDX-License-Identifier: MIT
"""What a source of Linux is, and what is said of something that is none."""

from pathlib import Path

import pytest

from vfiospec.lab import debian
from vfiospec.lab.build import config
from vfiospec.lab.build.source import Source, open_source
from vfiospec.lab.cache import LabError
from vfiospec.tests.made_up_linux import make_linux, pack


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VFIOSPEC_CACHE", str(tmp_path / "cache"))


def _open(spec: Path | str) -> Source:
    return open_source(str(spec), lambda _: None)


def test_a_tree_is_known_by_its_path(tmp_path: Path) -> None:
    """What is in it may change."""
    tree = make_linux(tmp_path / "linux", version="6.12")
    source = _open(tree)
    assert (source.name, source.key, source.version) == ("linux-6.12.12", str(tree), (6, 12))
    assert source.editable


def test_a_tarball_is_known_by_its_content_and_unpacked_once(tmp_path: Path) -> None:
    tarball = pack(make_linux(tmp_path / "linux"), tmp_path / "linux-7.2.tar.xz")
    said: list[str] = []
    one = open_source(str(tarball), said.append)
    other = open_source(str(tarball.rename(tmp_path / "linux-7.2.tar")), said.append)
    assert one.key == other.key
    assert one.tree == other.tree
    assert said == ["unpacking linux-7.2.tar.xz"]
    assert not one.editable
    assert (one.tree / "Makefile").is_file()


@pytest.mark.parametrize("name", [".config", "include/config", "arch/x86/include/generated"])
def test_a_tree_built_in_place_is_refused_with_what_to_do(tmp_path: Path, name: str) -> None:
    tree = make_linux(tmp_path / "linux")
    (tree / name).mkdir(parents=True)
    with pytest.raises(LabError, match=r"built in place .*`vfiospec run --kernel .*make mrproper"):
        _open(tree)


@pytest.mark.parametrize("spec", ["debian", "nowhere", "debian-trixie"])
def test_what_is_nowhere_is_refused_with_what_is_accepted(spec: str) -> None:
    with pytest.raises(LabError, match=f"{spec}: no such file; a source is `debian:SUITE"):
        _open(spec)


def test_an_unknown_suite_is_refused() -> None:
    with pytest.raises(LabError, match="debian:potato: unknown suite"):
        _open("debian:potato")


@pytest.mark.parametrize(
    ("stanza", "package"),
    [
        ("Depends: linux-source-6.1 (= 6.1.192-2)\n", "linux-source-6.1"),
        ("Depends: linux-base, linux-source-7.2 (= 7.2.12-1~bpo13+1)\n", "linux-source-7.2"),
        ("Depends: linux-base\nRecommends: linux-source-6.1\n", None),
    ],
)
def test_the_source_a_meta_package_depends_on(stanza: str, package: str | None) -> None:
    assert debian.source_package(debian.depends(stanza)) == package


def test_a_folder_that_is_no_linux_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("all:\n")
    with pytest.raises(LabError, match="no source of Linux"):
        _open(tmp_path)


def test_a_file_that_is_no_tarball_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "linux-7.2.tar.xz"
    file.write_bytes(b"nothing")
    with pytest.raises(LabError, match="cannot be unpacked: "):
        _open(file)
    left = [path for path in (tmp_path / "cache/kernel-sources").iterdir() if path.name != ".locks"]
    assert left == []


def test_a_tarball_of_something_else_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with pytest.raises(LabError, match="no source of Linux"):
        _open(pack(tmp_path / "other", tmp_path / "other.tar.xz"))
    left = [path for path in (tmp_path / "cache/kernel-sources").iterdir() if path.name != ".locks"]
    assert left == []


def test_options_are_found_where_they_are_defined(tmp_path: Path) -> None:
    """Also those indented or of menuconfig; those of other architectures are not ours."""
    tree = make_linux(tmp_path / "linux")
    for place, text in (("arch/arm/Kconfig", "config ARM"), ("arch/x86/Kconfig", "config X86")):
        (tree / place).parent.mkdir(parents=True)
        (tree / place).write_text(f"{text}\n")
    (tree / "lib").mkdir()
    (tree / "lib/Kconfig.kasan").write_text("config KASAN\n  help\n    config VFIO is not here\n")
    assert config.definitions(tree) == {
        "CONFIG_VFIO": "Kconfig",
        "CONFIG_SLUB": "Kconfig",
        "CONFIG_X": "Kconfig",
        "CONFIG_KASAN": "Kconfig",
        "CONFIG_X86": "arch/x86/Kconfig",
    }
