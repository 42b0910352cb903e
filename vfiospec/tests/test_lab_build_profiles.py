# SPDX-License-Identifier: MIT
"""What fragments ask for, and that an option which got lost is named."""

import pytest

from vfiospec.lab.build import config, profiles
from vfiospec.lab.build.profiles import Option, Profile
from vfiospec.lab.cache import LabError

FRAGMENT = """\
# A group, with its reason.
CONFIG_VFIO=m
CONFIG_NAME="-test"
# CONFIG_SLUB_TINY is not set
CONFIG_YOUNG=y # since 6.19
CONFIG_OLD=y # before 7.3
"""


def _profile(text: str = FRAGMENT) -> Profile:
    return Profile("test", profiles.parse(text, "test.config"), {})


def test_a_fragment_is_options_with_their_kernels() -> None:
    assert profiles.parse(FRAGMENT, "test.config") == {
        "CONFIG_VFIO": Option("CONFIG_VFIO", "m"),
        "CONFIG_NAME": Option("CONFIG_NAME", '"-test"'),
        "CONFIG_SLUB_TINY": Option("CONFIG_SLUB_TINY", "n"),
        "CONFIG_YOUNG": Option("CONFIG_YOUNG", "y", since=(6, 19)),
        "CONFIG_OLD": Option("CONFIG_OLD", "y", before=(7, 3)),
    }


def test_kconfig_is_handed_plain_options() -> None:
    """Neither comments nor versions, which it would take for part of a value."""
    assert _profile().text() == (
        'CONFIG_VFIO=m\nCONFIG_NAME="-test"\n# CONFIG_SLUB_TINY is not set\n'
        "CONFIG_YOUNG=y\nCONFIG_OLD=y\n"
    )


@pytest.mark.parametrize(
    "line",
    ["VFIO=m", "CONFIG_VFIO m", "CONFIG_VFIO=m # after 6.1", "CONFIG_VFIO=m # why", " CONFIG_A=y"],
)
def test_a_line_that_is_no_option_is_refused_by_number(line: str) -> None:
    with pytest.raises(LabError, match=r"test\.config, line 2: .* is no option"):
        profiles.parse(f"CONFIG_X=y\n{line}\n", "test.config")


def test_an_option_said_twice_in_a_fragment_is_refused() -> None:
    with pytest.raises(LabError, match="line 2: CONFIG_A is there twice"):
        profiles.parse("CONFIG_A=y\n# CONFIG_A is not set\n", "test.config")


def test_an_unknown_profile_is_refused_with_the_known_ones() -> None:
    with pytest.raises(LabError, match="no profile 'fast'; there are conformance, fuzz, coverage"):
        profiles.load("fast")


@pytest.mark.parametrize("name", profiles.known())
def test_each_profile_has_vfio_and_a_release_of_its_own(name: str) -> None:
    options = profiles.load(name).options
    assert options["CONFIG_VFIO_PCI"].value == "m"
    assert options["CONFIG_VFIO_DEVICE_CDEV"].value == "y"
    assert options["CONFIG_LOCALVERSION"].value == f'"-{name}"'


def test_each_option_stands_below_a_comment_that_says_why() -> None:
    """No option opens a paragraph of a fragment."""
    for path in profiles.FOLDER.glob("*.config"):
        for paragraph in path.read_text(encoding="utf-8").strip().split("\n\n"):
            assert profiles.parse(paragraph.splitlines()[0], path.name) == {}, path.name


def test_only_where_vfio_lives_is_instrumented() -> None:
    """Kbuild expands such a variable in each folder it builds."""
    text = profiles.load("fuzz").variables["KCOV_INSTRUMENT"]
    assert text.startswith("$(if $(filter drivers/vfio drivers/vfio/% drivers/iommu/iommufd ")
    assert text.endswith(",$(obj)),y)")
    assert "KCOV_INSTRUMENT" not in profiles.load("conformance").variables


