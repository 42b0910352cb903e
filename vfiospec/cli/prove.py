# SPDX-License-Identifier: MIT
"""`vfiospec prove`: show that the suites can fail."""

import signal
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import pytest
import typer
from rich.console import Console

from vfiospec.cli.proof_parts import in_parts
from vfiospec.cli.run import ROOT, _Frontend, _interrupt, chapters
from vfiospec.lab import LabError
from vfiospec.lab.build.wrong import build_modules
from vfiospec.report.proof import summary
from vfiospec.report.terminal import LiveProgress
from vfiospec.results import proof
from vfiospec.rules import all_rules
from vfiospec.session.plugin import CANNOT_JUDGE, KIND
from vfiospec.session.proof_find import Finder
from vfiospec.session.prove import REQUEST, ProofPlugin, Request
from vfiospec.wrong.kernels import WrongKernel
from vfiospec.wrong.kernels import load as load_kernels
from vfiospec.wrong.model import PORTS, Wrong, WrongError, load


class _ProofFrontend(_Frontend):
    """The part of a proof that a person sees, and what the session is told."""

    def __init__(self, progress: LiveProgress, request: Request) -> None:
        super().__init__(progress)
        self.request = request

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        super().pytest_configure(config)
        config.stash[KIND] = ProofPlugin
        config.stash[REQUEST] = self.request


def folder_of(chapter: str) -> str:
    """The suite with a chapter's tests; what holds of the kernel itself, any suite shows."""
    return "device_info" if chapter == "kernel" else chapter.replace("-", "_")


def chosen(wrongs: tuple[Wrong, ...], chapter: list[str], wrong: list[str]) -> tuple[Wrong, ...]:
    """The wrong ports that are asked for. LabError for one that there is not."""
    known = {w.id for w in wrongs}
    for one in wrong:
        if one not in known:
            raise LabError(f"no wrong port {one!r}; they are in vfiospec/wrong/ports")
    folders = {folder_of(c) for c in chapter}
    for folder in folders:
        if folder not in chapters():
            raise LabError(f"no chapter {folder!r}; there are {', '.join(chapters())}")
    return tuple(
        w
        for w in wrongs
        if (not wrong or w.id in wrong)
        and (not folders or folder_of(w.rule.partition(".")[0]) in folders)
    )


