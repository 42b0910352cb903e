# SPDX-License-Identifier: MIT
"""Writes results.jsonl: every record is one write to the kernel, so a dead run keeps its lines."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from vfiospec.results.model import Record, ResultsError


def claim(folder: Path) -> int | None:
    """Return a descriptor that locks a folder for a run; None if another process has it.

    The lock ends with the process, and leaves nothing behind.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


class ResultsWriter:
    """The results file of one run, created by this object and appended to until close()."""

    def __init__(self, path: Path) -> None:
        """Create path; raise ResultsError when it exists already or cannot be created."""
        self.path = path
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        try:
            self._fd = os.open(path, flags, 0o644)
        except FileExistsError as exc:
            msg = f"{path} already holds a run: choose another output directory"
            raise ResultsError(msg) from exc
        except OSError as exc:
            msg = f"{path} cannot be created: {exc.strerror}"
            raise ResultsError(msg) from exc

    def write(self, record: Record) -> None:
        """Append one record; on a full disk raise ResultsError and leave no part of the line."""
        if self._fd < 0:
            msg = f"{self.path} is closed: no record can be added to a finished run"
            raise ResultsError(msg)
        line = _encode(record) + b"\n"
        written = 0
        try:
            # A full disk shows as a short write first and as an error on the next one.
            while written < len(line):
                written += os.write(self._fd, line[written:])
        except OSError as exc:
            self._take_back(written)
            msg = f"{self.path} cannot be written: {exc.strerror}; earlier records are kept"
            raise ResultsError(msg) from exc

    def close(self) -> None:
        """Bring the file to the disk and close it; a second call does nothing."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        try:
            os.fsync(fd)
        except OSError as exc:
            msg = f"{self.path} may not be on the disk: {exc.strerror}"
            raise ResultsError(msg) from exc
        finally:
            os.close(fd)

    def __enter__(self) -> Self:
        """Return the writer itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file, whether the run ended well or not."""
        self.close()

    def _take_back(self, written: int) -> None:
        # If even this fails the file ends in half a line, which the reader names and leaves out.
        with suppress(OSError):
            os.ftruncate(self._fd, os.fstat(self._fd).st_size - written)


class RecordStream:
    """Records of one process among several, on their way to the one that writes them down."""

    def __init__(self, fd: int) -> None:
        """Take over a file descriptor, a pipe's."""
        self._file = os.fdopen(fd, "wb", buffering=0)

    def write(self, record: Record) -> None:
        """Send one record, as a line; ResultsError if nobody takes it any more."""
        self.send(_encode(record))

    def send(self, line: bytes) -> None:
        """Send any line."""
        left = memoryview(line + b"\n")
        try:
            while left:
                left = left[self._file.write(left) or 0 :]
        except OSError as exc:
            msg = f"whoever asked for these results is gone: {exc.strerror}"
            raise ResultsError(msg) from exc

    def close(self) -> None:
        """End the stream."""
        self._file.close()


def _encode(record: Record) -> bytes:
    try:
        return msgspec.json.encode(record)
    except UnicodeEncodeError:
        # Bytes that are no UTF-8 reach us as lone surrogates (a torn console line, say).
        return msgspec.json.encode(_escape_surrogates(msgspec.to_builtins(record)))


def _escape_surrogates(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, list):
        return [_escape_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_escape_surrogates(k): _escape_surrogates(v) for k, v in value.items()}
    return value
