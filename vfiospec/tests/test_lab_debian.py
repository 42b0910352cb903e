# SPDX-License-Identifier: MIT
"""Which packages a kernel of Debian is made of, and that it is fetched once."""

import time
from pathlib import Path

import pytest

from vfiospec.lab import debian
from vfiospec.lab.apt import Apt
from vfiospec.lab.cache import LabError

SPLIT = (
    "Package: linux-image-7.2.12+deb13-amd64\n"
    "Depends: dracut | initramfs-tools (>= 0.120+deb8u2) | linux-initramfs-tool,"
    " linux-base-7.2.12+deb13-amd64 (= 7.2.12-1~bpo13+1),\n"
    " linux-binary-7.2.12+deb13-amd64 (= 7.2.12-1~bpo13+1),"
    " linux-modules-7.2.12+deb13-amd64 (= 7.2.12-1~bpo13+1)\n"
    "Description: none\n"
)


@pytest.mark.parametrize(
    ("stanza", "release"),
    [
        ("Depends: linux-image-6.1.0-56-amd64 (= 6.1.192-2)\n", "6.1.0-56-amd64"),
        ("Depends: linux-image-6.12.117+deb13-amd64 (= 6.12.117-1)\n", "6.12.117+deb13-amd64"),
        (
            "Depends: linux-base-amd64 (= 7.2.12-1), linux-image-7.2.12+deb13-amd64 (= 7.2.12-1)\n",
            "7.2.12+deb13-amd64",
        ),
        (
            "Depends: linux-image-7.3-amd64 (= 7.3-1) | linux-image-7.3-amd64-unsigned (= 7.3-1)\n",
            "7.3-amd64",
        ),
        ("Depends: linux-image-7.3-amd64-unsigned (= 7.3-1)\n", "7.3-amd64"),
        ("Recommends: linux-image-6.1.0-1-amd64\nDepends: linux-base\n", None),
    ],
    ids=["plain", "deb13", "with-base", "alternative", "unsigned", "none"],
)
def test_the_image_a_meta_package_depends_on(stanza: str, release: str | None) -> None:
    """Each shape that Debian's meta packages have or had."""
    assert debian.image_release(debian.depends(stanza)) == release


def test_an_image_that_holds_everything_is_one_package() -> None:
    """Packages named after no release (linux-base, kmod) are no part of the kernel."""
    stanza = "Depends: kmod, linux-base (>= 4.3~), initramfs-tools | linux-initramfs-tool\n"
    parts = debian.parts_of_image("6.1.0-56-amd64", debian.depends(stanza))
    assert parts == ["linux-image-6.1.0-56-amd64"]


def test_an_empty_image_brings_its_parts() -> None:
    """Since 7.2: kernel, modules and config are packages of their own."""
    assert debian.parts_of_image("7.2.12+deb13-amd64", debian.depends(SPLIT)) == [
        "linux-image-7.2.12+deb13-amd64",
        "linux-base-7.2.12+deb13-amd64",
        "linux-binary-7.2.12+deb13-amd64",
        "linux-modules-7.2.12+deb13-amd64",
    ]


@pytest.mark.parametrize(
    ("version", "release"),
    [
        ("7.2", "7.2.12+deb13-amd64"),
        ("7.2.9", "7.2.9+deb13-amd64"),
        ("7.2.1", None),
        ("6.1", "6.1.0-56-amd64"),
        ("7", "7.2.12+deb13-amd64"),
        ("8", None),
    ],
)
def test_the_newest_image_of_a_version(version: str, release: str | None) -> None:
    """Numbers count as numbers and end where they end; other flavours are passed over."""
    names = [
        *("linux-image-7.2.9+deb13-amd64", "linux-image-7.2.12+deb13-amd64"),
        *("linux-image-7.2.13+deb13-cloud-amd64", "linux-image-7.2.14+deb13-amd64-dbg"),
        *("linux-image-6.1.0-9-amd64", "linux-image-6.1.0-56-amd64", "linux-image-amd64"),
        "linux-image-6.1.0-57-rt-amd64",
    ]
    assert debian.newest_image(names, version) == release


def test_what_stands_behind_the_equals_sign_is_a_version() -> None:
    """Before anything is fetched."""
    with pytest.raises(LabError, match="debian:trixie=new: behind = stands a version"):
        debian.fetch_kernel("trixie=new", lambda _: None)


def test_an_unknown_suite_is_refused_with_the_known_ones() -> None:
    """Before anything is fetched."""
    with pytest.raises(LabError, match="potato: unknown suite; known are bullseye, bookworm"):
        debian.fetch_kernel("potato", lambda _: None)


def test_without_apt_the_message_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A machine of another distribution can still test a kernel by path."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match="no apt-get on this machine; give the path"):
        Apt("bookworm", tmp_path)


def test_the_kernel_of_this_machines_suite_is_fetched_once() -> None:
    """The real thing, through the cache: whole, and a second time without a word or a wait."""
    suite = debian.suite_of_this_machine()
    kernel = debian.fetch_kernel(suite, lambda _: None)
    assert kernel.vmlinuz.stat().st_size > 1_000_000
    assert any(kernel.modules[0].rglob("vfio-pci.ko*"))
    assert kernel.config
    said: list[str] = []
    start = time.monotonic()
    assert debian.fetch_kernel(suite, said.append) == kernel
    assert said == []
    assert time.monotonic() - start < 1


def test_without_a_mirror_the_cached_kernel_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy nobody listens on stands for the lost network; progress hears what is used."""
    suite = debian.suite_of_this_machine()
    kernel = debian.fetch_kernel(suite, lambda _: None)
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    said: list[str] = []
    assert debian.fetch_kernel(suite, said.append, refresh=True) == kernel
    assert said[-1].endswith(f"using {kernel.package} {kernel.version} from the cache")


def test_without_a_mirror_and_a_cache_apts_reason_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The user reads apt's own line about what it could not fetch; which one is apt's affair."""
    monkeypatch.setenv("VFIOSPEC_CACHE", str(tmp_path))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(
        LabError, match=r"apt-get update failed: E: (Failed to fetch|The repository) "
    ):
        debian.fetch_kernel(debian.suite_of_this_machine(), lambda _: None)
