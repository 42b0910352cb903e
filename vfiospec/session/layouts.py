# SPDX-License-Identifier: MIT
"""`pytest suites --layout SOURCE`: the suites with the structures of other headers.

vfiospec.abi declares what the newest headers have. With this option, every structure of vfio.h that
SOURCE has too is a class made from it instead, before anything else of vfiospec is imported: the
tests and the device layer stay as they are, and ask as a program built with those headers would.
SOURCE is as that of `vfiospec abi show`, or `history:6.1` for what corpora/abi has.
"""

import sys
from pathlib import Path
from typing import Final

import pytest

from vfiospec.abi import vfio
from vfiospec.abi.base import AbiStruct
from vfiospec.lab import LabError
from vfiospec.lab.layouts import read
from vfiospec.layout import LayoutError
from vfiospec.layout.fixtures import Fixtures
from vfiospec.layout.history import HISTORY
from vfiospec.layout.history import read as read_history
from vfiospec.layout.model import Abi

_TOO_LATE: Final = "vfiospec.device.device"  # which has taken the classes of vfiospec.abi by then


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the option."""
    parser.getgroup("vfiospec", "what is judged").addoption(
        "--layout",
        default=None,
        metavar="SOURCE",
        help="structures as these headers have them: debian:bullseye, a folder of headers, a "
        "kernel tree, an object, or history:6.1",
    )


def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Put the classes in place while nobody has taken the others."""
    source = early_config.known_args_namespace.layout
    if source is None:
        return
    try:
        substitute(_abi(source))
    except (LabError, LayoutError) as e:
        raise pytest.UsageError(f"--layout: {e}") from e


def substitute(abi: Abi) -> list[str]:
    """Replace the structures of vfio.h by those of a layout; return their names."""
    if _TOO_LATE in sys.modules:
        raise LayoutError("layouts are chosen before tests are loaded: run it as `pytest suites`")
    fixtures = Fixtures(abi.wide)
    names = [
        name
        for name, value in vars(vfio).items()
        if isinstance(value, type) and issubclass(value, AbiStruct) and name in abi.wide.structs
    ]
    if not names:
        raise LayoutError(f"{abi.source}: no structure of vfio.h in it")
    for name in names:
        setattr(vfio, name, fixtures.struct(name))
    return names


def _abi(source: str) -> Abi:
    name, colon, kernel = source.partition(":")
    if name == "history" and colon:
        return read_history(Path(__file__).parents[2] / HISTORY).abi(kernel)
    return read(source, _say)


def _say(text: str) -> None:
    sys.stderr.write(f"vfiospec: {text}\n")
