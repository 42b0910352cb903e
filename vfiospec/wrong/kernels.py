# SPDX-License-Identifier: MIT
"""Wrong kernels: edits of the driver's source that break one rule, as data."""

from pathlib import Path
from typing import Final

import msgspec

from vfiospec.rules import all_rules
from vfiospec.undecodable import UNDECODABLE
from vfiospec.wrong.edits import Edit
from vfiospec.wrong.model import WrongError

KERNELS: Final = Path(__file__).parent / "kernels"


class WrongKernel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A kernel that breaks one promise by what its driver does, not by what it says."""

    id: str
    rule: str
    what: str
    edit: tuple[Edit, ...]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kernel: tuple[WrongKernel, ...] = ()


def load(folder: Path = KERNELS) -> tuple[WrongKernel, ...]:
    """Read every file of a folder. WrongError names the file and what is wrong in it."""
    found: dict[str, WrongKernel] = {}
    rules = all_rules()
    for path in sorted(folder.glob("*.toml")):
        try:
            read = msgspec.toml.decode(path.read_bytes(), type=_File)
        except (OSError, *UNDECODABLE) as e:
            raise WrongError(f"{path}: {e}") from e
        for kernel in read.kernel:
            if kernel.id in found:
                raise WrongError(f"{path}: {kernel.id} is there twice")
            if kernel.rule not in rules:
                raise WrongError(f"{path}: {kernel.id} breaks {kernel.rule!r}, no rule")
            if not kernel.edit:
                raise WrongError(f"{path}: {kernel.id} edits nothing")
            found[kernel.id] = kernel
    return tuple(found.values())
