# SPDX-License-Identifier: MIT
"""A program made concrete: the port's own operations, on the devices of one bench."""

from vfiospec.fuzzing.describe import descriptions
from vfiospec.fuzzing.maker import Concrete, Maker, resolve
from vfiospec.fuzzing.model import Operation, Program, World
from vfiospec.fuzzing.shapes import SHAPES


def materialise(program: Program, world: World) -> Concrete:
    """The operations of a program. Whatever the program, they are valid ones of the port."""
    maker = Maker(world)
    for number, step in enumerate(program):
        maker.step = number
        _add(maker, step)
    return maker.made


def _add(maker: Maker, step: Operation) -> None:
    about = descriptions().get(step.name)
    if about is None:
        return
    values = [
        resolve(f, step.values[n] if n < len(step.values) else 0)
        for n, f in enumerate(about.fields)
    ]
    SHAPES[about.shape](maker, about, step.on, values)
