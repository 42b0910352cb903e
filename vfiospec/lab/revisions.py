# SPDX-License-Identifier: MIT
"""Headers of a kernel tree at a commit, and headers with a patch applied, in folders of ours."""

import io
import os
import re
import shutil
import subprocess
import tarfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from vfiospec.lab.cache import LabError
from vfiospec.lab.layouts import includes_of
from vfiospec.layout.dwarf import HEADERS
from vfiospec.layout.includes import Includes

_UAPI: Final = "include/uapi"
_NEEDED: Final = (f"{_UAPI}/linux", f"{_UAPI}/asm-generic", "arch/x86/include/uapi")
_TARGET: Final = re.compile(r"^\+\+\+ (?:[^/\s]+/)?(\S+)", re.MULTILINE)


def split_range(revisions: str) -> tuple[str, str]:
    """The two commits of `A..B`; HEAD where one is left out. LabError if it is no range."""
    old, dots, new = revisions.partition("..")
    if not dots or new.startswith(".") or not (old or new):
        raise LabError(f"--git {revisions}: give two commits, as in --git origin/master..HEAD")
    return old or "HEAD", new or "HEAD"


def at_commit(tree: Path, commit: str, folder: Path, stack: ExitStack) -> Includes:
    """The headers of a tree at a commit, unpacked into folder. LabError if git has none."""
    # A name that begins with a dash would be an option.
    found = _git(
        tree, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}"
    )
    if found.returncode != 0:
        raise LabError(f"--git: no commit {commit!r} in {tree}; run it inside of a kernel tree")
    archive = _git(tree, "archive", "--format=tar", found.stdout.decode().strip(), "--", *_NEEDED)
    if archive.returncode != 0:
        said = archive.stderr.decode(errors="replace").strip() or "git archive failed"
        raise LabError(f"--git: {commit} is no commit of a kernel: {said.splitlines()[-1]}")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as packed:
        packed.extractall(folder, filter="data")
    return includes_of(folder, stack, commit)


def _git(tree: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    if shutil.which("git") is None:
        raise LabError("no git on this machine: apt install git")
    return subprocess.run(["git", "-C", str(tree), *words], capture_output=True, check=False)  # noqa: S603, S607


def patched(includes: Includes, patch: Path, folder: Path) -> Includes | None:
    """The headers with a patch applied to a copy in folder; None if it touches none of them.

    What a patch does to other files is left out. LabError if it does not apply.
    """
    try:
        text = patch.read_text(errors="replace")
    except OSError as e:
        raise LabError(f"--patch {patch}: cannot read it ({e.strerror})") from e
    targets = _TARGET.findall(text)
    if not targets:
        raise LabError(f"--patch {patch}: no patch: no line of it begins with +++")
    names = [t.removeprefix(f"{_UAPI}/") for t in targets if t.startswith(f"{_UAPI}/")]
    if not names:
        return None
    for name in {*names, *HEADERS}:
        found = includes.find(name)
        if found is not None:
            (folder / _UAPI / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(found, folder / _UAPI / name)
    _apply(patch.resolve(), folder)
    source = f"{includes.source} with {patch.name}"
    return Includes(source, (folder / _UAPI, *includes.folders), includes.words)


def _apply(patch: Path, folder: Path) -> None:
    if shutil.which("git") is None:
        raise LabError("no git on this machine: apt install git")
    # Without the ceiling, git would look for a repository around a temporary folder.
    env = {**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.parent), "LC_ALL": "C"}
    command = ["git", "apply", f"--include={_UAPI}/*", "-C1", "--recount", str(patch)]
    done = subprocess.run(  # noqa: S603
        command, cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if line.startswith("error:")]
        why = said[0].removeprefix("error: ") if said else "git apply failed"
        raise LabError(f"--patch {patch}: it does not apply to these headers: {why}")
