# SPDX-License-Identifier: MIT
"""`vfiospec run`: judge a kernel."""

import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import pytest
import typer
from rich.console import Console

import vfiospec
from vfiospec.cli.building import refresh
from vfiospec.cli.coverage import counted, present
from vfiospec.cli.output import put
from vfiospec.cli.parts import Ended, Parts
from vfiospec.lab import LabError
from vfiospec.report.junit import junit
from vfiospec.report.ktap import ktap, ktap_kselftest
from vfiospec.report.terminal import LiveProgress, summary
from vfiospec.results.model import RESULTS_FILE, ResultsError
from vfiospec.results.reader import read_run
from vfiospec.session.only import file_of, is_id
from vfiospec.session.options import default_out
from vfiospec.session.plugin import CANNOT_JUDGE, INTERRUPTED, PLUGIN, PROGRESS, SuitePlugin

ROOT = Path(vfiospec.__file__).parent.parent


class Accel(StrEnum):
    """QEMU's accelerators."""

    TCG = "tcg"
    KVM = "kvm"


class Profile(StrEnum):
    """How many examples a property is tried on."""

    DEFAULT = "default"
    NIGHTLY = "nightly"


class Bits(StrEnum):
    """Word sizes of the program that makes the calls."""

    B64 = "64"
    B32 = "32"


class Ktap(StrEnum):
    """Dialects of TAP."""

    KTAP = "ktap"
    KSELFTEST = "kselftest"


class _Frontend:
    """The part of a run that a person sees, in place of pytest's own terminal."""

    def __init__(self, progress: LiveProgress) -> None:
        self.progress = progress
        self.errors: list[str] = []
        self.plugin: SuitePlugin | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        config.stash[PROGRESS] = self.progress

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self.plugin = session.config.pluginmanager.getplugin(PLUGIN)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.errors.append(report.longreprtext)

    def ended(self, code: int) -> Ended:
        """How the run ended that pytest gave this exit code."""
        plugin = self.plugin
        problem = None
        if self.errors:
            problem = "the suites cannot be collected\n" + self.errors[0]
        elif plugin is not None and (plugin.problem or plugin.interrupted):
            problem = plugin.problem or plugin.interrupted
        elif code == pytest.ExitCode.NO_TESTS_COLLECTED:
            problem = "no test fits; see --suite, --test and --topology"
        return Ended(code, plugin is not None and plugin.run.writer is not None, problem)


def chapters() -> list[str]:
    """The suites there are."""
    folder = ROOT / "suites"
    if not folder.is_dir():
        raise LabError(
            f"the suites are not in {ROOT}: install vfiospec from a checkout (pip install -e .)"
        )
    return sorted(p.name for p in folder.iterdir() if any(p.glob("test_*.py")))


def selection(suites: list[str], tests: list[str]) -> list[str]:
    """What to hand to pytest. LabError for a suite or test that does not exist."""
    known = chapters()
    for suite in suites:
        if suite not in known:
            raise LabError(f"no suite {suite!r}; there are {', '.join(known)}")
    by_id = [test for test in tests if is_id(test)]
    tests = [test for test in tests if not is_id(test)]
    for test in tests:
        path = ROOT / test.partition("::")[0]
        if not path.exists():
            raise LabError(
                f"--test {test}: {path} does not exist; ids are in {RESULTS_FILE}, id and nodeid"
            )
    chosen = [str(ROOT / "suites" / suite) for suite in suites]
    chosen += [str(ROOT / test) for test in tests]
    for test in by_id:
        chosen += [str(file_of(ROOT / "suites", test)), "--test-id", test]
    return chosen or [str(ROOT / "suites")]


