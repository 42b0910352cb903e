# SPDX-License-Identifier: MIT
"""Which built kernels and sources go, and which stay."""

import fcntl
from pathlib import Path

import pytest

from vfiospec.lab.build import record
from vfiospec.lab.build.prune import prune
from vfiospec.lab.build.record import Record


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VFIOSPEC_CACHE", str(tmp_path))
    return tmp_path


def _build(cache: Path, name: str, started: float, *, finished: bool = True, **facts: str) -> Path:
    folder = cache / "kernels-built" / name
    folder.mkdir(parents=True)
    source = cache / "kernel-sources" / facts.get("source", "linux-1")
    source.mkdir(parents=True, exist_ok=True)
    entry = Record(
        spec=facts.get("spec", "debian:trixie"),
        source=source.name,
        tree=str(source),
        profile=facts.get("profile", "conformance"),
        compiler="gcc",
        variables={},
        started=started,
        finished=started + 1 if finished else None,
    )
    record.write(folder, entry)
    return folder


def _left(cache: Path) -> set[str]:
    folders = (cache / "kernels-built", cache / "kernel-sources")
    return {at.name for folder in folders for at in folder.iterdir() if at.name != ".locks"}


def _prune(*, everything: bool = False, dry_run: bool = False) -> list[str]:
    said: list[str] = []
    prune(said.append, everything=everything, dry_run=dry_run)
    return said


def test_the_newest_of_each_spec_and_profile_stays(cache: Path) -> None:
    _build(cache, "old", 1.0)
    _build(cache, "new", 2.0)
    _build(cache, "other-profile", 1.0, profile="fuzz")
    _build(cache, "other-spec", 1.0, spec="debian:sid")
    said = _prune()
    assert _left(cache) == {"new", "other-profile", "other-spec", "linux-1"}
    assert len(said) == 1
    assert "there is a newer conformance of debian:trixie" in said[0]


def test_an_unfinished_build_goes_and_replaces_nothing(cache: Path) -> None:
    _build(cache, "whole", 1.0)
    _build(cache, "half", 2.0, finished=False)
    _prune()
    assert _left(cache) == {"whole", "linux-1"}


def test_a_folder_without_a_record_goes(cache: Path) -> None:
    _build(cache, "whole", 1.0)
    (cache / "kernels-built/strange").mkdir()
    assert "it has no record" in _prune()[0]
    assert _left(cache) == {"whole", "linux-1"}


def test_a_source_goes_with_its_last_build(cache: Path) -> None:
    _build(cache, "old", 1.0, source="linux-old")
    _build(cache, "new", 2.0, source="linux-new")
    _prune()
    assert _left(cache) == {"new", "linux-new"}


def test_all_is_all(cache: Path) -> None:
    _build(cache, "one", 1.0)
    _prune(everything=True)
    assert _left(cache) == set()


def test_a_dry_run_names_the_same_and_removes_nothing(cache: Path) -> None:
    _build(cache, "old", 1.0, source="linux-old")
    _build(cache, "new", 2.0)
    before = _left(cache)
    told = [line.partition(":")[0] for line in _prune(dry_run=True)]
    assert _left(cache) == before
    assert told == [line.partition(":")[0] for line in _prune()]


def test_what_another_process_builds_stays_with_its_source(cache: Path) -> None:
    folder = _build(cache, "half", 1.0, finished=False)
    lock = record.lock_of(folder)
    lock.parent.mkdir()
    with lock.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        said = _prune()
    assert said == [f"{folder}: kept (another process has it)"]
    assert _left(cache) == {"half", "linux-1"}


def test_an_empty_cache_has_nothing_to_remove(cache: Path) -> None:
    assert _prune() == []
    assert not list(cache.iterdir())
