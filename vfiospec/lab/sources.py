# SPDX-License-Identifier: MIT
"""Where this machine gets Debian from: its own apt sources, read and never changed."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vfiospec.lab.cache import LabError

STABLE_SUITES = ("bullseye", "bookworm", "trixie")
SUITES = (*STABLE_SUITES, "trixie-backports", "bookworm-backports", "sid", "experimental")

_ONE_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^\]]*)\]\s*)?(?P<uri>\S+)\s+(?P<rest>.+)")
_KEYRINGS = Path("/usr/share/keyrings")
_KEYRING_NAMES = ("debian-archive-keyring.gpg", "debian-archive-keyring.pgp")


@dataclass(frozen=True, slots=True)
class Source:
    """One archive as a source entry names it; keyring is None if the entry names no key file."""

    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    keyring: Path | None


@dataclass(frozen=True, slots=True)
class Mirrors:
    """The archives to fetch Debian suites from, each as (URI, keyring); security may be absent."""

    main: tuple[str, Path]
    security: tuple[str, Path] | None

    def lines(self, suite: str) -> str:
        """Return the sources.list that serves suite, with its security updates if it has any."""
        wanted = [(self.main, suite)]
        if self.security and suite in STABLE_SUITES:
            wanted.append((self.security, f"{suite}-security"))
        # Only the package lists: no translations, no contents, no desktop metadata.
        return "".join(
            f"deb [arch=amd64 target=Packages signed-by={keyring}] {uri} {name} main\n"
            for (uri, keyring), name in wanted
        )


def parse_one_line(text: str) -> list[Source]:
    """Return the enabled binary sources of a *.list file."""
    found = []
    for line in text.splitlines():
        match = _ONE_LINE.fullmatch(line.partition("#")[0].strip())
        if match is None:
            continue
        suite, *components = match["rest"].split()
        options = dict(part.partition("=")[::2] for part in (match["options"] or "").split())
        keyring = _key_file(options.get("signed-by", "").split(",")[0])
        found.append(Source((match["uri"],), (suite,), tuple(components), keyring))
    return found


def parse_deb822(text: str) -> list[Source]:
    """Return the enabled binary sources of a *.sources file."""
    found = []
    for entry in _stanzas(text):
        if entry.get("enabled", "yes").lower() in {"no", "false", "off", "0"}:
            continue
        if "deb" not in entry.get("types", "").split():
            continue
        uris, suites, components = (
            tuple(entry.get(field, "").split()) for field in ("uris", "suites", "components")
        )
        keys = entry.get("signed-by", "").replace(",", " ").split()
        found.append(Source(uris, suites, components, _key_file(keys[0] if keys else "")))
    return [source for source in found if source.uris]


def machine_sources(etc_apt: Path = Path("/etc/apt")) -> list[Source]:
    """Return every enabled binary source of this machine, in apt's order; unreadable ones not."""
    parts = etc_apt / "sources.list.d"
    found = []
    for path in (etc_apt / "sources.list", *sorted(parts.glob("*.list"))):
        found += parse_one_line(_text(path))
    for path in sorted(parts.glob("*.sources")):
        found += parse_deb822(_text(path))
    return found


def choose_mirrors(sources: list[Source], codename: str | None) -> Mirrors:
    """Pick Debian's own archives out of sources; codename is this machine's Debian release.

    Third parties use the same suite names, so entries signed by Debian's archive keyring come
    first, then those that name no key, and of these the one that serves -updates too. A wrong
    pick cannot go unnoticed: apt checks the signature. Raises LabError if nothing serves Debian.
    """
    names = {*SUITES, codename} - {None}
    main = _best(sources, {str(name) for name in names})
    if main is None:
        msg = (
            "no apt source of this machine serves Debian's main archive; add one to"
            " /etc/apt/sources.list.d, or give the path of a kernel image or of a built tree"
        )
        raise LabError(msg)
    return Mirrors(main, _best(sources, {f"{name}-security" for name in names}))


def machine_codename(os_release: Path = Path("/etc/os-release")) -> str | None:
    """Return the codename of the Debian release this machine runs; None if it is not Debian."""
    lines = _text(os_release).splitlines()
    facts = {key: value.strip("\"'") for key, _, value in (line.partition("=") for line in lines)}
    return facts.get("VERSION_CODENAME") if facts.get("ID") == "debian" else None


def _best(sources: list[Source], suites: set[str]) -> tuple[str, Path] | None:
    updated = {uri for one in sources if _updates(one) for uri in one.uris}
    ranked = sorted(
        (_rank(one), uri not in updated, at, uri, one.keyring or _archive_keyring())
        for at, one in enumerate(sources)
        if suites.intersection(one.suites) and "main" in one.components
        for uri in one.uris[:1]
    )
    return ranked[0][3:] if ranked else None


def _rank(source: Source) -> int:
    if source.keyring is None:
        return 1
    return 0 if source.keyring.name.startswith("debian-archive-") else 2


def _updates(source: Source) -> bool:
    return any(suite.endswith("-updates") for suite in source.suites)


def _archive_keyring() -> Path:
    present = [_KEYRINGS / name for name in _KEYRING_NAMES if (_KEYRINGS / name).exists()]
    return present[0] if present else _KEYRINGS / _KEYRING_NAMES[0]


def _key_file(value: str) -> Path | None:
    # A key can also be given inline or by fingerprint; the archive keyring stands in for those.
    return Path(value) if value.startswith("/") else None


def _stanzas(text: str) -> Iterator[dict[str, str]]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for block in re.split(r"\n\s*\n", "\n".join(lines)):
        entry: dict[str, str] = {}
        field = ""
        for line in block.splitlines():
            if line[:1].isspace() and field:
                entry[field] += f"\n{line.strip()}"
            elif ":" in line:
                name, _, value = line.partition(":")
                field = name.strip().lower()
                entry[field] = value.strip()
        if entry:
            yield entry


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