@pytest.mark.parametrize("name", profiles.known())
def test_nothing_git_says_gets_into_the_release(name: str) -> None:
    """Kbuild adds a plus sign to it unless this variable is given."""
    assert profiles.load(name).variables["LOCALVERSION"] == ""


def test_profiles_of_other_options_or_variables_differ_in_their_digest() -> None:
    options = profiles.parse(FRAGMENT, "test.config")
    same = {Profile("test", options, {}).digest(), _profile().digest()}
    assert len(same) == 1
    assert Profile("test", options, {"GCOV_PROFILE": "y"}).digest() not in same
    assert _profile("CONFIG_VFIO=y\n").digest() not in same


GOT = {"CONFIG_VFIO": "m", "CONFIG_NAME": "-test", "CONFIG_YOUNG": "y", "CONFIG_OLD": "y"}
DEFINED = dict.fromkeys((*GOT, "CONFIG_SLUB_TINY"), "mm/Kconfig")


def _lost(
    got: dict[str, str], defined: dict[str, str], version: tuple[int, ...] = (7, 0)
) -> list[str]:
    return config.lost(_profile(), got, defined, version)


def test_nothing_is_lost_when_all_is_as_asked_for() -> None:
    """An option that is not set need not be in the .config at all."""
    assert _lost(GOT, DEFINED) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"CONFIG_VFIO": "n"}, "CONFIG_VFIO=m became n (defined in mm/Kconfig)"),
        ({"CONFIG_VFIO": "y"}, "CONFIG_VFIO=m became y (defined in mm/Kconfig)"),
        ({"CONFIG_SLUB_TINY": "y"}, "CONFIG_SLUB_TINY=n became y (defined in mm/Kconfig)"),
        ({"CONFIG_NAME": "-other"}, "CONFIG_NAME=-test became -other (defined in mm/Kconfig)"),
    ],
    ids=["dropped", "built-in", "came-on", "other-text"],
)
def test_an_option_that_got_lost_is_named(change: dict[str, str], problem: str) -> None:
    assert _lost(GOT | change, DEFINED) == [problem]


@pytest.mark.parametrize(
    ("name", "version", "expected"),
    [
        ("CONFIG_YOUNG", (6, 18), False),
        ("CONFIG_YOUNG", (6, 19), True),
        ("CONFIG_OLD", (7, 2), True),
        ("CONFIG_OLD", (7, 3), False),
        ("CONFIG_VFIO", (5, 10), True),
    ],
)
def test_an_option_no_one_defines_is_excused_only_outside_of_its_kernels(
    name: str, version: tuple[int, ...], *, expected: bool
) -> None:
    got = {key: value for key, value in GOT.items() if key != name}
    defined = {key: value for key, value in DEFINED.items() if key != name}
    problems = [f"{name} is defined nowhere in this source"] if expected else []
    assert _lost(got, defined, version) == problems


def test_a_backported_option_counts_though_the_kernel_is_older() -> None:
    """What a source defines is asked of it, whatever its version."""
    got = {key: value for key, value in GOT.items() if key != "CONFIG_YOUNG"}
    assert _lost(got, DEFINED, (6, 12)) == ["CONFIG_YOUNG=y became n (defined in mm/Kconfig)"]


def test_what_a_kernel_has_outgrown_is_not_asked_of_it() -> None:
    everything = _profile().of((7, 2))
    assert everything.options == _profile().options
    left = _profile().of((7, 3)).options
    assert set(everything.options) - set(left) == {"CONFIG_OLD"}


def test_the_message_names_the_profile_and_every_loss() -> None:
    with pytest.raises(LabError, match="profile test: 2 of its options got lost: CONFIG_VFIO=m"):
        config.check(_profile(), {**GOT, "CONFIG_VFIO": "n", "CONFIG_OLD": "n"}, DEFINED, (7, 0))
