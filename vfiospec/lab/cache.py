# SPDX-License-Identifier: MIT
"""What vfiospec keeps between two runs, and how two runs at once share it.

Nothing in the cache is precious: it can be deleted whenever no run is using it.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


class LabError(Exception):
    """The lab cannot do what was asked; the message is one line for the user."""


def cache_root() -> Path:
    """Return the cache folder, which may not exist yet.

    $VFIOSPEC_CACHE, else $XDG_CACHE_HOME/vfiospec, else ~/.cache/vfiospec. A relative
    $XDG_CACHE_HOME is ignored, as the XDG base directory specification asks.
    """
    if own := os.environ.get("VFIOSPEC_CACHE"):
        return Path(own).absolute()
    xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (xdg if xdg.is_absolute() else Path.home() / ".cache") / "vfiospec"


def make_dir(path: Path) -> Path:
    """Create path and its parents if need be, and return it.

    Raises LabError if this user cannot.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{path}: cannot create it ({error.strerror}); set VFIOSPEC_CACHE to a folder you own"
        raise LabError(msg) from error
    return path


@contextmanager
def atomic_dir(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside target that becomes target if the block succeeds.

    If the block raises, or another process put target there first, the folder is discarded: a
    target that exists is always whole.
    """
    make_dir(target.parent)
    try:
        filling = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        msg = f"{target.parent}: cannot write there ({error.strerror}); set VFIOSPEC_CACHE"
        raise LabError(msg) from error
    try:
        yield filling
        # mkdtemp gives 0700; what the cache holds is public.
        filling.chmod(0o755)
        try:
            filling.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(filling, ignore_errors=True)


@contextmanager
def locked(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file at path for the block; call waiting() once if another process has it.

    The kernel drops the lock when its holder dies. Not reentrant.
    """
    make_dir(path.parent)
    try:
        handle = path.open("a")
    except OSError as error:
        msg = f"{path}: cannot lock it ({error.strerror}); set VFIOSPEC_CACHE to a folder you own"
        raise LabError(msg) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
