# SPDX-License-Identifier: MIT
"""Writes the pages: each from a template, its data as JSON beside it, all or nothing."""

import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import jinja2
import msgspec

from vfiospec.report import printable
from vfiospec.report.site.calls import decode
from vfiospec.report.site.marks import LEGEND
from vfiospec.results.model import ResultsError

MARKER = "site.json"  # tells a folder that we made, and may replace, from anybody's else
_LONGEST_TEXT = 100_000
_STATIC = ("style.css", "filter.js")


class Writer:
    """The folder of a site: it takes its place when all pages are written, and not before."""

    def __init__(self, out: Path, *, has_fuzz: bool) -> None:
        """Make a draft beside out. ResultsError if out may not be replaced, or cannot be made."""
        self.out = out
        self.pages = 0
        if out.exists() and not (out / MARKER).is_file() and (out.is_file() or any(out.iterdir())):
            raise ResultsError(f"{out} is there, and no site of ours: choose another --out")
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            self._draft = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        except OSError as error:
            raise _cannot(out, error) from error
        self._env = jinja2.Environment(
            loader=jinja2.PackageLoader("vfiospec.report.site"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=_finalize,
        )
        self._env.globals.update(legend=LEGEND, has_fuzz=has_fuzz)
        self._env.filters.update(decoded=decode, bounded=bounded)

    def page(self, path: str, template: str, title: str, data: object) -> None:
        """Write path.html from the template, and path.json from the same data."""
        depth = path.count("/")
        text = self._env.get_template(f"{template}.html").render(
            page=data,
            title=title,
            root="../" * depth,
            section=path.partition("/")[0],
            json_name=path.rpartition("/")[2] + ".json",
        )
        self._write(f"{path}.html", text.encode())
        self._write(f"{path}.json", msgspec.json.encode(data) + b"\n")
        self.pages += 1

    def __enter__(self) -> Self:
        """Begin: what every page shares, and the mark that the folder is ours."""
        for name in _STATIC:
            source = self._env.loader and Path(__file__).with_name("static") / name
            self._write(name, Path(str(source)).read_bytes())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Put the draft in its place, or take it away if something went wrong."""
        try:
            if kind is None:
                self._write(MARKER, msgspec.json.encode({"pages": self.pages}) + b"\n")
                self._take_place()
        finally:
            shutil.rmtree(self._draft, ignore_errors=True)

    def _take_place(self) -> None:
        try:
            self._draft.chmod(0o755)
            if self.out.exists():
                # The old site moves into the draft's folder's neighbour, and goes with it.
                old = self._draft.with_name(f"{self._draft.name}.old")
                self.out.rename(old)
                self._draft.rename(self.out)
                shutil.rmtree(old, ignore_errors=True)
            else:
                self._draft.rename(self.out)
        except OSError as error:
            raise _cannot(self.out, error) from error

    def _write(self, name: str, content: bytes) -> None:
        target = self._draft / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        except OSError as error:
            raise _cannot(self.out, error) from error


def _finalize(value: object) -> object:
    # Markup is a str too, and has been through here.
    if type(value) is not str or value.isprintable():
        return value
    return printable(value)


def bounded(text: str) -> str:
    """The end of a text that is too long for a page, or all of it."""
    if len(text) <= _LONGEST_TEXT:
        return text
    left_out = len(text) - _LONGEST_TEXT
    return f"... {left_out} characters before this are in the JSON\n{text[-_LONGEST_TEXT:]}"


def _cannot(out: Path, error: OSError) -> ResultsError:
    return ResultsError(f"{out} cannot be written: {error.strerror}; nothing of it was changed")
