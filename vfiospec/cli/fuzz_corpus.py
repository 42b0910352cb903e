# SPDX-License-Identifier: MIT
"""`vfiospec fuzz replay`, `merge`, `coverage`: what a campaign has kept, looked at again."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from vfiospec.device.ops import TraceMode
from vfiospec.device.port import TargetLostError
from vfiospec.device.transcript import Narrator
from vfiospec.fuzzing import codec
from vfiospec.fuzzing.campaign import Campaign
from vfiospec.fuzzing.coverage import measure, read_places
from vfiospec.fuzzing.coverage_page import page
from vfiospec.fuzzing.coverage_page import summary as coverage_summary
from vfiospec.fuzzing.feedback import places, visible
from vfiospec.fuzzing.layout import Layout
from vfiospec.fuzzing.materialise import materialise
from vfiospec.fuzzing.merge import merge as merge_programs
from vfiospec.fuzzing.merge import name_of
from vfiospec.fuzzing.model import Program
from vfiospec.lab import LabError, topology
from vfiospec.lab.bench import VmBench
from vfiospec.lab.kernel import Kernel, resolve
from vfiospec.session.health import HealthMonitor
from vfiospec.session.jobs import DEADLINE, load_target

KernelOption = Annotated[str, typer.Option("--kernel", metavar="SOURCE", help="As for `run`.")]
ModulesOption = Annotated[
    Path | None, typer.Option("--modules", metavar="DIR", help="Modules that win over its own.")
]
LayoutOption = Annotated[str, typer.Option("--topology", metavar="NAME")]


def _say(text: str) -> None:
    typer.echo(text, err=True)


def programs_of(paths: Sequence[Path]) -> list[tuple[Path, Program]]:
    """The programs in files and folders. LabError for what cannot be read."""
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise LabError(f"{path}: no such file; give a program, or a folder of a corpus")
        files += sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
    if not files:
        raise LabError(f"{paths[0]}: no programs in it")
    return [(file, codec.decode(file.read_bytes())) for file in files]


@contextmanager
def campaign(target: str, kernel: Kernel, layout: str) -> Iterator[Campaign]:
    """A guest with the target's world, steered by coverage if the kernel has it."""
    chosen, about = topology.load(layout).told(topology.DIES_OF_KASAN), load_target(target)
    with tempfile.TemporaryDirectory(prefix="vfiospec-") as folder:
        bench = VmBench(kernel, chosen, Path(folder), deadline=DEADLINE, say=_say)
        made = Campaign(
            bench, about, Path(folder), monitor=HealthMonitor, kernel=kernel.spec,
            topology=layout, say=_say,
        )  # fmt: skip
        try:
            made.start()
            if made.supports(TraceMode.ADDRESSES):
                made.mode = TraceMode.ADDRESSES
            yield made
        finally:
            made.stop()


def replay(
    files: Annotated[
        list[Path], typer.Argument(help="Programs, or folders of them: a corpus, a find's program.")
    ],
    kernel: KernelOption = "debian",
    modules: ModulesOption = None,
    target: Annotated[
        str, typer.Option(metavar="NAME", help="Whose devices they find open.")
    ] = "everything",
    layout: LayoutOption = "default",
) -> None:
    """Run programs again, step by step, and show what each answers.

    Exit code: 0 the kernel stayed sound, 1 it did not, 2 they could not be run.
    """
    programs = programs_of(files)
    bad = 0
    with campaign(target, resolve(kernel, modules, _say), layout) as made:
        for path, program in programs:
            typer.echo(f"{path.name}: {len(program)} steps")
            said = _show(made, program)
            if said:
                bad += 1
                typer.echo(f"! {said}")
    raise typer.Exit(1 if bad else 0)


def _show(made: Campaign, program: Program) -> str:
    """Say what each step answers; what the kernel did wrong, if it did."""
    narrator, port = Narrator(), made.guest.port
    for op, _ in made.preamble:
        narrator.say((op, None))
    concrete = materialise(program, made.world)
    try:
        for op, step in zip(concrete.ops, concrete.origin, strict=True):
            (reply,) = port.exchange([op])
            typer.echo(f"  {program[step].name}: {narrator.say((op, reply))}")
    except TargetLostError as e:
        why = made.guest.why_lost(e)
        made.start()
        return why
    before = dict(made.figures.titles)
    made.reset(concrete.after)
    made.run([program])
    new = made.figures.titles.keys() - before.keys()
    return ", ".join(sorted(new))


def merge(  # noqa: PLR0913, PLR0917 -- each is a choice of the user's
    target: Annotated[str, typer.Argument(help="The target the programs are of.")],
    files: Annotated[list[Path], typer.Argument(help="Folders of programs to choose from.")],
    into: Annotated[
        Path, typer.Option("--into", metavar="DIR", help="Takes the programs that are kept.")
    ],
    kernel: KernelOption = "debian",
    modules: ModulesOption = None,
    layout: LayoutOption = "default",
) -> None:
    """Choose the fewest, shortest programs that together show what all of them do.

    By the kernel's coverage if it has KCOV, by what is visible if not. Exit code: 0 done, 2 not.
    """
    programs = [program for _, program in programs_of(files)]
    with campaign(target, resolve(kernel, modules, _say), layout) as made:

        def run(batch: Sequence[Program]) -> list[set[int] | None]:
            outcomes = {o.program: o for o in made.run(batch)}
            shown: list[set[int] | None] = []
            for program in batch:
                outcome = outcomes.get(program)
                if outcome is None:
                    shown.append(None)
                elif made.mode == TraceMode.ADDRESSES:
                    shown.append(places(outcome.trace))
                else:
                    ops = outcome.made
                    shown.append(visible(program, ops.ops, ops.origin, outcome.replies))
            return shown

        kept = merge_programs(programs, run, _say)
    if not kept:
        raise LabError(f"none of {len(programs)} programs shows anything; {into} is left as it is")
    into.mkdir(parents=True, exist_ok=True)
    for program in kept:
        (into / name_of(program)).write_bytes(codec.encode(program))
    typer.echo(f"{len(kept)} of {len(programs)} programs, in {into}")


def coverage(
    run: Annotated[Path, typer.Argument(help="The folder of a `fuzz run`.")],
    kernel: Annotated[str, typer.Option("--kernel", metavar="TREE", help="What was fuzzed.")],
    modules: ModulesOption = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Default: RUN/coverage.html.")
    ] = None,
) -> None:
    """Show which functions and lines of the drivers were reached, out of those that are traced.

    Writes RUN/coverage.html and RUN/coverage.json. Exit code: 0 done, 2 it could not be.
    """
    files = sorted(run.glob("job-*/places.txt"))
    if not files:
        raise LabError(f"{run}: no job-*/places.txt in it: was it fuzzed with KCOV?")
    found = resolve(kernel, modules, _say)
    layout = Layout.load(files[0].parent / "layout.json")
    made = measure(read_places(files), layout, found.modules.paths, found.release)
    if not made.modules:
        raise LabError(f"{kernel}: none of its modules is traced: build it with the profile fuzz")
    target = html or run / "coverage.html"
    target.write_text(page(made, found.tree / "source" if found.tree else None))
    target.with_suffix(".json").write_bytes(msgspec.json.format(msgspec.json.encode(made)))
    for line in coverage_summary(made):
        typer.echo(line)
    typer.echo(f"written to {target}")
