# SPDX-License-Identifier: MIT
"""`vfiospec fuzz reproducer`, `minimise`, `bundle`: from a crash to what a maintainer is given."""

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from vfiospec.device.ops import AnyOp
from vfiospec.device.port import Step
from vfiospec.device.transcript import Target, load, save
from vfiospec.fuzzing import bundle as bundles
from vfiospec.fuzzing.creproducer import reproducer as write_reproducer
from vfiospec.fuzzing.minimise import Memory, Minimiser
from vfiospec.fuzzing.titles import find_reports
from vfiospec.lab import LabError, topology
from vfiospec.lab.kernel import Kernel, resolve
from vfiospec.session.handover import crashes_alone, gathered
from vfiospec.session.trials import TrialGround, Tried

File = Annotated[
    Path, typer.Argument(help="A transcript: of a failed test, or of a program that crashed.")
]
KernelOption = Annotated[
    str | None, typer.Option("--kernel", metavar="SOURCE", help="Default: the transcript's own.")
]
Modules = Annotated[
    Path | None, typer.Option("--modules", metavar="DIR", help="Modules that win over its own.")
]
Layout = Annotated[
    str | None, typer.Option("--topology", metavar="NAME", help="Default: the transcript's own.")
]


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _where(
    target: Target, kernel: str | None, modules: Path | None, layout: str | None
) -> tuple[Kernel, topology.Topology]:
    found = resolve(kernel or target.kernel, modules, _say)
    return found, topology.load(layout or target.topology or "default")


def reproducer(  # noqa: PLR0913, PLR0917 -- each is a choice of the user's
    file: File,
    out: Annotated[
        Path | None, typer.Option("-o", metavar="FILE", help="Where to. Default: stdout.")
    ] = None,
    title: Annotated[str, typer.Option(metavar="TITLE", help="What it shows, to say so.")] = "",
    kernel: KernelOption = None,
    modules: Modules = None,
    layout: Layout = None,
    *,
    c: Annotated[
        bool, typer.Option("--c", help="As a C program; there is no other form yet.")
    ] = True,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Build it, run it by itself in a guest of --kernel, and say whether it crashes.",
        ),
    ] = False,
) -> None:
    """Write the calls of a transcript as a C program that needs nothing of vfiospec.

    It builds with `gcc -static`, takes the PCI addresses of its devices, binds them to vfio-pci
    and finds their groups itself. Works for the transcript of a failed test just as well.

    Exit code with --check: 0 it crashes the kernel (under --title, if one is given), 1 it does
    not, 2 it could not be tried.
    """
    del c
    target, steps = load(file)
    program = write_reproducer(target, steps, title)
    if out is not None:
        try:
            out.write_text(program.text, encoding="utf-8")
        except OSError as e:
            raise LabError(f"-o {out}: {e.strerror}") from e
        _say(f"written to {out}")
    elif not check:
        typer.echo(program.text, nl=False)
    if check:
        found, chosen = _where(target, kernel, modules, layout)
        crashed, ran = crashes_alone(found, chosen, program, say=_say)
        typer.echo(ran.said, nl=False)
        if crashed is None:
            _say(f"innocent: {found.release} survives it")
            raise typer.Exit(1)
        _say(f"crashes {found.release} by itself: {crashed}")
        raise typer.Exit(1 if title and crashed != title else 0)


