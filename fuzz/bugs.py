# SPDX-License-Identifier: MIT
"""Puts the bugs of bugs.toml into a kernel's modules, and shows what becomes of each.

    python -m fuzz.bugs list
    python -m fuzz.bugs build TREE [ID...]     modules, for --modules: one folder for each bug
    python -m fuzz.bugs find TREE [ID...] [-o DIR] [--time T] [--repeats N]
    python -m fuzz.bugs prove TREE [ID...] [-o DIR] [--trials N]

TREE is a finished `vfiospec kernels build ... --profile fuzz`. `find` fuzzes until a bug is found.
`prove` runs the calls of triggers.py in a guest, makes them small, writes a bundle, and runs its C
reproducer alone.
"""

import re
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from fuzz.triggers import TRIGGERS
from vfiospec.fuzzing import bundle
from vfiospec.fuzzing.creproducer import reproducer
from vfiospec.fuzzing.minimise import Minimiser
from vfiospec.lab import LabError, topology
from vfiospec.lab.build.wrong import build_modules
from vfiospec.lab.kernel import Kernel, resolve
from vfiospec.session.handover import crashes_alone, gathered
from vfiospec.session.jobs import Spec, Stats, Supervisor
from vfiospec.session.trials import TrialGround
from vfiospec.wrong.edits import Edit

FILE = Path(__file__).with_name("bugs.toml")


class Bug(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One bug: what it is, which calls it needs, how its crash is called, how it is put in.

    `target` is what a fuzzer runs to find it.
    """

    id: str
    what: str
    needs: str
    title: str
    target: str
    edit: tuple[Edit, ...]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    bug: tuple[Bug, ...]


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a bug; a line of proofs.jsonl."""

    id: str
    title: str | None  # of the crash its calls make; None if they make none
    expected: bool  # whether that is the crash it is to make
    operations: int  # of the whole program
    smallest: int = 0  # after minimising
    complete: bool = False  # nothing smaller was left to try
    trials: int = 0
    boots: int = 0
    alone: str | None = None  # what the C reproducer gives by itself
    innocent: bool | None = None  # whether the same calls leave the driver without the bug alone
    seconds: float = 0.0


class Hunt(msgspec.Struct, frozen=True, kw_only=True):
    """One try to find a bug by fuzzing; a line of hunts.jsonl."""

    id: str
    seed: int
    target: str
    title: str | None  # as it was found; None if it was not
    others: tuple[str, ...]  # titles of what else was found
    seconds: float  # of fuzzing, with looking for the program and booting again
    executions: int
    folder: str


def bugs() -> tuple[Bug, ...]:
    """All of them."""
    return msgspec.toml.decode(FILE.read_bytes(), type=_File).bug


app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, rich_markup_mode=None)
Tree = Annotated[Path, typer.Argument(help="A built kernel tree.")]
Ids = Annotated[list[str] | None, typer.Argument(help="Bugs; all by default.")]


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _chosen(ids: list[str] | None) -> list[Bug]:
    known = {bug.id: bug for bug in bugs()}
    for name in ids or []:
        if name not in known:
            raise LabError(f"no bug {name!r}; there are {', '.join(known)}")
    return [known[name] for name in ids or known]


@app.command("list")
def list_() -> None:
    """Say what each bug is and what it takes."""
    for bug in bugs():
        typer.echo(f"{bug.id}\n    {bug.what}\n    {bug.needs}")


@app.command()
def build(tree: Tree, ids: Ids = None) -> None:
    """Build the modules of each bug, and print their folders."""
    for bug in _chosen(ids):
        typer.echo(f"{bug.id}\t{build_modules(tree, bug.edit, _say)}")


@app.command()
def prove(
    tree: Tree,
    ids: Ids = None,
    out: Annotated[Path, typer.Option("-o", metavar="DIR", help="Bundles.")] = Path("crashes"),
    trials: Annotated[int, typer.Option(min=0, metavar="N", help="For making it small.")] = 60,
    *,
    control: Annotated[
        bool, typer.Option("--control", help="Only run the calls on the driver without bugs.")
    ] = False,
) -> None:
    """Show for each bug that its calls crash the kernel, and that a C program does alone.

    Exit code: 0 all did as they should, 1 one did not.
    """
    failed = 0
    for bug in _chosen(ids):
        began = time.monotonic()
        proof = _control(tree, bug) if control else _prove(tree, bug, out, trials)
        proof = msgspec.structs.replace(proof, seconds=round(time.monotonic() - began, 1))
        _kept(out / "proofs.jsonl", proof)
        typer.echo(msgspec.json.encode(proof).decode())
        good = proof.innocent if control else proof.expected and proof.alone == proof.title
        failed += not good
    raise typer.Exit(1 if failed else 0)


