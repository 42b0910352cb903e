# SPDX-License-Identifier: MIT
"""Building into the cache: once, whole or not at all, and the source left as it was."""

from pathlib import Path

import pytest

from vfiospec.lab.build import builder, record
from vfiospec.lab.build.profiles import Option, Profile
from vfiospec.lab.cache import LabError
from vfiospec.lab.kernel import resolve
from vfiospec.tests.made_up_linux import Shown, make_linux, pack

PROFILE = Profile("conformance", {"CONFIG_VFIO": Option("CONFIG_VFIO", "m")}, {})


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, on a machine that has every tool."""
    monkeypatch.setenv("VFIOSPEC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(builder, "check_tools", lambda: None)
    return tmp_path / "cache"


@pytest.fixture
def tarball(tmp_path: Path) -> Path:
    return pack(make_linux(tmp_path / "packed"), tmp_path / "linux-7.2.tar.xz")


def _build(
    spec: Path, shown: Shown | None = None, profile: Profile = PROFILE, *, force: bool = False
) -> Path:
    return builder.build_kernel(str(spec), profile, shown or Shown(), jobs=1, force=force)


def _files(tree: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}


def test_a_build_is_a_kernel_that_run_takes(tarball: Path) -> None:
    kernel = resolve(str(_build(tarball)), None, lambda _: None)
    assert kernel.release == "7.2.12-conformance"
    assert kernel.config["CONFIG_VFIO"] == "m"
    assert "vfio" in kernel.modules.paths


def test_a_build_is_recorded(tarball: Path) -> None:
    """What it was made of, how long it took and how many files were compiled."""
    entry = record.read(_build(tarball))
    assert entry is not None
    assert (entry.spec, entry.source, entry.profile) == (str(tarball), "linux-7.2", "conformance")
    assert entry.finished is not None
    assert entry.objects == 2


def test_the_same_build_is_made_once(tarball: Path) -> None:
    shown = Shown()
    assert _build(tarball) == _build(tarball, shown)
    assert shown.ticks == []
    assert "is built already" in shown.notes[-1]


def test_force_builds_it_anew(tarball: Path) -> None:
    folder = _build(tarball)
    (folder / "left").touch()
    shown = Shown()
    assert _build(tarball, shown, force=True) == folder
    assert shown.ticks
    assert not (folder / "left").exists()


def test_other_options_are_another_build(tarball: Path) -> None:
    other = Profile("conformance", {"CONFIG_SLUB": Option("CONFIG_SLUB", "y")}, {})
    assert _build(tarball) != _build(tarball, profile=other)


def test_another_compiler_is_another_build(tarball: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = _build(tarball)
    monkeypatch.setattr(builder, "compiler", lambda: "gcc 99")
    assert _build(tarball) != one


def test_an_option_that_got_lost_fails_the_build_by_name(tmp_path: Path) -> None:
    """With the file that defines it; and nothing there can be booted."""
    tree = make_linux(tmp_path / "linux", spoil="sed -i /CONFIG_VFIO=/d $(O)/.config")
    with pytest.raises(LabError, match=r"CONFIG_VFIO=m became n \(defined in Kconfig\)"):
        _build(tree)
    (folder, entry), *_ = record.builds()
    assert entry.finished is None
    with pytest.raises(
        LabError, match=r"not finished; run `vfiospec kernels build .* --profile conformance"
    ):
        resolve(str(folder), None, lambda _: None)


def test_an_interrupted_build_is_refused_and_then_goes_on(tarball: Path) -> None:
    """Even when the image and some modules are there already."""

    class Interrupting(Shown):
        def tick(self, compiled: int) -> None:
            if compiled == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _build(tarball, Interrupting())
    (folder, _), *_ = record.builds()
    assert (folder / "arch/x86/boot/bzImage").exists()
    with pytest.raises(LabError, match="this build was not finished"):
        resolve(str(folder), None, lambda _: None)
    shown = Shown()
    assert _build(tarball, shown) == folder
    assert shown.ticks
    assert not any("configuring" in note for note in shown.notes)
    assert resolve(str(folder), None, lambda _: None).tree == folder


def test_a_failed_build_names_its_log(tmp_path: Path) -> None:
    tree = make_linux(tmp_path / "linux")
    (tree / "vfio.c").write_text("error: no such field\n")
    with pytest.raises(LabError, match=r"error: no such field; all it said is in .*build.log"):
        _build(tree)


def test_a_tree_of_the_users_is_left_as_it_is(tmp_path: Path) -> None:
    tree = make_linux(tmp_path / "linux")
    before = _files(tree)
    _build(tree)
    assert _files(tree) == before


def test_a_tree_of_the_users_is_built_each_time(tmp_path: Path) -> None:
    """It may have changed, which only make can tell; it is the same build all the same."""
    tree = make_linux(tmp_path / "linux")
    folder = _build(tree)
    (tree / "vfio.c").write_text("better\n")
    shown = Shown()
    assert _build(tree, shown) == folder
    assert shown.ticks


def test_a_path_kbuild_cannot_take_is_refused(tmp_path: Path) -> None:
    tree = make_linux(tmp_path / "my linux")
    with pytest.raises(LabError, match="no path with a space or a colon"):
        _build(tree)


def test_a_full_disk_is_noticed_before_it_is_full(
    tarball: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builder, "_ROOM", 1 << 60)
    with pytest.raises(LabError, match=r"MiB free, and a build needs .*kernels prune"):
        _build(tarball)


def test_a_built_tree_is_brought_up_to_date(tmp_path: Path) -> None:
    """With what it was built with, though only its folder is named."""
    tree = make_linux(tmp_path / "linux")
    folder = _build(tree)
    (tree / "module").write_bytes(b"changed")
    builder.rebuild(folder, Shown(), jobs=1)
    assert (folder / "drivers/vfio/vfio.ko").read_bytes() == b"changed"
    entry = record.read(folder)
    assert entry is not None
    assert entry.finished is not None


def test_what_is_brought_up_to_date_stays_instrumented(tmp_path: Path) -> None:
    """Else make would compile it again, without."""
    profile = Profile("fuzz", PROFILE.options, {"KCOV_INSTRUMENT": "here"})
    folder = _build(make_linux(tmp_path / "linux"), profile=profile)
    builder.rebuild(folder, Shown(), jobs=1)
    log = (folder / record.LOG).read_text()
    assert log.count("instrumented: here\n") == 2


def test_an_update_that_fails_leaves_a_tree_that_is_refused(tmp_path: Path) -> None:
    tree = make_linux(tmp_path / "linux")
    folder = _build(tree)
    (tree / "vfio.c").write_text("error: no\n")
    with pytest.raises(LabError, match=r"make bzImage modules failed: .*error: no"):
        builder.rebuild(folder, Shown(), jobs=1)
    with pytest.raises(LabError, match="not finished"):
        resolve(str(folder), None, lambda _: None)


def test_a_tree_of_another_compiler_is_not_touched(tmp_path: Path) -> None:
    """Make would compile all of it again."""
    folder = _build(make_linux(tmp_path / "linux"))
    (folder / ".config").write_text('CONFIG_CC_VERSION_TEXT="clang version 19"\n')
    with pytest.raises(LabError, match="built with clang version 19, and here is gcc"):
        builder.rebuild(folder, Shown(), jobs=1)


def test_a_tree_without_a_config_cannot_be_brought_up_to_date(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"its \.config cannot be read .*; build it again"):
        builder.rebuild(tmp_path, Shown(), jobs=1)


def test_an_update_that_failed_can_be_made_again(tmp_path: Path) -> None:
    """When the mistake is mended."""
    tree = make_linux(tmp_path / "linux")
    folder = _build(tree)
    (tree / "vfio.c").write_text("error: no\n")
    with pytest.raises(LabError):
        builder.rebuild(folder, Shown(), jobs=1)
    (tree / "vfio.c").write_text("fine\n")
    builder.rebuild(folder, Shown(), jobs=1)
    assert resolve(str(folder), None, lambda _: None).tree == folder


def test_a_build_whose_source_is_gone_says_so(tmp_path: Path) -> None:
    tree = make_linux(tmp_path / "linux")
    folder = _build(tree)
    tree.rename(tmp_path / "moved")
    with pytest.raises(LabError, match=r"its source .*linux is gone; build it again"):
        builder.rebuild(folder, Shown(), jobs=1)
