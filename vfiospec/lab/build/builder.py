# SPDX-License-Identifier: MIT
"""Builds a source with a profile into the cache, once, and picks up what was interrupted."""

import hashlib
import os
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import msgspec

from vfiospec.lab.build import config, record
from vfiospec.lab.build.make import Make, check_tools, compiler, own_environment
from vfiospec.lab.build.profiles import Profile
from vfiospec.lab.build.record import Record
from vfiospec.lab.build.source import Source, open_source
from vfiospec.lab.cache import LabError, locked, make_dir
from vfiospec.lab.kernel import parse_config

TARGETS = ("bzImage", "modules")
_FRAGMENT = "vfiospec.config"
# A build takes a third of it, twice that with debug information.
_ROOM = 4 << 30
_KEY = 12


class Show(Protocol):
    """Who watches a build: vfiospec.cli.building.Building."""

    def note(self, text: str) -> None:
        """Hear which phase begins."""

    def tick(self, compiled: int) -> None:
        """Hear that one more file was compiled."""


def build_kernel(
    spec: str, profile: Profile, show: Show, *, jobs: int, force: bool = False
) -> Path:
    """Return the folder of a kernel built from spec, which `run --kernel` takes.

    A finished build of a source that cannot change is returned at once, unless force asks for it
    anew; an interrupted one goes on where it stopped. LabError says what failed, and where its
    log is.
    """
    check_tools()
    source = open_source(spec, show.note)
    profile = profile.of(source.version)
    by = compiler()
    folder = folder_of(source, profile, by)
    _check_names(source.tree, folder)

    def waiting() -> None:
        show.note(f"{folder.name}: another vfiospec is building it; waiting")

    with locked(record.lock_of(folder), waiting):
        before = record.read(folder)
        if before and before.finished and not force and not source.editable:
            show.note(f"{folder.name} is built already, with {by}")
            return folder
        if force:
            shutil.rmtree(folder, ignore_errors=True)
        make_dir(folder)
        began = time.time()
        entry = Record(
            spec=spec if not source.editable else str(source.tree),
            source=source.name,
            tree=str(source.tree),
            profile=profile.name,
            compiler=by,
            variables=profile.variables,
            started=began,
            objects=before.objects if before else 0,
        )
        _check_room(folder)
        record.write(folder, entry)  # not finished: nobody boots what is half built
        if not (before and source.editable):
            (folder / record.LOG).unlink(missing_ok=True)
        make = Make(
            tree=source.tree,
            build=folder,
            log=folder / record.LOG,
            jobs=jobs,
            variables=profile.variables,
        )
        _configure(make, source, profile, show)
        show.note(f"compiling {folder.name} with {by}, {jobs} at a time")
        compiled = make.run(*TARGETS, tick=show.tick)
        done = time.time()
        entry = msgspec.structs.replace(
            entry,
            finished=done,
            seconds=done - began,
            objects=max(entry.objects, compiled),
        )
        record.write(folder, entry)
    return folder


def folder_of(source: Source, profile: Profile, by: str) -> Path:
    """Where a build belongs: the same folder for the same source, options and compiler."""
    facts = f"{source.key}\0{profile.digest()}\0{by}"
    key = hashlib.sha256(facts.encode()).hexdigest()[:_KEY]
    name = re.sub(r"[^\w.+-]", "-", source.name)
    return record.built_root() / f"{name}-{profile.name}-{key}"


def cpus() -> int:
    """The processors this process may use."""
    return len(os.sched_getaffinity(0))


def expected_objects(profile: str) -> int:
    """About how many files a build of this profile compiles; 0 if there never was one."""
    return max((one.objects for _, one in record.builds() if one.profile == profile), default=0)


def rebuild(folder: Path, show: Show, *, jobs: int) -> None:
    """Make what is out of date in a tree that is built already. LabError if that fails."""
    before = record.read(folder)
    source = folder if before is None else Path(before.tree)
    if not source.is_dir():
        raise LabError(f"{folder}: its source {source} is gone; build it again, or say --stale")
    _check_compiler(folder)
    # What is not ours gets neither a log nor a lock of ours put into it.
    own = folder if before else make_dir(record.built_root() / ".elsewhere" / _named(folder))

    def waiting() -> None:
        show.note(f"{folder}: another vfiospec is building it; waiting")

    with locked(record.lock_of(own), waiting):
        log = own / record.LOG
        make = Make(
            tree=source, build=None, log=log, jobs=jobs, variables={}, environment=os.environ
        )
        if before is not None:
            environment = own_environment()
            make = replace(make, build=folder, variables=before.variables, environment=environment)
            record.write(folder, msgspec.structs.replace(before, finished=None))
        show.note(f"building what changed in {source}")
        make.run(*TARGETS, tick=show.tick)
        if before is not None:
            record.write(folder, msgspec.structs.replace(before, finished=time.time()))


def _check_compiler(folder: Path) -> None:
    """LabError if make would take another compiler, and so compile everything anew."""
    check_tools()
    try:
        facts = parse_config((folder / ".config").read_text(encoding="utf-8"))
    except OSError as e:
        raise LabError(
            f"{folder}: its .config cannot be read ({e.strerror}); build it again"
        ) from e
    by, now = facts.get("CONFIG_CC_VERSION_TEXT", "an unknown compiler"), compiler()
    if by != now:
        raise LabError(
            f"{folder}: built with {by}, and here is {now}; build it yourself, then run again"
        )


def _configure(make: Make, source: Source, profile: Profile, show: Show) -> None:
    folder = make.log.parent
    fragment, dot_config = folder / _FRAGMENT, folder / ".config"
    text = profile.text()
    # Written anew, an unchanged .config would make kbuild look at every option again.
    if not dot_config.exists() or not fragment.exists() or fragment.read_text() != text:
        show.note(f"configuring {profile.name} for {source.name}")
        fragment.write_text(text)
        dot_config.unlink(missing_ok=True)
        replace(make, variables={**make.variables, "KCONFIG_ALLCONFIG": str(fragment)}).run(
            "allnoconfig"
        )
    else:
        make.run("olddefconfig")
    facts = parse_config(dot_config.read_text(encoding="utf-8"))
    config.check(profile, facts, config.definitions(source.tree), source.version)


def _check_names(*paths: Path) -> None:
    for path in paths:
        if re.search(r"[\s:]", str(path)):
            raise LabError(
                f"{path}: kbuild takes no path with a space or a colon; move it, or set "
                "VFIOSPEC_CACHE"
            )


def _check_room(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < _ROOM:
        raise LabError(
            f"{folder}: {free >> 20} MiB free, and a build needs {_ROOM >> 20}; run "
            "`vfiospec kernels prune`, or set VFIOSPEC_CACHE"
        )


def _named(folder: Path) -> str:
    return hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:_KEY]