def of_each_chapter(wrongs: tuple[Wrong, ...]) -> tuple[Wrong, ...]:
    """A sample: the first wrong port of each chapter, and one from its middle."""
    by_chapter: dict[str, list[Wrong]] = {}
    for wrong in wrongs:
        by_chapter.setdefault(wrong.rule.partition(".")[0], []).append(wrong)
    places = ((those, {0, len(those) // 2}) for those in by_chapter.values())
    return tuple(those[i] for those, which in places for i in sorted(which))


def _of_tree(
    tree: Path, chapter: list[str], ids: list[str]
) -> tuple[tuple[WrongKernel, ...], Callable[[WrongKernel], Path]]:
    """The wrong kernels that are asked for, and what builds one."""
    folders = {folder_of(c) for c in chapter}
    asked = tuple(
        k
        for k in load_kernels()
        if (not ids or k.id in ids)
        and (not folders or folder_of(k.rule.partition(".")[0]) in folders)
    )
    if not asked:
        raise LabError("no wrong kernel fits; they are in vfiospec/wrong/kernels")
    return asked, lambda k: build_modules(tree, k.edit, lambda text: _note(f"{k.id}: {text}"))


def _note(text: str) -> None:
    Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)


def prove(  # noqa: PLR0913, PLR0917 -- each is a choice of the user's
    kernel: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="The real kernel, as in `vfiospec run`.")
    ] = None,
    topology: Annotated[
        str, typer.Option(metavar="NAME", help="The guest's devices: a name or a TOML file.")
    ] = "default",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Results. Default: reports/prove-DATE-TIME.")
    ] = None,
    chapter: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this chapter. Repeatable.")
    ] = None,
    wrong: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Only this wrong port. Repeatable.")
    ] = None,
    ports: Annotated[
        Path, typer.Option(metavar="DIR", help="Where the wrong ports are: TOML files.")
    ] = PORTS,
    deadline: Annotated[
        float, typer.Option(min=0.1, metavar="S", help="Seconds one call may take.")
    ] = 15.0,
    tree: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="With --kernels: a built kernel tree (`vfiospec kernels build`)."
        ),
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, metavar="N", help="Guests at once, each with its share.")
    ] = 1,
    *,
    kernels: Annotated[
        bool,
        typer.Option(
            "--kernels",
            help="Wrong kernels in place of wrong ports: the driver of --tree, edited and built.",
        ),
    ] = False,
    sample: Annotated[
        bool, typer.Option("--sample", help="Only a few wrong ports, of every chapter.")
    ] = False,
    find: Annotated[
        bool,
        typer.Option(
            "--find",
            help="Look for wrong ports of rules that have none, and write them to DIR/found.toml.",
        ),
    ] = False,
) -> None:
    """Show that the suites can fail: break one promise at a time, and see that a test says so.

    Boots the kernel once. First the tests run on it as it is; then, for each wrong port, those of
    the rule that it breaks run on answers that break it. `vfiospec/wrong/ports/` has those
    that come with it. DIR/prove.json takes all that came of it.

    Exit code: 0 every wrong kernel was caught, 1 one was missed or a test fails on the kernel as
    it is, 2 nothing could be judged.
    """
    all_rules()
    try:
        wrongs = chosen(load(ports), chapter or [], [] if kernels else wrong or [])
    except WrongError as e:
        raise LabError(str(e)) from e
    if kernels != (tree is not None) or (kernels and (kernel or sample or find)):
        raise LabError("--kernels is for the kernel of --tree, and --tree for it: give just both")
    if sample:
        wrongs = of_each_chapter(wrongs)
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    folder = (out or ROOT / "reports" / f"prove-{stamp}").absolute()
    request = Request(wrongs, brief=sample, after=Finder(folder) if find else None)
    folders = [folder_of(c) for c in chapter or []]
    if (sample or wrong) and not find:
        folders = sorted({folder_of(w.rule.partition(".")[0]) for w in wrongs})
    if folders and not find:  # a rule's tests may lie in another chapter's folder
        folders = sorted({*folders, *(w.test.partition(".")[0] for w in wrongs if w.test)})
    given = ["--topology", topology, "--deadline", str(deadline)]
    more = _options("--kernel", kernel)
    if tree is None:
        parts = [_options("--chapter", *chapters) for chapters in shares(wrongs, jobs)]
        given += [*_options("--kernel", kernel), "--ports", str(ports.absolute())]
        given += _options("--wrong", *(w.id for w in wrongs) if wrong else ())
    else:
        kernel = str(tree.absolute())
        given += ["--kernels", "--tree", kernel]
        asked, build = _of_tree(tree, chapter or [], wrong or [])
        parts = [_options("--wrong", *ids) for ids in shares_of_kernels(asked, jobs)]
        request = Request((), kernels=asked, modules=build)
        folders = []  # the plan takes the tests of their rules, wherever they lie
        more = ["--kernel", kernel, "--dangerous"]  # a guest is booted for each of them anyway
    if len(parts) > 1 and not (find or sample):
        sys.exit(_end(in_parts(parts, given, folder), folder))
    arguments = [
        *(str(ROOT / "suites" / f) for f in folders if f in chapters()),
        *([] if folders else [str(ROOT / "suites")]),
        "--topology", topology, "--deadline", str(deadline), "--out", str(folder),
        "--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml"),
        "-p", "no:terminal", "-p", "no:cacheprovider", "--timeout", "0",
        *more,
    ]  # fmt: skip
    signal.signal(signal.SIGTERM, _interrupt)
    with LiveProgress() as progress:
        frontend = _ProofFrontend(progress, request)
        code = int(pytest.main(arguments, plugins=[frontend]))
    sys.exit(_conclude(frontend, folder, code))


def _options(name: str, *values: str | None) -> list[str]:
    return [word for v in values if v is not None for word in (name, v)]


def shares(wrongs: tuple[Wrong, ...], jobs: int) -> list[list[str]]:
    """Chapters for each guest, so that each has about as many wrong ports."""
    weights = Counter(folder_of(w.rule.partition(".")[0]) for w in wrongs)
    parts: list[list[str]] = [[] for _ in range(jobs)]
    for chapter, _ in weights.most_common():
        share = min(parts, key=lambda s: sum(weights[c] for c in s))
        share.append(chapter)
    return [sorted(set(s)) for s in parts if s]


def shares_of_kernels(kernels: tuple[WrongKernel, ...], jobs: int) -> list[list[str]]:
    """Wrong kernels for each guest, as many to each; those of one chapter lie together."""
    ids = [k.id for k in sorted(kernels, key=lambda k: folder_of(k.rule.partition(".")[0]))]
    ends = [len(ids) * n // jobs for n in range(jobs + 1)]
    return [ids[a:b] for a, b in pairwise(ends) if a < b]


def _end(made: proof.Proof, folder: Path) -> int:
    proof.save(made, folder)
    summary(made, folder, Console())
    return made.exit_code()


def _conclude(frontend: _ProofFrontend, folder: Path, code: int) -> int:
    plugin = frontend.plugin
    if frontend.errors:
        sys.stderr.write("vfiospec: the suites cannot be collected\n" + frontend.errors[0] + "\n")
    if plugin is not None and plugin.problem:
        sys.stderr.write(f"vfiospec: {plugin.problem}\n")
    made = frontend.request.proof
    if made is None:
        if not frontend.errors and not (plugin and plugin.problem):
            sys.stderr.write(f"vfiospec: no test was run (pytest's exit code is {code})\n")
        return CANNOT_JUDGE
    _end(made, folder)
    return code