def minimise(  # noqa: PLR0913, PLR0917 -- each is a choice of the user's
    file: File,
    kernel: KernelOption = None,
    modules: Modules = None,
    layout: Layout = None,
    title: Annotated[
        str | None,
        typer.Option(metavar="TITLE", help="Keep this crash. Default: that of the first run."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", metavar="FILE", help="Default: FILE.minimised.jsonl.")
    ] = None,
    trials: Annotated[int, typer.Option(min=1, metavar="N", help="Programs to try at most.")] = 400,
    deadline: Annotated[
        float, typer.Option(min=0.1, metavar="S", help="Seconds one call may take.")
    ] = 15.0,
    repeat: Annotated[
        int, typer.Option(min=1, metavar="N", help="Runs of each program, for races: one counts.")
    ] = 1,
) -> None:
    """Leave out of a program what its crash does not need: operations first, then arguments.

    Each trial runs in a guest; several innocent ones share a boot. What was tried is kept beside
    the file, so that a search that was interrupted goes on where it stopped.

    Exit code: 0 it crashes and is smaller now or cannot be, 1 it does not crash in this way,
    2 it could not be tried.
    """
    target, steps = load(file)
    found, chosen = _where(target, kernel, modules, layout)
    memory = Memory(file.with_name(f"{file.stem}.{_word(found)}.trials"))
    out = out or file.with_name(f"{file.stem}.minimised.jsonl")
    with (
        tempfile.TemporaryDirectory(prefix="vfiospec-") as folder,
        TrialGround(found, chosen, Path(folder), deadline=deadline, say=_say) as ground,
    ):
        ops = ground.translated(target, steps)

        def crashes(ops: Sequence[AnyOp]) -> str | None:
            return next(filter(None, (ground.crashes(ops) for _ in range(repeat))), None)

        smallest = Minimiser(crashes, trials, memory, _say).run(ops, title)
        if smallest is None:
            wanted = f": {title}" if title else ""
            _say(f"{found.release} does not crash in this way{wanted}; nothing to minimise")
            raise typer.Exit(1)
        last = ground.run(smallest.ops)
        save(out, ground.target(target.test), last.steps)
        boots = ground.bench.boots
    _say(
        f"{smallest.title}: {len(steps)} operations became {len(smallest.ops)}, "
        f"{smallest.trials} trials in {boots} boots"
        f"{'' if smallest.complete else '; not complete, run it again with more --trials'}"
    )
    _say(f"written to {out}")


def bundle(  # noqa: PLR0913, PLR0917 -- each is a choice of the user's
    file: File,
    out: Annotated[
        Path, typer.Option("-o", metavar="DIR", help="The folder of all crashes.")
    ] = Path("crashes"),
    kernel: KernelOption = None,
    modules: Modules = None,
    layout: Layout = None,
    console: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The console of a crash that was kept: boot nothing."),
    ] = None,
) -> None:
    """Run a program that crashes, and put all a maintainer asks for into a folder of its title.

    That is the transcript, a C reproducer and whether it crashes by itself, the report with lines
    of source, the console, the kernel's configuration, the topology, and a text to mail.

    Exit code: 0 it crashed, 1 it did not, 2 it could not be tried.
    """
    target, steps = load(file)
    found, chosen = _where(target, kernel, modules, layout)
    if console is not None:
        tried, alone = _kept(console, steps), None
    else:
        tried, target, alone = _made_again(found, chosen, target, steps)
    folder, new = _record(out, found, chosen, target, tried, alone)
    _say(f"{tried.title}: {'new' if new else 'known'}, in {folder}")
    if console is None:
        _say(f"by itself the C reproducer gives: {alone or 'nothing, the kernel survives it'}")


def _kept(console: Path, steps: Sequence[Step]) -> Tried:
    """A crash that happened before, from its console."""
    try:
        text = console.read_text(encoding="utf-8", errors="replace")
    except OSError as e:
        raise LabError(f"--console {console}: {e.strerror}") from e
    reports = find_reports(text)
    if not reports:
        raise LabError(f"--console {console}: no report of a crash in it")
    return Tried(reports[0].title, list(steps), reports, text)


def _made_again(
    kernel: Kernel, layout: topology.Topology, target: Target, steps: Sequence[Step]
) -> tuple[Tried, Target, str | None]:
    """The crash in a guest, and its C reproducer in another: its title, or None."""
    with tempfile.TemporaryDirectory(prefix="vfiospec-") as name:
        with TrialGround(kernel, layout, Path(name), say=_say) as ground:
            tried = ground.run(ground.translated(target, steps))
            if tried.title is None:
                _say(f"no bundle: {kernel.release} survives the program")
                raise typer.Exit(1)
            target = ground.target(target.test)
        program = write_reproducer(target, tried.steps, tried.title)
        alone, _ = crashes_alone(kernel, layout, program, say=_say)
    return tried, target, alone


def _record(  # noqa: PLR0913, PLR0917 -- all that goes into a bundle
    out: Path,
    kernel: Kernel,
    layout: topology.Topology,
    target: Target,
    tried: Tried,
    alone: str | None,
) -> tuple[Path, bool]:
    crash = gathered(kernel, layout, target, tried, alone)
    try:
        return bundles.record(out, crash)
    except OSError as e:
        raise LabError(f"-o {out}: {e.strerror}") from e


def _word(kernel: Kernel) -> str:
    """Names a kernel with its modules: what one did says nothing of another."""
    facts = f"{kernel.version_text}\0{kernel.origin}"
    return f"{kernel.release}-{hashlib.sha256(facts.encode()).hexdigest()[:8]}"