@app.command()
def find(  # noqa: PLR0913, PLR0917 -- what is on the command line
    tree: Tree,
    ids: Ids = None,
    out: Annotated[Path, typer.Option("-o", metavar="DIR", help="What was found.")] = Path("hunts"),
    limit: Annotated[float, typer.Option("--time", metavar="SECONDS", help="Of one try.")] = 300,
    repeats: Annotated[int, typer.Option(min=1, metavar="N", help="Seeds 1 to N.")] = 3,
    first: Annotated[int, typer.Option("--first-seed", metavar="N", help="Not 1.")] = 1,
) -> None:
    """Fuzz a kernel with each bug until it is found, from nothing, and say how long it took.

    Exit code: 0 each was found each time, 1 one was not.
    """
    missed = 0
    for bug in _chosen(ids):
        modules = build_modules(tree, bug.edit, _say)
        hunts = []
        for seed in range(first, first + repeats):
            hunt = _hunt(tree, bug, modules, out / f"{bug.id}-{seed}", limit, seed)
            hunts.append(hunt)
            _kept(out / "hunts.jsonl", hunt)
            _say(f"{bug.id}, seed {seed}: {hunt.title or 'not found'}, {hunt.seconds:.0f} s")
        found = [hunt.seconds for hunt in hunts if hunt.title]
        missed += len(hunts) - len(found)
        middle = f"median {statistics.median(found):.0f} s" if found else "never"
        typer.echo(f"{bug.id}\t{len(found)} of {len(hunts)}\t{middle}")
    raise typer.Exit(1 if missed else 0)


def _kept(file: Path, line: msgspec.Struct) -> None:
    """Append a line, so that a run which is stopped leaves what it has."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as lines:
        lines.write(msgspec.json.encode(line) + b"\n")


def _hunt(  # noqa: PLR0913, PLR0917 -- what a try is made of
    tree: Path, bug: Bug, modules: Path, folder: Path, limit: float, seed: int
) -> Hunt:
    shutil.rmtree(folder, ignore_errors=True)
    corpus = folder / "corpus"
    corpus.mkdir(parents=True)
    spec = Spec(
        target=bug.target, kernel=str(tree), modules=str(modules), folder=str(folder),
        corpus=str(corpus), seconds=limit, seed=seed,
    )  # fmt: skip
    title, stats = None, Stats()
    with Supervisor([spec]) as jobs:
        while title is None and jobs.look():
            time.sleep(0.5)
            stats = jobs.jobs[0].stats
            title = next((t for t in stats.titles if re.fullmatch(bug.title, t)), None)
    return Hunt(
        id=bug.id, seed=seed, target=bug.target, title=title,
        others=tuple(t for t in stats.titles if t != title), seconds=round(stats.seconds, 1),
        executions=stats.executions, folder=folder.name,
    )  # fmt: skip


def _control(tree: Path, bug: Bug) -> Proof:
    kernel = resolve(str(tree), None, _say)
    with tempfile.TemporaryDirectory(prefix="vfiospec-") as name, _ground(kernel, name) as ground:
        ops = TRIGGERS[bug.id]({d.name: d for d in ground.devices()}).ops
        title = ground.crashes(ops)
    return Proof(
        id=bug.id, title=title, expected=False, operations=len(ops), innocent=title is None
    )


def _ground(kernel: Kernel, folder: str) -> TrialGround:
    return TrialGround(kernel, topology.load("default"), Path(folder), say=_say)


def _prove(tree: Path, bug: Bug, out: Path, trials: int) -> Proof:
    kernel = resolve(str(tree), build_modules(tree, bug.edit, _say), _say)
    with tempfile.TemporaryDirectory(prefix="vfiospec-") as name:
        with _ground(kernel, name) as ground:
            ops = TRIGGERS[bug.id]({d.name: d for d in ground.devices()}).ops
            first = ground.run(ops)
            _say(f"{bug.id}: {first.title}")
            proof = Proof(
                id=bug.id,
                title=first.title,
                expected=re.fullmatch(bug.title, first.title or "") is not None,
                operations=len(ops),
            )
            if first.title is None or not first.reports:
                return proof
            ran, smallest = first, None
            if trials:
                smallest = Minimiser(ground.crashes, trials, say=_say).run(ops, first.title)
            if smallest is not None:
                again = ground.run(smallest.ops)
                ran = again if again.title == first.title else first
            target = ground.target(f"the seeded bug {bug.id}")
            boots = ground.bench.boots
        program = reproducer(target, ran.steps, first.title)
        alone, _ = crashes_alone(kernel, topology.load("default"), program, say=_say)
        bundle.record(out, gathered(kernel, topology.load("default"), target, ran, alone))
    return msgspec.structs.replace(
        proof,
        smallest=len(ran.steps),
        complete=smallest.complete if smallest else False,
        trials=smallest.trials if smallest else 0,
        boots=boots,
        alone=alone,
    )


if __name__ == "__main__":
    try:
        app()
    except LabError as e:
        sys.stderr.write(f"bugs: {e}\n")
        sys.exit(2)
