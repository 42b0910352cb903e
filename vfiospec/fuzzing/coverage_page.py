# SPDX-License-Identifier: MIT
"""Coverage as a page that a browser opens from disk, and as lines for a terminal."""

from collections.abc import Iterator
from html import escape
from pathlib import Path

from vfiospec.fuzzing.coverage import Coverage, Function, Module

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em; }
table { border-collapse: collapse; width: 100%; margin: .5em 0 2em; }
td, th { text-align: left; padding: .15em .6em .15em 0; border-bottom: 1px solid #8884; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
tr.none td { color: #a33; } meter { width: 8em; }
pre { overflow-x: auto; line-height: 1.35; }
.hit { background: #3a32; } .miss { background: #d332; }
@media (prefers-color-scheme: dark) { body { background: #161616; color: #ddd; } }
"""


_BLIND = (
    "A place is a block of code that KCOV traces. It does not see interrupts, workqueues and other "
    "threads: what runs there counts as not reached."
)


def share(reached: int, traced: int) -> str:
    """As a person reads it: `61 %`."""
    return f"{100 * reached // traced} %" if traced else "none"


def summary(coverage: Coverage) -> Iterator[str]:
    """One line for each module, one for all."""
    for m in coverage.modules:
        whole = sum(1 for f in m.functions if f.reached)
        yield (
            f"{m.name:20} {m.reached:5} of {m.traced:5} places ({share(m.reached, m.traced)}), "
            f"{whole} of {len(m.functions)} functions"
        )
    total = f"{coverage.reached:5} of {coverage.traced:5} places"
    yield f"{'all':20} {total} ({share(coverage.reached, coverage.traced)})"
    if coverage.elsewhere:
        yield f"{coverage.elsewhere} places elsewhere in the kernel"


def page(coverage: Coverage, sources: Path | None = None) -> str:
    """The whole page. With the kernel's sources, the lines themselves are shown."""
    title = f"Coverage of {coverage.release}"
    total = f"{coverage.reached} of {coverage.traced} places reached"
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width'>",
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        f"<h1>{escape(title)}</h1><p>{total} ({share(coverage.reached, coverage.traced)}).",
        f"<p>{_BLIND}",
        "<table><tr><th>Module<th class=n>Reached<th class=n>Traced<th>",
        *(_row(f"<a href='#{m.name}'>{escape(m.name)}</a>", m) for m in coverage.modules),
        "</table>",
    ]
    for module in coverage.modules:
        parts += _module(module, sources)
    return "\n".join(parts) + "\n"


def _row(name: str, of: Module | Function) -> str:
    kind = "" if of.reached else " class=none"
    meter = f"<meter max={of.traced} value={of.reached}>{share(of.reached, of.traced)}</meter>"
    return f"<tr{kind}><td>{name}<td class=n>{of.reached}<td class=n>{of.traced}<td>{meter}"


def _module(module: Module, sources: Path | None) -> Iterator[str]:
    yield f"<h2 id='{module.name}'>{escape(module.name)}</h2>"
    yield "<table><tr><th>Function<th class=n>Reached<th class=n>Traced<th>"
    for function in module.functions:
        yield _row(f"{escape(function.name)} <small>{escape(function.file)}</small>", function)
    yield "</table>"
    for file, lines in sorted(module.lines.items()):
        hit = sum(lines.values())
        yield f"<details><summary>{escape(file)}: {hit} of {len(lines)} lines</summary><pre>"
        yield from _source(file, lines, sources)
        yield "</pre></details>"


def _source(file: str, lines: dict[int, bool], sources: Path | None) -> Iterator[str]:
    path = sources / file if sources else None
    if path is None or not path.is_file():
        for number, reached in sorted(lines.items()):
            yield f"<span class={'hit' if reached else 'miss'}>{number}</span>"
        return
    for number, text in enumerate(path.read_text(errors="replace").splitlines(), 1):
        shown = f"{number:5} {escape(text)}"
        kind = {True: "hit", False: "miss"}.get(lines[number]) if number in lines else None
        yield f"<span class={kind}>{shown}</span>" if kind else shown
