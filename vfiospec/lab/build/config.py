# SPDX-License-Identifier: MIT
"""What became of the options a profile asks for, once kconfig has weighed them."""

import re
from collections.abc import Mapping
from pathlib import Path

from vfiospec.lab.build.profiles import Profile, Version
from vfiospec.lab.cache import LabError

_DEFINES = re.compile(r"^\s*(?:menu)?config\s+(\w+)\s*$", re.MULTILINE)
# Kconfig files of other architectures define symbols that this build cannot have.
_ARCH = "x86"


def definitions(tree: Path) -> dict[str, str]:
    """Where each option of a source is defined: CONFIG_ name to a file below tree."""
    found: dict[str, str] = {}
    for path in sorted(tree.rglob("Kconfig*")):
        place = path.relative_to(tree)
        if place.parts[0] == "arch" and len(place.parts) > 2 and place.parts[1] != _ARCH:  # noqa: PLR2004 -- arch/NAME/file
            continue
        if path.is_file():
            for name in _DEFINES.findall(path.read_text(encoding="utf-8", errors="replace")):
                found.setdefault(f"CONFIG_{name}", str(place))
    return found


def lost(
    profile: Profile,
    config: Mapping[str, str],
    defined: Mapping[str, str],
    version: Version,
) -> list[str]:
    """Say of each option that is not as the profile asks what became of it.

    config is a parsed .config, version the source's. An option this source does not define is
    excused if its fragment says that this version has none.
    """
    problems = []
    for option in profile.options.values():
        wanted, got = option.value.strip('"'), config.get(option.name, "n")
        if got == wanted:
            continue
        if option.name in defined:
            where = defined[option.name]
            problems.append(f"{option.name}={wanted} became {got} (defined in {where})")
        elif option.expected(version):
            problems.append(f"{option.name} is defined nowhere in this source")
    return problems


def check(
    profile: Profile,
    config: Mapping[str, str],
    defined: Mapping[str, str],
    version: Version,
) -> None:
    """LabError that names every option that got lost."""
    problems = lost(profile, config, defined, version)
    if problems:
        raise LabError(
            f"profile {profile.name}: {len(problems)} of its options got lost: "
            f"{'; '.join(problems)}; what they depend on is missing"
        )
