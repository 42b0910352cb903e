# SPDX-License-Identifier: MIT
"""`vfiospec replay`: make the calls of a transcript again, on any kernel."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from vfiospec.device.port import Port, Step, TargetLostError
from vfiospec.device.transcript import Narrator, Target, TranscriptDevice, load, translate
from vfiospec.lab import topology
from vfiospec.lab.bench import Bench, InPlaceBench, VmBench
from vfiospec.lab.kernel import resolve


def replay(
    file: Annotated[Path, typer.Argument(help="A transcript, from a run's folder.")],
    kernel: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="Another kernel than it was made on.")
    ] = None,
    modules: Annotated[Path | None, typer.Option(metavar="DIR")] = None,
    layout: Annotated[str | None, typer.Option("--topology", metavar="NAME")] = None,
    device: Annotated[
        list[str] | None, typer.Option(metavar="BDF", help="Devices of this machine, in place.")
    ] = None,
) -> None:
    """Make exactly the calls of a transcript again and show where an answer differs.

    Exit code: 0 every answer is the same, 1 one differs, 2 they could not be made.
    """
    target, steps = load(file)
    with tempfile.TemporaryDirectory(prefix="vfiospec-") as folder:
        bench: Bench
        if device:
            bench = InPlaceBench(device)
        else:
            found = resolve(kernel or target.kernel, modules, _say)
            chosen = topology.load(layout or target.topology or "default")
            bench = VmBench(found, chosen, Path(folder), say=_say)
        try:
            bench.start()
            _say(f"{target.test}, made on {target.release}, again on {bench.booted.release}")
            different = _again(bench, target, steps)
        finally:
            bench.stop()
    _say(f"{len(steps)} calls, {different} answered otherwise")
    raise typer.Exit(1 if different else 0)


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _again(bench: Bench, target: Target, steps: list[Step]) -> int:
    here = [TranscriptDevice(d.name, d.bdf, d.group) for d in bench.devices]
    narrator, different = Narrator(), 0
    port: Port = bench.port
    for op, before in steps:
        made = translate(op, target.devices, here)
        try:
            (reply,) = port.exchange([made])
        except TargetLostError as e:
            typer.echo(f"{narrator.say((made, None))}: {bench.why_lost(e)}")
            return different + 1
        typer.echo(f"  {narrator.say((made, reply))}")
        # Addresses, file and process numbers are the far side's own affair.
        own = made.__class__.__name__ in ("Open", "Dup", "Mmap", "Alloc", "Eventfd", "Fork")
        kept = own or getattr(made, "out", None) is not None
        same = before is not None and (
            (reply.ok == before.ok and reply.errno == before.errno)
            if kept
            else (reply.ret, reply.errno, reply.data, reply.spill, reply.signal)
            == (before.ret, before.errno, before.data, before.spill, before.signal)
        )
        if not same:
            different += 1
            was = narrator.say((made, before)).rpartition(" -> ")[2]
            typer.echo(f"! it was {was}")
    return different
