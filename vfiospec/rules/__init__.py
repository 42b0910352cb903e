# SPDX-License-Identifier: MIT
"""The promises of the ABI, each stated once, one module per chapter."""

import importlib
import pkgutil

from vfiospec.rules.model import Rule, registered


def all_rules() -> dict[str, Rule]:
    """Every rule of every chapter, by id, in the order of declaration."""
    for chapter in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{chapter.name}")
    return registered()
