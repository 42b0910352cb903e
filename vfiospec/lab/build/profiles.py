# SPDX-License-Identifier: MIT
"""Profiles: which options a kernel is built with, and which folders are instrumented.

Options are read from vfiospec/lab/profiles/*.config, each said once with its reason.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from vfiospec.lab.cache import LabError

FOLDER = Path(__file__).parent.parent / "profiles"

# Where VFIO lives, as kbuild names folders.
_VFIO = ("drivers/vfio", "drivers/iommu/iommufd", "samples/vfio-mdev", "virt/lib")
_LAYERS: Mapping[str, tuple[str, ...]] = {
    "conformance": ("base", "checks"),
    "fuzz": ("base", "checks", "fuzz"),
    "coverage": ("base", "checks", "coverage"),
}
_INSTRUMENTED: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "fuzz": {"KCOV_INSTRUMENT": _VFIO},
    "coverage": {"GCOV_PROFILE": _VFIO},
}

_SET = re.compile(r"(?P<name>CONFIG_\w+)=(?P<value>\"[^\"]*\"|[\w.-]+)")
_UNSET = re.compile(r"# (?P<name>CONFIG_\w+) is not set")
_BOUND = re.compile(r"(?P<option>.+?)\s+# (?P<kind>since|before) (?P<version>\d+\.\d+)")


Version = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Option:
    """One option a fragment asks for; value n asks for its absence.

    A kernel older than since, or not older than before, need not have it.
    """

    name: str
    value: str
    since: Version = ()
    before: Version | None = None

    def expected(self, version: Version) -> bool:
        """Whether a source of this version has to have the option."""
        return version >= self.since and (self.before is None or version < self.before)

    def __str__(self) -> str:
        """As a .config says it."""
        return f"# {self.name} is not set" if self.value == "n" else f"{self.name}={self.value}"


@dataclass(frozen=True, slots=True)
class Profile:
    """What to build: options by name, and variables for every call of make."""

    name: str
    options: Mapping[str, Option]
    variables: Mapping[str, str]

    def of(self, version: Version) -> "Profile":
        """What is asked of a source of this version: nothing that it has outgrown."""
        kept = {n: o for n, o in self.options.items() if o.before is None or version < o.before}
        return replace(self, options=kept)

    def text(self) -> str:
        """The options as one fragment, for kconfig."""
        return "".join(f"{option}\n" for option in self.options.values())

    def digest(self) -> str:
        """Names all that decides what is built."""
        text = self.text() + repr(sorted(self.variables.items()))
        return hashlib.sha256(text.encode()).hexdigest()


def known() -> list[str]:
    """The profiles there are."""
    return list(_LAYERS)


def load(name: str) -> Profile:
    """Read a profile. LabError if there is none of that name, or if a fragment is malformed."""
    if name not in _LAYERS:
        raise LabError(f"no profile {name!r}; there are {', '.join(_LAYERS)}")
    options: dict[str, Option] = {}
    for layer in _LAYERS[name]:
        path = FOLDER / f"{layer}.config"
        options |= parse(path.read_text(encoding="utf-8"), path.name)
    # Part of the release, so that no module of one profile is taken for another's.
    local = Option("CONFIG_LOCALVERSION", f'"-{name}"')
    folders = _INSTRUMENTED.get(name, {})
    variables = {variable: _only_in(where) for variable, where in folders.items()}
    # Given, though empty, or the build would add what git says of the tree.
    variables["LOCALVERSION"] = ""
    return Profile(name, options | {local.name: local}, variables)


def of_a_folder(profile: str, variables: Mapping[str, str]) -> dict[str, str]:
    """The same variables where one instrumented folder is built outside of its tree.

    There kbuild calls the folder by another name, which the condition on it does not know.
    """
    return {**variables, **dict.fromkeys(_INSTRUMENTED.get(profile, {}), "y")}


def parse(text: str, where: str) -> dict[str, Option]:
    """Read a fragment. LabError names the line that is neither an option nor a comment."""
    options: dict[str, Option] = {}
    for number, line in enumerate(text.splitlines(), 1):
        bound = _BOUND.fullmatch(line)
        option = _option(bound["option"] if bound else line.rstrip())
        if option is None:
            if line.strip() and not line.startswith("#"):
                raise LabError(
                    f"{where}, line {number}: {line.strip()!r} is no option; write CONFIG_X=y, "
                    "`# CONFIG_X is not set` or a comment; "
                    "`# since X.Y` or `# before X.Y` may stand behind an option"
                )
            continue
        if option.name in options:
            raise LabError(f"{where}, line {number}: {option.name} is there twice; keep one")
        if bound:
            version = tuple(map(int, bound["version"].split(".")))
            young = bound["kind"] == "since"
            option = replace(option, since=version) if young else replace(option, before=version)
        options[option.name] = option
    return options


def _option(text: str) -> Option | None:
    if match := _UNSET.fullmatch(text):
        return Option(match["name"], "n")
    if match := _SET.fullmatch(text):
        return Option(match["name"], match["value"])
    return None


def _only_in(folders: tuple[str, ...]) -> str:
    # Kbuild reads such a variable in the makefile of each folder. Set on the command line, it
    # holds for all of them without an edit in the source, and is expanded anew in each.
    patterns = " ".join(f"{folder} {folder}/%" for folder in folders)
    return f"$(if $(filter {patterns},$(obj)),y)"
