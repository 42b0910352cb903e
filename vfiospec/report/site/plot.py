# SPDX-License-Identifier: MIT
"""A line over time as plain SVG: a few dozen lines, where a plotting library would bring megabytes.

It has no script, no font and no colour of its own: the page's style gives it both.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

_STEPS = (1, 2, 2.5, 5, 10)
_POINTS = 400  # more than a screen shows


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled place on an axis."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Plot:
    """A line in a box of width by height, y growing downwards as in SVG."""

    width: int
    height: int
    path: str
    x: list[Tick]
    y: list[Tick]
    last: str


def plot(points: Sequence[tuple[float, float]], width: int = 640, height: int = 200) -> Plot:
    """Draw points, whose x do not fall, from zero on both axes."""
    most_x = max((1.0, *(x for x, _ in points)))  # a second and one of anything is the least shown
    most_y = max((1.0, *(y for _, y in points)))
    y_ticks = ticks(most_y)
    top = max(most_y, y_ticks[-1])
    placed = [(width * x / most_x, height * (1 - y / top)) for x, y in _thinned(points)]
    path = " ".join(f"{'M' if not i else 'L'}{x:.1f} {y:.1f}" for i, (x, y) in enumerate(placed))
    unit, name = _unit(most_x)
    x_ticks = [t for t in ticks(most_x / unit) if t * unit <= most_x]
    return Plot(
        width=width,
        height=height,
        path=path,
        x=[Tick(round(width * t * unit / most_x, 1), f"{_number(t)} {name}") for t in x_ticks],
        y=[Tick(round(height * (1 - t / top), 1), _number(t)) for t in y_ticks],
        last=_number(points[-1][1]) if points else "",
    )


def _unit(seconds: float) -> tuple[int, str]:
    if seconds >= 2 * 3600:
        return 3600, "h"
    return (60, "min") if seconds >= 2 * 60 else (1, "s")


def ticks(most: float) -> list[float]:
    """Three to six round numbers from zero that reach, or nearly reach, `most`."""
    rough = most / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * s for s in _STEPS if power * s >= rough * (1 - 1e-9))
    return [step * i for i in range(math.ceil(most / step - 1e-9) + 1)]


def _thinned(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    if len(points) <= _POINTS:
        return points
    every = len(points) / _POINTS
    return [*(points[int(i * every)] for i in range(_POINTS)), points[-1]]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"
