# SPDX-License-Identifier: MIT
"""Programs that fuzzing has kept: each is run again, and judged as it was when it was found."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vfiospec.device import ops as o
from vfiospec.fuzzing import codec, reach
from vfiospec.fuzzing.afterwards import Afterwards
from vfiospec.fuzzing.guest import Outcome
from vfiospec.fuzzing.materialise import materialise
from vfiospec.fuzzing.model import Program, World
from vfiospec.fuzzing.oracle import judge
from vfiospec.fuzzing.world import build_world
from vfiospec.rules import conventions, kernel
from vfiospec.session.jobs import ROOT, load_target, targets
from vfiospec.session.marks import checks, dangerous
from vfiospec.session.run import Run

_BATCH = 16
_KEEP = 4096
CORPORA = ROOT / "corpora"
DANGEROUS = sorted(CORPORA.glob("*/crash-*"))


def seeds(target: str) -> list[Path]:
    return sorted(p for p in (CORPORA / target).glob("*") if not p.name.startswith("crash-"))


@contextmanager
def world_of(run: Run, target: str) -> Iterator[World]:
    """What the target's programs find open; closed again afterwards."""
    for device in run.devices:
        if device.group is not None:
            run.give_up(device)
    before = len(run.port.steps)
    made = build_world(run.port, run.devices, load_target(target))
    try:
        yield made
    finally:
        memory = made.handles["memory"]
        files = {h for kind, hs in made.handles.items() if kind != "memory" for h in hs}
        run.port.run([o.Close(h) for h in sorted(files, reverse=True)])
        run.port.run([o.Munmap(h) for h in memory])
        run.port.run(made.removal)
        del run.port.steps[before:]


def replay(run: Run, world: World, programs: list[tuple[str, Program]]) -> list[str]:
    """Run programs together; what they did that none may."""
    made = [materialise(program, world) for _, program in programs]
    traces = [o.Trace(tuple(m.ops), tuple(m.after), world.first, 0, _KEEP) for m in made]
    after = Afterwards(run.port, world)
    found = []
    for (name, program), concrete, reply in zip(
        programs, made, run.port.exchange(traces), strict=True
    ):
        assert not reply.fault, f"{name}: {reply.fault}"
        found += [f"{name}: {broken.title}" for broken in judge(program, concrete, reply)]
        outcome = Outcome(program, concrete, reply)
        found += [f"{name}: {title}" for title in after.refusals(outcome)]
    names = ", ".join(name for name, _ in programs)
    return found + [f"one of {names}: {broken}" for broken in after.differences()]


CHECKS = checks(
    kernel.QUIET,
    kernel.UNTAINTED,
    kernel.ALIVE,
    kernel.INSIDE,
    kernel.RETURN_VALUE,
    kernel.NO_STRAY_FILE,
    kernel.NOTHING_HELD,
    kernel.UNDONE,
    kernel.REFUSED_UNCHANGED,
    conventions.REPEATABLE,
    conventions.CAPS_CHAIN,
)


@CHECKS
@pytest.mark.parametrize("target", [t for t in targets() if seeds(t)])
def test_a_corpus_does_no_harm(run: Run, target: str) -> None:
    """Every program of the target's corpus: the kernel stays sound, and answers as it may."""
    programs = [(p.name, codec.decode(p.read_bytes())) for p in seeds(target)]
    found = []
    with world_of(run, target) as world:
        for start in range(0, len(programs), _BATCH):
            found += replay(run, world, programs[start : start + _BATCH])
    assert found == []


@checks(kernel.DMA_INSIDE)
def test_nothing_is_reached_any_more(run: Run) -> None:
    """Before and after the corpus of mappings: where a device was shown a pattern once."""
    programs = [(p.name, codec.decode(p.read_bytes())) for p in seeds("dma")]
    with world_of(run, "dma") as world:
        if world.dma is None:
            pytest.skip("needs QEMU's edu, which does DMA at our word, behind an IOMMU")
        assert reach.strays(run.port, world, ()) == ""
        assert replay(run, world, programs) == []
        assert reach.strays(run.port, world, ()) == ""


@CHECKS
@dangerous
@pytest.mark.parametrize("seed", DANGEROUS, ids=[f"{p.parent.name}-{p.name}" for p in DANGEROUS])
def test_a_crash_is_mended(run: Run, seed: Path) -> None:
    """A program that some kernel died of."""
    with world_of(run, seed.parent.name) as world:
        assert replay(run, world, [(seed.name, codec.decode(seed.read_bytes()))]) == []
