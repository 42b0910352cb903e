# SPDX-License-Identifier: MIT
"""The options of a run: what they mean, and that what cannot be is refused in one line."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from vfiospec.lab import LabError
from vfiospec.session import options
from vfiospec.session.options import Options

pytest_plugins = ["pytester"]
BDF, OTHER = "0000:3b:00.0", "0000:3b:00.1"
Read = Callable[..., Options]


class OurOptions:
    """What conftest.py does at the root of the project."""

    def pytest_addoption(self, parser: pytest.Parser) -> None:
        options.add(parser)


@pytest.fixture
def read(pytester: pytest.Pytester) -> Read:
    """What a command line, as pytest takes it apart, gives."""
    pytester.plugins = [OurOptions()]
    pytester.makeini("[pytest]\n")  # so that this folder is the root
    return lambda *words: options.read(pytester.parseconfig(*words))


def test_without_options_a_guest_is_judged(read: Read, pytester: pytest.Pytester) -> None:
    made = read()
    assert (made.kernel, made.topology, made.accel, made.cpus) == ("debian", "default", "tcg", 1)
    assert (made.modules, made.devices, made.executor) == (None, (), ())
    assert (made.deadline, made.max_reboots, made.require) == (15.0, 10, ())
    assert (made.bits, made.dangerous, made.in_place, made.ways) == (64, False, False, ())
    assert made.out.parent == pytester.path / "reports"
    assert re.fullmatch(r"\d{8}-\d{6}", made.out.name)


def test_a_device_is_judged_in_place(read: Read) -> None:
    made = read("--device", BDF, "--device", OTHER)
    assert made.in_place
    assert (made.kernel, made.devices) == ("host", (BDF, OTHER))
    assert read("--device", BDF, "--kernel", "host").devices == (BDF,)


def test_values_are_read(read: Read, pytester: pytest.Pytester) -> None:
    words = ["--kernel", "debian:trixie", "--modules", "ko", "--topology", "t.toml", "--out", "o"]
    words += ["--accel", "kvm", "--cpus", "3", "--deadline", "0.5", "--max-reboots", "0"]
    words += ["--require", "conventions", "--require", "kernel"]
    made = read(*words)
    assert (made.kernel, made.topology, made.accel) == ("debian:trixie", "t.toml", "kvm")
    assert (made.modules, made.out) == (pytester.path / "ko", Path("o"))
    assert (made.cpus, made.deadline, made.max_reboots) == (3, 0.5, 0)
    assert made.require == ("conventions", "kernel")


def test_an_executor_is_a_command_as_a_shell_reads_it(read: Read) -> None:
    made = read("--device", BDF, "--executor", "ssh 'a host' vfiospec executor")
    assert made.executor == ("ssh", "a host", "vfiospec", "executor")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--device", "3b:00.0"], "--device 3b:00.0: not an address such as 0000:3b:00.0"),
        (["--device", "0000:3B:00.0"], "--device 0000:3B:00.0: not an address"),
        (["--device", BDF, "--device", BDF], f"--device {BDF} is there twice"),
        (["--kernel", "host"], "--kernel host judges devices you name: add --device"),
        (["--device", BDF, "--kernel", "debian"], "--kernel debian boots a guest"),
        (["--device", BDF, "--modules", "ko"], "--modules go into a guest"),
        (["--device", BDF, "--dangerous"], "--dangerous is for guests"),
        (["--device", BDF, "--bits", "32"], "--bits is for guests"),
        (["--executor", "ssh host x"], "--executor needs --device"),
        (["--device", BDF, "--executor", "ssh 'host"], "--executor ssh 'host: No closing"),
        (["--cpus", "0"], "--cpus 0: more than 0"),
        (["--cpus", "-1"], "--cpus -1: more than 0"),
        (["--deadline", "0"], "--deadline 0.0: more than 0"),
        (["--deadline", "nan"], "--deadline nan: more than 0"),
        (["--deadline", "inf"], "--deadline inf: more than 0"),
        (["--max-reboots", "-1"], "--max-reboots -1: 0 or more"),
    ],
)
def test_what_cannot_be_is_one_line(read: Read, words: list[str], says: str) -> None:
    with pytest.raises(LabError) as caught:
        read(*words)
    assert says in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_the_hook_of_our_own_tests_is_hidden(pytester: pytest.Pytester) -> None:
    pytester.plugins = [OurOptions()]
    config = pytester.parseconfig("--panic-in", "a.b")
    assert options.read(config).panic_in == "a.b"
    pytester.makeconftest(
        "from vfiospec.session import options\n"
        "def pytest_addoption(parser):\n    options.add(parser)\n"
    )
    shown = pytester.runpytest_inprocess("--help").stdout.str()
    assert "--max-reboots=N" in shown
    assert "--panic-in" not in shown
