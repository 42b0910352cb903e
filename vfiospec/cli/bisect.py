# SPDX-License-Identifier: MIT
"""`vfiospec bisect-step`: one step of `git bisect run` in a kernel tree."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from vfiospec.cli.building import Building
from vfiospec.cli.run import ROOT, Accel, selection
from vfiospec.lab import LabError
from vfiospec.lab.build import builder, profiles, record
from vfiospec.lab.build.source import version_text
from vfiospec.report.bisect import Answer, judge
from vfiospec.results.model import ResultsError
from vfiospec.results.reader import Run, read_run

_RELEASE = "include/config/kernel.release"  # in a tree that is built


def bisect_step(  # noqa: PLR0913, PLR0917 -- each is a choice of the user's
    test: Annotated[
        list[str],
        typer.Option(metavar="ID", help="Which test tells good from bad. Repeatable: any does."),
    ],
    kernel: Annotated[
        Path,
        typer.Option(
            metavar="TREE",
            help="The kernel: a source tree, or one that is built already, in place or with O=.",
        ),
    ] = Path(),
    profile: Annotated[
        str, typer.Option(metavar="NAME", help="How a source tree is built.")
    ] = profiles.known()[0],
    repeat: Annotated[
        int, typer.Option(min=1, metavar="N", help="Boot so often: one failure of them is bad.")
    ] = 1,
    topology: Annotated[
        str, typer.Option(metavar="NAME", help="The guest's devices: a name or a TOML file.")
    ] = "default",
    accel: Annotated[Accel, typer.Option(help="QEMU's accelerator.")] = Accel.TCG,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Results, in DIR/DATE-TIME/N. Default: reports/bisect."),
    ] = None,
    *,
    dangerous: Annotated[
        bool,
        typer.Option("--dangerous", help="The test may take a kernel down; run it all the same."),
    ] = False,
) -> None:
    """Build a kernel tree as it is now, boot it, and say whether a test passes.

    In a kernel tree: `git bisect start BAD GOOD`, then `git bisect run vfiospec bisect-step --test
    ID`. The first step builds all of the kernel, the others what changed. Exit code: 0 good (it
    passed), 1 bad (it failed, or the kernel died of it), 125 cannot tell (no build, no boot, or
    skipped), 128 and an end of the bisection if it was asked wrongly.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    options = ["--topology", topology, *(["--dangerous"] if dangerous else [])]
    try:
        _check(kernel, test, options)
    except LabError as e:
        _end(Answer.STOP, str(e))
    folder = (out or ROOT / "reports" / "bisect") / f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    try:
        folder.mkdir(parents=True)  # a new one: no step shall read what another has left
    except OSError as e:
        _end(Answer.STOP, f"--out {folder}: {e.strerror}")
    try:
        built = _build(kernel, profile)
        options += ["--accel", accel.value, *(word for one in test for word in ("--test", one))]
        answer, why = judge(_runs(built, options, repeat, folder))
    except KeyboardInterrupt:
        _end(Answer.STOP, "interrupted")
    except (LabError, ResultsError) as e:
        _end(Answer.CANNOT_TELL, str(e))
    except Exception as e:  # noqa: BLE001 -- Python would end with 1, and so call a commit bad
        _end(Answer.STOP, f"a mistake of ours, not of the kernel: {type(e).__name__}: {e}")
    _end(answer, f"{why} ({folder})")


def _end(answer: Answer, why: str) -> NoReturn:
    word = answer.name.lower().replace("_", " ")
    typer.echo(f"bisect-step: {word}: {why}", err=answer is Answer.STOP)
    sys.exit(answer)


def _interrupt(number: int, frame: object) -> NoReturn:
    del number, frame
    raise KeyboardInterrupt


def _check(kernel: Path, tests: list[str], options: list[str]) -> None:
    """LabError for what would be wrong with every commit."""
    if not _is_built(kernel):
        version_text(kernel.absolute())
    words = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    words += ["--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml"), *options]
    code, said = _call([*words, *selection([], tests)], stderr=subprocess.PIPE)
    if code:
        said = said.strip().removeprefix("ERROR: ").removeprefix("vfiospec: ")
        raise LabError(said or "no test fits; --dangerous allows what may take a kernel down")


def _is_built(tree: Path) -> bool:
    return (tree / _RELEASE).is_file() or record.read(tree) is not None


def _build(kernel: Path, profile: str) -> Path:
    tree = kernel.absolute()
    with Building(0) as shown:
        if _is_built(tree):
            builder.rebuild(tree, shown, jobs=builder.cpus())
            return tree
        wanted = profiles.load(profile)
        return builder.build_kernel(str(tree), wanted, shown, jobs=builder.cpus())


def _runs(built: Path, options: list[str], repeat: int, folder: Path) -> Iterator[Run]:
    """Boot and judge, each time into a folder of its own. ResultsError if a run is none."""
    for number in range(1, repeat + 1):
        out = folder / str(number)
        words = [sys.executable, "-m", "vfiospec", "run", "--kernel", str(built), *options]
        _call([*words, "--out", str(out)])
        yield read_run(out)


def _call(words: list[str], stderr: int | None = None) -> tuple[int, str]:
    """Run a command that cleans up after itself if it is told to end."""
    with subprocess.Popen(  # noqa: S603
        words, stdout=subprocess.DEVNULL, stderr=stderr, text=True
    ) as process:
        try:
            said = process.communicate()[1]
        except BaseException:
            process.terminate()
            process.wait()
            raise
    return process.returncode, said or ""
