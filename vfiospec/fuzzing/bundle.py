# SPDX-License-Identifier: MIT
"""What is handed over of a crash: a folder with all that a maintainer asks for, one per title.

CRASHES/index.json          every crash: title, how often, since when
CRASHES/SLUG/program.jsonl  the calls, for `vfiospec replay`
CRASHES/SLUG/reproducer.c   the same as a C program
CRASHES/SLUG/report.txt     what the kernel reported, with lines of source where it can
CRASHES/SLUG/mail.txt       ready to be read once more, and sent
CRASHES/SLUG/console.log, config, topology.toml, crash.json
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from vfiospec.device import transcript
from vfiospec.device.port import Step
from vfiospec.device.transcript import Target
from vfiospec.fuzzing.creproducer import reproducer
from vfiospec.fuzzing.mail import Mail, mail
from vfiospec.undecodable import UNDECODABLE

INDEX = "index.json"
RECORD = "crash.json"
PROGRAM = "program.jsonl"
REPRODUCER = "reproducer.c"
_LONGEST = 80


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One crash of the index; times are UTC, as ISO 8601 has them."""

    title: str
    folder: str
    kind: str
    release: str
    first: str
    last: str
    count: int = 1
    operations: int = 0
    public: bool = True  # whether it may be shown before it is mended
    alone: str | None = None  # the title under which the C reproducer crashes by itself


@dataclass(frozen=True, kw_only=True)
class Crash:
    """All that is known of one crash."""

    title: str
    kind: str
    target: Target
    steps: Sequence[Step]
    report: str
    console: str
    when: str
    version: str = ""  # /proc/version
    origin: str = ""
    config: str = ""
    topology: str = ""
    qemu: str = ""
    dangerous: bool = False
    alone: str | None = None


def slug(title: str) -> str:
    """A title as the name of a folder."""
    words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    return words[:_LONGEST].rstrip("-") or "crash"


def record(crashes: Path, crash: Crash) -> tuple[Path, bool]:
    """Put a crash into its folder; the folder, and whether its title is new.

    One that is known is counted, and its files are replaced by those of a shorter program, or of
    one whose C reproducer works.
    """
    folder = crashes / slug(crash.title)
    before = read(folder)
    entry = Entry(
        title=crash.title,
        folder=folder.name,
        kind=crash.kind,
        release=crash.target.release,
        first=before.first if before else crash.when,
        last=crash.when,
        count=before.count + 1 if before else 1,
        operations=len(crash.steps),
        public=not crash.dangerous,
        alone=crash.alone,
    )
    if before is not None and not _better(entry, before):
        kept = msgspec.structs.replace(before, last=entry.last, count=entry.count)
        _write(folder / RECORD, msgspec.json.format(msgspec.json.encode(kept)))
    else:
        _write_files(folder, crash)
        # Last: a folder without it is no crash yet.
        _write(folder / RECORD, msgspec.json.format(msgspec.json.encode(entry)))
    write_index(crashes)
    return folder, before is None


def read(folder: Path) -> Entry | None:
    """The record of a crash's folder; None if there is none that can be read."""
    try:
        return msgspec.json.decode((folder / RECORD).read_bytes(), type=Entry)
    except (OSError, *UNDECODABLE):
        return None


def entries(crashes: Path) -> list[Entry]:
    """Every crash of a folder, by title."""
    folders = sorted(crashes.iterdir()) if crashes.is_dir() else []
    return sorted((e for f in folders if (e := read(f))), key=lambda e: e.title)


def write_index(crashes: Path) -> None:
    """Make the index again from the folders, which are what counts."""
    _write(crashes / INDEX, msgspec.json.format(msgspec.json.encode(entries(crashes))))


def _better(new: Entry, old: Entry) -> bool:
    return (new.alone is None, new.operations) < (old.alone is None, old.operations)


def _write_files(folder: Path, crash: Crash) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    transcript.save(folder / PROGRAM, crash.target, crash.steps)
    program = reproducer(crash.target, crash.steps, crash.title)
    letter = Mail(
        title=crash.title,
        release=crash.target.release,
        version=crash.version,
        origin=crash.origin,
        qemu=crash.qemu,
        topology=crash.target.topology,
        devices=tuple(f"{d.name} at {d.bdf}" for d in program.devices),
        calls=tuple(transcript.narrate(crash.steps)),
        report=crash.report,
        dangerous=crash.dangerous,
        alone=crash.alone,
    )
    for name, text in (
        (REPRODUCER, program.text),
        ("report.txt", crash.report),
        ("console.log", crash.console),
        ("config", crash.config),
        ("topology.toml", crash.topology),
        ("mail.txt", mail(letter)),
    ):
        if text:
            _write(folder / name, text.encode())
        else:
            (folder / name).unlink(missing_ok=True)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    draft.write_bytes(data if data.endswith(b"\n") else data + b"\n")
    draft.replace(path)