def run(  # noqa: PLR0913, PLR0917 -- each is a choice of the user's
    kernel: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="What is judged: `debian` (newest of this machine's release), "
            "`debian:SUITE[=VERSION]`, a bzImage, a built kernel tree, or `host` (with --device). "
            "Default: debian.",
        ),
    ] = None,
    modules: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder of .ko[.xz|.zst] files that win over packaged ones."
        ),
    ] = None,
    topology: Annotated[
        str, typer.Option(metavar="NAME", help="The guest's devices: a name or a TOML file.")
    ] = "default",
    device: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BDF", help="Judge this device of this machine, in place. Repeatable."
        ),
    ] = None,
    executor: Annotated[
        str,
        typer.Option(
            metavar="COMMAND",
            help="Make the calls on another machine: `ssh HOST vfiospec executor`, with --device.",
        ),
    ] = "",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Results. Default: reports/DATE-TIME.")
    ] = None,
    suite: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this suite. Repeatable.")
    ] = None,
    test: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Only this test, by its id or nodeid. Repeatable."),
    ] = None,
    known_issues: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="What is known to fail. Default: known-issues.toml, if it is here."
        ),
    ] = None,
    require: Annotated[
        list[str] | None,
        typer.Option(metavar="CHAPTER", help="A skip in this chapter is a failure. Repeatable."),
    ] = None,
    accel: Annotated[Accel, typer.Option(help="QEMU's accelerator.")] = Accel.TCG,
    cpus: Annotated[int, typer.Option(min=1, help="Processors of the guest.")] = 1,
    deadline: Annotated[
        float, typer.Option(min=0.1, metavar="S", help="Seconds one call may take.")
    ] = 15.0,
    jobs: Annotated[
        int, typer.Option(min=1, metavar="N", help="Guests at once, each judging a part.")
    ] = 1,
    max_reboots: Annotated[
        int, typer.Option(min=0, metavar="N", help="Fresh boots of a guest whose kernel died.")
    ] = 10,
    ktap_to_stdout: Annotated[
        Ktap | None, typer.Option("--ktap", help="Print TAP on stdout instead of the summary.")
    ] = None,
    *,
    bits: Annotated[
        Bits, typer.Option(help="32: make the calls of an i386 program (apt: gcc-multilib).")
    ] = Bits.B64,
    dangerous: Annotated[
        bool,
        typer.Option(
            "--dangerous",
            help="Also what may take a released kernel down: last, each in a boot of its own.",
        ),
    ] = False,
    ways: Annotated[
        str,
        typer.Option(
            metavar="NAME,...",
            help="Reach devices in each of these ways, or `all`: type1, type1v2, compat-type1, "
            "compat-type1v2, iommufd. Default: type1v2 alone.",
        ),
    ] = "",
    coverage: Annotated[
        bool,
        typer.Option(
            "--coverage",
            help="Count which lines of the kernel run: one built with --profile coverage. Pages "
            "and JSON go to OUT/coverage.",
        ),
    ] = False,
    seed: Annotated[
        int | None,
        typer.Option(metavar="N", help="Choose other examples: properties are searched from N on."),
    ] = None,
    profile: Annotated[
        Profile, typer.Option(help="How long properties are searched for a counterexample.")
    ] = Profile.DEFAULT,
    build: Annotated[
        bool, typer.Option("--build", help="First build what changed in the tree of --kernel.")
    ] = False,
    panic_in: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Boot a kernel, judge its VFIO ABI, and say what was unexpected.

    Exit code: 0 nothing unexpected, 1 something was, 2 it could not be judged. The folder --out
    takes results.jsonl (one JSON line for each outcome, as it happens), junit.xml, results.ktap,
    the guest's console, and a transcript of each failure.
    """
    arguments = [
        *selection(suite or [], test or []),
        "--topology", topology, "--accel", accel.value, "--cpus", str(cpus),
        "--deadline", str(deadline), "--max-reboots", str(max_reboots),
        "--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml"),
        # Each call has its own deadline; a time limit on tests would only hide which call it was.
        "-p", "no:terminal", "-p", "no:cacheprovider", "--timeout", "0",
    ]  # fmt: skip
    if jobs > 1 and device:
        raise LabError("--jobs is for guests: --device judges one machine")
    known = chapters()
    for chapter in require or []:
        if chapter not in known:
            raise LabError(f"--require {chapter}: there are {', '.join(known)}")
    arguments += _given("--kernel", kernel)
    arguments += _given("--modules", modules)
    folder = out.absolute() if out else default_out(ROOT)
    arguments += _given("--out", folder)
    arguments += _given("--known-issues", known_issues and known_issues.absolute())
    arguments += _given("--device", *(device or []))
    arguments += _given("--require", *(require or []))
    arguments += _given("--executor", executor or None)
    arguments += _given("--ways", ways or None)
    arguments += _given("--panic-in", panic_in or None)
    arguments += _given("--hypothesis-seed", seed)
    arguments += [
        "--examples",
        profile.value,
        "--bits",
        bits.value,
        *(["--dangerous"] if dangerous else []),
        *(["--coverage"] if coverage else []),
    ]
    refresh(kernel, build=build, own_modules=modules is not None)
    tree = counted(kernel) if coverage else None
    signal.signal(signal.SIGTERM, _interrupt)
    with LiveProgress() as progress:
        if jobs > 1:
            ended = Parts(folder, progress).run(arguments, jobs)
        else:
            frontend = _Frontend(progress)
            code = int(pytest.main(arguments, plugins=[frontend]))
            ended = frontend.ended(code)
    code = _conclude(folder, ended, ktap_to_stdout)
    if tree is not None and ended.written:
        present(folder, tree, Console(stderr=ktap_to_stdout is not None))
    sys.exit(code)


def _given(name: str, *values: object) -> list[str]:
    """The option before each value there is."""
    return [word for v in values if v is not None for word in (name, str(v))]


def _interrupt(number: int, frame: object) -> NoReturn:
    del number, frame
    raise KeyboardInterrupt


def _conclude(folder: Path, ended: Ended, dialect: Ktap | None) -> int:
    if not ended.written:
        interrupted = ", before anything was judged" if ended.problem == INTERRUPTED else ""
        if ended.problem:
            sys.stderr.write(f"vfiospec: {ended.problem}{interrupted}\n")
        return CANNOT_JUDGE
    judged = read_run(folder / RESULTS_FILE)
    code = ended.code
    if ended.problem and judged.footer is None:  # else the footer says it
        sys.stderr.write(f"vfiospec: {ended.problem}\n")
    try:
        put(junit(judged), folder / "junit.xml")
        put(ktap(judged), folder / "results.ktap")
    except ResultsError as e:
        sys.stderr.write(f"vfiospec: {e}; `vfiospec report` makes it again\n")
        code = code or CANNOT_JUDGE
    if dialect is None:
        summary(judged, folder, Console())
    else:
        sys.stdout.write((ktap if dialect is Ktap.KTAP else ktap_kselftest)(judged))
        summary(judged, folder, Console(stderr=True))
    return code
