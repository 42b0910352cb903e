# SPDX-License-Identifier: MIT
"""`vfiospec fuzz run`: search a kernel for trouble."""

import re
import signal
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from vfiospec.cli.fuzz_live import Live, summary
from vfiospec.cli.run import Accel
from vfiospec.lab import LabError
from vfiospec.lab.gate import refusals
from vfiospec.lab.sysfs import LocalSysfs
from vfiospec.session.jobs import ROOT, Spec, Supervisor, check_target, load_target, targets

_TIME = re.compile(r"(\d+)([smh]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}
_LOOK_EVERY = 0.5
_IN_PLACE = (
    "what may happen: the devices are written to at random, by interrupts, resets and DMA into "
    "memory of this program; a bug of this kernel may take this machine down, and with it what "
    "was not saved"
)


class Feedback(StrEnum):
    """What a campaign steers by."""

    AUTO = "auto"
    KCOV = "kcov"
    VISIBLE = "visible"
    NONE = "none"


def seconds(text: str) -> float:
    """`90`, `90s`, `10m` or `2h` in seconds. LabError for anything else."""
    match = _TIME.fullmatch(text.strip())
    if match is None or int(match[1]) == 0:
        raise LabError(f"--time {text}: write it like 90s, 10m or 2h")
    return float(int(match[1]) * _SECONDS[match[2]])


def _check_devices(devices: list[str]) -> None:
    for bdf in devices:
        reasons = refusals(LocalSysfs(), bdf)
        if reasons:
            raise LabError(f"{bdf} is not taken: {'; '.join(reasons)}")
    if devices:
        sys.stderr.write(f"vfiospec: fuzzing {', '.join(devices)} of this machine; {_IN_PLACE}\n")


def run(  # noqa: PLR0913, PLR0917 -- each is a choice of the user's
    target: Annotated[
        str, typer.Argument(help="What to fuzz; `vfiospec fuzz targets` lists them.")
    ],
    kernel: Annotated[
        str,
        typer.Option(
            metavar="SOURCE",
            help="As for `vfiospec run`. Best a tree of `vfiospec kernels build` with --profile "
            "fuzz: it has KCOV and KASAN.",
        ),
    ] = "debian",
    modules: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Modules that win over the kernel's own.")
    ] = None,
    topology: Annotated[
        str, typer.Option(metavar="NAME", help="The guest's devices: a name or a TOML file.")
    ] = "default",
    device: Annotated[
        list[str] | None,
        typer.Option(metavar="BDF", help="Fuzz this device of this machine, in place."),
    ] = None,
    duration: Annotated[
        str, typer.Option("--time", metavar="TIME", help="As in 90s, 10m, 2h. Default: no end.")
    ] = "",
    jobs: Annotated[int, typer.Option(min=1, metavar="N", help="Guests at a time.")] = 1,
    corpus: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Programs to start from and to keep. Default: OUT/corpus."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Default: reports/fuzz-TARGET.")
    ] = None,
    accel: Annotated[Accel, typer.Option(help="QEMU's accelerator.")] = Accel.TCG,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the first job; each has its own.")] = 1,
    feedback: Annotated[
        Feedback,
        typer.Option(
            help="kcov: the kernel's coverage. visible: answers and flags. none: unguided. "
            "auto: kcov where there is any."
        ),
    ] = Feedback.AUTO,
    *,
    no_seeds: Annotated[
        bool, typer.Option("--no-seeds", help="Do not start from corpora/.")
    ] = False,
) -> None:
    """Run programs of typed operations on a kernel until it does wrong, and go on.

    What a kernel dies of is kept in OUT/job-N/finds: the program, a transcript for `vfiospec
    replay` and `vfiospec fuzz bundle`, the console. Stop it at any time: the corpus, the finds and
    the places reached are on disk.

    Exit code: 0 nothing was found, 1 something was, 2 it could not be run.
    """
    check_target(target)
    length = seconds(duration) if duration else 0.0
    devices = tuple(device or ())
    _check_devices(list(devices))
    if devices and jobs > 1:
        raise LabError("--jobs: one device takes one job")
    folder = (out or ROOT / "reports" / f"fuzz-{target}").absolute()
    kept = (corpus or folder / "corpus").absolute()
    seeds = seeds_of(target)
    try:
        kept.mkdir(parents=True, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise LabError(f"{e.filename}: {e.strerror}") from e
    tree = Path(kernel).expanduser()
    specs = [
        Spec(
            target=target,
            kernel=str(tree.absolute()) if tree.exists() else kernel,
            folder=str(folder / f"job-{n}"),
            corpus=str(kept),
            seeds=() if no_seeds else tuple(map(str, seeds)),
            modules=str(modules.absolute()) if modules else "",
            topology=topology,
            accel=accel.value,
            devices=devices,
            seconds=length,
            seed=seed + n,
            feedback=feedback.value,
        )
        for n in range(jobs)
    ]
    found = _watch(Supervisor(specs), kept)
    raise typer.Exit(1 if found else 0)


def _watch(supervisor: Supervisor, corpus: Path) -> int:
    live = Live(corpus)
    before = signal.signal(signal.SIGTERM, _interrupt)
    with supervisor, live:
        try:
            while supervisor.look():
                live.show([job.stats for job in supervisor.jobs])
                time.sleep(_LOOK_EVERY)
        except KeyboardInterrupt:
            sys.stderr.write("vfiospec: stopping; what was found is kept\n")
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # one is enough
    signal.signal(signal.SIGTERM, before)
    stats = [job.stats for job in supervisor.jobs]
    for line in summary(stats, [job.folder for job in supervisor.jobs], corpus):
        typer.echo(line)
    return sum(s.finds for s in stats)


def _interrupt(number: int, frame: object) -> NoReturn:
    del number, frame
    raise KeyboardInterrupt


def seeds_of(target: str) -> list[Path]:
    """The corpora whose programs a target can run: its own, and those of narrower ones."""
    mine = set(load_target(target).operations)
    fitting = [t for t in targets() if mine.issuperset(load_target(t).operations)]
    return [p for t in fitting if (p := ROOT / "corpora" / t).is_dir()]


def list_targets() -> None:
    """Print the targets and what each is about."""
    for name in targets():
        target = load_target(name)
        typer.echo(f"{name:18} {target.about} ({len(target.operations)} operations)")
