# SPDX-License-Identifier: MIT
"""`vfiospec abi`: the binary layout, what changed in it, and since when it has what."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from vfiospec.cli.abi_report import as_json, report
from vfiospec.cli.run import ROOT
from vfiospec.lab import LabError
from vfiospec.lab.layouts import ACCEPTED, every_kernel, read, sources_includes
from vfiospec.lab.revisions import at_commit, patched, split_range
from vfiospec.layout.headers import read_abi
from vfiospec.layout.history import HISTORY, collect, dump
from vfiospec.layout.history import read as read_history
from vfiospec.layout.history_table import table
from vfiospec.layout.judge import Judgement, judge
from vfiospec.layout.show import layout_text

app = typer.Typer(
    no_args_is_help=True,
    help="The binary layout of the user headers, as compilers and kernels have it.\n\n"
    "Nothing is booted. `vfiospec abi diff` is for a patch before it is sent: it says whether "
    "programs that exist go on to work.",
)
_SOURCE = f"Where from: {ACCEPTED.removeprefix('a source is ')}."


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


@contextmanager
def _interruptible() -> Iterator[None]:
    """Within it, Ctrl-C is an error: its exit code shall not be that of a break."""
    try:
        yield
    except KeyboardInterrupt as e:
        raise LabError("interrupted; nothing was judged, and nothing is left behind") from e


@app.command()
def show(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help=_SOURCE)],
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Structures, enums or macros; * is a wildcard."),
    ] = None,
    *,
    i386: Annotated[bool, typer.Option("--i386", help="As 32-bit programs see it.")] = False,
    as_data: Annotated[bool, typer.Option("--json", help="As JSON, whole.")] = False,
) -> None:
    """Print structures, enums, flags and ioctl numbers with offsets and sizes.

    vfiospec abi show debian:trixie vfio_irq_info 'VFIO_IRQ_INFO_*'

    vfiospec abi show ~/linux --i386 vfio_device_gfx_plane_info

    vfiospec abi show vfio-pci-core.ko

    Exit code: 0 it is printed, 2 it cannot be read.
    """
    with _interruptible():
        abi = read(source, _say)
    layout = abi.narrow if i386 else abi.wide
    if layout is None:
        raise LabError(
            f"{source}: no 32-bit view: headers and a compiler with gcc-multilib have it"
        )
    if as_data:
        typer.echo(msgspec.json.format(msgspec.json.encode(layout)).decode())
        return
    typer.echo(f"/* {layout.source}, {layout.bits} bits */")
    for line in layout_text(layout, names or []):
        typer.echo(line)


@app.command()
def diff(  # noqa: PLR0913 -- each is a choice of the user's
    old: Annotated[
        str | None, typer.Argument(metavar="[OLD]", help=f"{_SOURCE} With --git: the tree.")
    ] = None,
    new: Annotated[str | None, typer.Argument(metavar="[NEW]", help="The same, later.")] = None,
    git: Annotated[
        str | None,
        typer.Option(metavar="A..B", help="Two commits of a kernel tree: OLD, or where you are."),
    ] = None,
    patch: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="OLD against itself with a patch; OLD stays as it is."),
    ] = None,
    *,
    as_data: Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")] = False,
    brief: Annotated[bool, typer.Option("--brief", help="Without additions.")] = False,
) -> None:
    """Judge whether programs built for OLD work with NEW.

    vfiospec abi diff debian:bookworm debian:trixie

    vfiospec abi diff --git origin/master..HEAD

    vfiospec abi diff debian:trixie-backports --patch 0001-my-change.patch

    vfiospec abi diff old/vfio-pci-core.ko new/vfio-pci-core.ko

    Each break names its rule (`vfiospec rules show ID`) and shows both layouts. What kernels have
    changed nevertheless is told apart, with the reason. Where gcc-multilib is installed, headers
    are judged as 32-bit programs see them too.

    Exit code: 0 compatible, 1 a break, 2 it could not be judged.
    """
    with _interruptible(), ExitStack() as stack:
        judgement = _judged(old, new, git, patch, stack)
    if judgement is None:
        typer.echo(f"{patch}: no user header of the kernel in it: the layout stays as it is")
        return
    if as_data:
        typer.echo(as_json(judgement))
    else:
        for line in report(judgement, brief=brief):
            typer.echo(line)
    raise typer.Exit(0 if judgement.compatible else 1)


def _judged(
    old: str | None, new: str | None, git: str | None, patch: Path | None, stack: ExitStack
) -> Judgement | None:
    def folder() -> Path:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vfiospec-abi-")))

    if git is not None:
        if new is not None or patch is not None:
            raise LabError("--git compares two commits of one tree: no NEW and no --patch with it")
        before, after = split_range(git)
        tree = Path(old or ".").expanduser()
        return judge(*(read_abi(at_commit(tree, c, folder(), stack)) for c in (before, after)))
    if old is None:
        raise LabError("what is to be compared? see `vfiospec abi diff --help`")
    if patch is not None:
        if new is not None:
            raise LabError("--patch makes NEW out of OLD: give one source with it")
        includes = sources_includes(old, stack, _say)
        changed = patched(includes, patch, folder())
        return None if changed is None else judge(read_abi(includes), read_abi(changed))
    if new is None:
        raise LabError(f"{old}: compared with what? give a second source, --git or --patch")
    return judge(read(old, _say), read(new, _say))


@app.command()
def history(
    *,
    offline: Annotated[
        bool, typer.Option("--offline", help="Of corpora/abi, without asking a mirror.")
    ] = False,
    as_data: Annotated[bool, typer.Option("--json", help="The data that corpora/abi has.")] = False,
) -> None:
    """Print which field, flag and ioctl came with which kernel, as a page in Markdown.

    The headers packages of all suites that apt reaches are fetched (3 MB each) and compiled; a
    suite that cannot be reached is named and left out.

    vfiospec abi history > docs/abi-history.md

    vfiospec abi history --json > corpora/abi/history.json

    Exit code: 0 it is printed, 2 nothing could be read.
    """
    with _interruptible():
        made = read_history(ROOT / HISTORY) if offline else collect(every_kernel(_say))
    if as_data:
        typer.echo(dump(made).decode(), nl=False)
        return
    for line in table(made):
        typer.echo(line)
