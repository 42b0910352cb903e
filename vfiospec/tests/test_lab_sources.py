# SPDX-License-Identifier: MIT
"""Debian's mirrors, found among the apt sources of this machine."""

from pathlib import Path

import pytest

from vfiospec.lab.cache import LabError
from vfiospec.lab.sources import (
    Mirrors,
    choose_mirrors,
    machine_codename,
    machine_sources,
    parse_deb822,
    parse_one_line,
)

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
VENDOR_KEYRING = "/usr/share/keyrings/vendor.gpg"

DEB822 = f"""\
# The archive
Types: deb deb-src
# an address that is no longer used
URIs: http://mirror.test/debian
Suites: bookworm bookworm-updates
Components: main non-free-firmware
Signed-By: {KEYRING}

Types: deb
URIs: http://security.test/debian-security/
Suites: bookworm-security
Components: main
signed-by: {KEYRING}

Enabled: no
Types: deb
URIs: http://off.test/debian
Suites: bookworm
Components: main

Types: deb-src
URIs: http://src.test/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://inline.test/x
Suites: stable
Components: contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 URIs: http://not-a-field.test
 -----END PGP PUBLIC KEY BLOCK-----
"""

ONE_LINE = f"""\
# deb http://off.test/debian bookworm main
deb-src http://src.test/debian bookworm main
deb http://vendor.test/apt bookworm main  # a third party, unsigned
deb [arch=amd64 signed-by={VENDOR_KEYRING}] http://vendor2.test/apt bookworm main

deb [ signed-by={KEYRING} ] http://mirror.test/debian bookworm main contrib
deb http://mirror.test/debian bookworm-updates main
"""


def test_deb822_gives_the_enabled_binary_sources() -> None:
    """Comments, disabled stanzas, source-only stanzas and key blocks do not confuse it."""
    sources = parse_deb822(DEB822)
    assert [source.uris[0] for source in sources] == [
        "http://mirror.test/debian",
        "http://security.test/debian-security/",
        "http://inline.test/x",
    ]
    assert sources[0].suites == ("bookworm", "bookworm-updates")
    assert [source.keyring for source in sources] == [KEYRING, KEYRING, None]


def test_one_line_format_gives_the_enabled_binary_sources() -> None:
    """Options with and without inner spaces, and trailing comments."""
    sources = parse_one_line(ONE_LINE)
    assert [(source.uris[0], source.keyring) for source in sources] == [
        ("http://vendor.test/apt", None),
        ("http://vendor2.test/apt", Path(VENDOR_KEYRING)),
        ("http://mirror.test/debian", KEYRING),
        ("http://mirror.test/debian", None),
    ]
    assert sources[0].components == ("main",)


def test_the_mirror_and_the_security_mirror_are_found() -> None:
    """A stable suite comes with its security updates, signed by the machine's keyring."""
    mirrors = choose_mirrors(parse_deb822(DEB822), "bookworm")
    head = f"deb [arch=amd64 target=Packages signed-by={KEYRING}]"
    assert mirrors.lines("trixie").splitlines() == [
        f"{head} http://mirror.test/debian trixie main",
        f"{head} http://security.test/debian-security/ trixie-security main",
    ]


@pytest.mark.parametrize("suite", ["sid", "experimental", "trixie-backports"])
def test_only_stable_suites_have_security_updates(suite: str) -> None:
    """There is no sid-security to ask for."""
    lines = choose_mirrors(parse_deb822(DEB822), "bookworm").lines(suite)
    assert [line.split("] ")[1] for line in lines.splitlines()] == [
        f"http://mirror.test/debian {suite} main"
    ]


def test_third_parties_with_debian_suite_names_are_passed_over() -> None:
    """The entry signed by Debian's keyring wins though it comes last."""
    mirrors = choose_mirrors(parse_one_line(ONE_LINE), "bookworm")
    assert mirrors == Mirrors(("http://mirror.test/debian", KEYRING), None)


def test_of_unsigned_entries_the_one_with_updates_wins() -> None:
    """Debian serves bookworm-updates too, a third party does not."""
    text = (
        "deb http://vendor.test/apt bookworm main\n"
        "deb http://mirror.test/debian bookworm main\n"
        "deb http://mirror.test/debian bookworm-updates main\n"
    )
    assert choose_mirrors(parse_one_line(text), "bookworm").main[0] == "http://mirror.test/debian"


def test_a_machine_without_debian_sources_is_told_what_to_do() -> None:
    """Another distribution's sources are not taken for Debian's."""
    sources = parse_one_line("deb http://archive.test/ubuntu noble main\n")
    with pytest.raises(LabError, match="no apt source of this machine serves Debian"):
        choose_mirrors(sources, None)


def test_all_places_of_apt_sources_are_read(tmp_path: Path) -> None:
    """sources.list, *.list and *.sources count; a file apt ignores does not."""
    (tmp_path / "sources.list.d").mkdir()
    for name, text in {
        "sources.list": "deb http://a.test bookworm main\n",
        "sources.list.d/b.list": "deb http://b.test bookworm main\n",
        "sources.list.d/c.sources": "Types: deb\nURIs: http://c.test\nSuites: bookworm\n",
        "sources.list.d/d.list.disabled": "deb http://d.test bookworm main\n",
    }.items():
        (tmp_path / name).write_text(text)
    uris = [source.uris[0] for source in machine_sources(tmp_path)]
    assert uris == ["http://a.test", "http://b.test", "http://c.test"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('ID=debian\nVERSION_CODENAME="trixie"\n', "trixie"),
        ("ID=ubuntu\nVERSION_CODENAME=noble\n", None),
        ("ID=debian\n", None),
    ],
    ids=["debian", "ubuntu", "no-codename"],
)
def test_the_codename_of_this_machine(tmp_path: Path, text: str, expected: str | None) -> None:
    """Only Debian's own codenames name Debian suites."""
    (tmp_path / "os-release").write_text(text)
    assert machine_codename(tmp_path / "os-release") == expected
