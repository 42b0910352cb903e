# SPDX-License-Identifier: MIT
"""The pytest plugin: collection, the life of each test, the verdict."""

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import pytest

from vfiospec.device import transcript
from vfiospec.device.port import TargetLostError
from vfiospec.expect import Mismatch
from vfiospec.lab import LabError
from vfiospec.lab.bench import BenchDevice
from vfiospec.results import model
from vfiospec.results.model import ResultsError
from vfiospec.rules import all_rules, kernel
from vfiospec.rules.model import kernel_version
from vfiospec.session import findings as known
from vfiospec.session import only
from vfiospec.session.catalogue import catalogue
from vfiospec.session.health import Health
from vfiospec.session.issue_book import IssueBook
from vfiospec.session.marks import is_dangerous, rules_of, selected
from vfiospec.session.options import Options
from vfiospec.session.outcome import Judged, rerun_line, test_id
from vfiospec.session.run import Run
from vfiospec.session.ways import way_of

PLUGIN = "vfiospec-suites"
NO_DEVICE = "no-device"


class Progress(Protocol):
    """What shows a person how a run goes on: vfiospec.report.terminal.LiveProgress."""

    def note(self, text: str) -> None:
        """Say which phase begins."""

    def on_record(self, record: model.Record) -> None:
        """Show a record as it is written."""


PROGRESS = pytest.StashKey[Progress]()
# Which kind of SuitePlugin a session has, where it is not the plain one.
KIND = pytest.StashKey[type["SuitePlugin"]]()
CANNOT_JUDGE = 2
INTERRUPTED = "Ctrl-C"


class SuitePlugin:
    """Active when tests of suites/ are collected."""

    run_type = Run

    def __init__(self, config: pytest.Config, options: Options) -> None:
        self.config = config
        self.options = options
        self.run = self.run_type(options, self._say)
        progress = config.stash.get(PROGRESS, None)
        if progress is not None:
            self.run.listeners.append(progress.on_record)
        all_rules()
        self.findings = known.load(Path(config.rootpath) / "suites" / "expectations")
        self.issues = IssueBook(options.known_issues, self.findings)
        self.judged: Judged | None = None
        self.counts: Counter[str] = Counter()
        self.chapter = ""
        self.interrupted: str | None = None
        self.problem: str | None = None

    def _say(self, text: str) -> None:
        progress = self.config.stash.get(PROGRESS, None)
        if progress is not None:
            progress.note(text)
        else:
            reporter = self.config.pluginmanager.get_plugin("terminalreporter")
            if reporter is not None:
                reporter.write_line(f"vfiospec: {text}")

    # -- collection

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run a test that takes a device on each one that serves it."""
        if "spec" not in metafunc.fixturenames or not in_suites(metafunc.definition):
            return
        wanted = selected(metafunc, self.run.devices)
        names = [d.name for d in wanted] or [NO_DEVICE]
        metafunc.parametrize("spec", names, ids=names, indirect=True)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Refuse a test without a rule, and two tests with one id; put the dangerous last."""
        if self.options.test_ids:
            items[:] = self._chosen(items)
        risky = [i for i in items if is_dangerous(i)]
        if risky and not self.options.dangerous:
            self.config.hook.pytest_deselected(items=risky)
            risky = []
        items[:] = [i for i in items if not is_dangerous(i)] + risky
        self._keep_chapters(items)
        seen: dict[str, str] = {}
        for item in items:
            if not in_suites(item):
                continue
            if not rules_of(item):
                raise pytest.UsageError(f"{item.nodeid}: a suite test must name its rule")
            other = seen.setdefault(test_id(item), item.nodeid)
            if other != item.nodeid:
                raise pytest.UsageError(f"{item.nodeid} and {other} have the id {test_id(item)}")
        self._keep_part(items)

    def _keep_chapters(self, items: list[pytest.Item]) -> None:
        """Keep the suites the topology is for."""
        only = self.run.chapters
        others = [i for i in items if only and in_suites(i) and i.path.parent.name not in only]
        if others:
            self.config.hook.pytest_deselected(items=others)
            gone = set(others)
            items[:] = [i for i in items if i not in gone]

    def _keep_part(self, items: list[pytest.Item]) -> None:
        """Keep every so-manieth test: neighbours take about as long as each other."""
        options = self.options
        others = [i for n, i in enumerate(items) if n % options.parts != options.part]
        if others:
            self.config.hook.pytest_deselected(items=others)
            items[:] = items[options.part :: options.parts]

    def _chosen(self, items: list[pytest.Item]) -> list[pytest.Item]:
        """Those that an id stands for, and all of what was named in another way."""
        suites = self.config.rootpath / "suites"
        try:
            files = {str(only.file_of(suites, test)) for test in self.options.test_ids}
            doubtful = {i: test_id(i) for i in items if str(i.path) in files}
            chosen = only.choose(self.options.test_ids, doubtful.values())
        except LabError as e:
            raise pytest.UsageError(f"vfiospec: {e}") from e
        left_out = [i for i, name in doubtful.items() if name not in chosen]
        self.config.hook.pytest_deselected(items=left_out)
        return [i for i in items if i not in left_out]

    # -- the run

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Boot before the first test."""
        planned = sum(map(in_suites, session.items))
        if session.config.option.collectonly or not planned or session.testsfailed:
            return (yield)
        try:
            self.run.begin(planned)
            if self.options.part == 0:  # parts of one run have one file
                self.run.write(catalogue(self.findings, self.run.version))
            return (yield)
        except (LabError, ResultsError) as e:
            self.problem = str(e)
            pytest.exit(str(e), returncode=CANNOT_JUDGE)
        except KeyboardInterrupt:
            self.interrupted = INTERRUPTED
            raise

    def _end(self) -> None:
        try:
            self.run.end()
        except LabError as e:
            self.problem = self.problem or str(e)
            self._say(str(e))
        writer = self.run.writer
        if writer is None:
            return
        footer = model.Footer(
            finished=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            counts=dict(self.counts),
            exit_code=self.exit_code(),
            interrupted=self.interrupted or self.problem,
            duration=self.run.elapsed(),
            known_issues=self.issues.states(*self._where()),
        )
        try:
            self.run.write(footer)
            writer.close()
        except ResultsError as e:
            self.problem = self.problem or str(e)

    def exit_code(self) -> int:
        """What a run that counted this must end with."""
        return exit_code(self.counts, interrupted=self.interrupted, problem=self.problem)

    def pytest_internalerror(self) -> None:
        """A mistake of ours, of which pytest shows where: nothing was judged to its end."""
        self.problem = "a mistake in vfiospec ended it: the lines above are for a bug report"

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Put everything back, and give pytest our exit code, where a run took place.

        Not before: of a test that was interrupted, pytest closes what is open only now.
        """
        self._end()
        if self.run.writer is not None or self.problem:
            # Tests that are not the suites' may have run too, and failed.
            session.exitstatus = self.exit_code() or exitstatus
        elif exitstatus in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = CANNOT_JUDGE

    @contextmanager
    def _disk(self) -> Generator[None]:
        """End the run, with a line that says why, when its results cannot be written."""
        try:
            yield
        except (ResultsError, OSError) as e:
            self.problem = str(e)
            pytest.exit(str(e), returncode=CANNOT_JUDGE)

    # -- one test

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, object, object]:
        """Announce a test before it starts, write its outcome as it ends."""
        del nextitem
        if not in_suites(item):
            return (yield)
        self.judged = Judged(item, test_id(item), self.run.elapsed())
        with self._disk():
            self.run.write(model.Start(id=self.judged.id, t=self.run.elapsed()))
        try:
            return (yield)
        finally:
            with self._disk():
                self._write_outcome(self.judged)
            self.judged = None
            if is_dangerous(item):
                self.run.spoil(f"{test_id(item)}, which may leave a kernel broken")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Have a kernel that answers, and a transcript that begins with this test."""
        if not in_suites(item):
            return
        if is_dangerous(item) and not self.run.is_fresh:
            self.run.spoil("the tests that are safe")
        self.run.ensure_up()
        if self.chapter != item.path.parent.name:
            self.chapter = item.path.parent.name
            self.run.count()
        self.run.port.steps.clear()
        if self.judged and self.options.panic_in == self.judged.id:
            self.run.panic()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Take in what happened, and let pytest's own report say what ours says."""
        report = yield
        judged, error = self.judged, call.excinfo.value if call.excinfo else None
        if judged is None:
            return report
        if isinstance(error, TargetLostError):
            why, console = self.run.lost(error)
            if not judged.lost:
                judged.lost = why
                judged.broken.append(kernel.ALIVE.id)
                judged.failed("error", f"the kernel was lost: {why}; under way: {_ops(error)}")
                judged.details.append(f"console:\n{console}")
        elif judged.lost:
            report.outcome = "passed"  # whatever a teardown says of a dead kernel is no news
        judged.see(report, error)
        if report.when == "call" and report.passed and (finding := self._finding(judged)):
            judged.explained("xpassed", finding)
            judged.message = f"{finding.id} is known to fail here, and passed: {finding.title}"
        # What shows only in teardown is the kernel's health: no finding speaks of that.
        # A kernel that dies is one only where the test is known to be able to kill it.
        explicable = judged.outcome == "failed" or (judged.lost and is_dangerous(item))
        if report.failed and report.when != "teardown" and explicable:
            finding = self._finding(judged)
            if finding is not None:
                judged.explained("xfailed", finding)
                report.outcome, report.wasxfail = "skipped", finding.id
        if report.skipped and self._required(item) and judged.outcome == "skipped":
            judged.failed("failed", f"skipped, though required: {judged.message}")
            report.outcome = "failed"
        if report.failed:
            self._explain(item, report)
        return report

    def _explain(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """Show under pytest's own terminal what a run of `vfiospec run` shows."""
        for rule in rules_of(item):
            cites = "\n".join(f"  see {source}" for source in rule.sources)
            report.sections.append((f"rule {rule.id} ({rule.strength})", f"{rule.text}\n{cites}"))
        calls = "\n".join(transcript.narrate(self.run.port.steps))
        report.sections.append(("calls", calls))

    def _required(self, item: pytest.Item) -> bool:
        return item.path.parent.name in self.options.require

    def _finding(self, judged: Judged) -> known.Deviation | None:
        own = {r.id for r in rules_of(judged.item)}
        those: list[known.Deviation] = [*self.findings, *self.issues.holding(*self._where())]
        for finding in those:
            if not finding.concerns(own) or not self._covers(finding, judged):
                continue
            if judged.outcome == "passed":
                if not finding.intermittent:
                    return finding
            elif finding.explains(judged.actual or judged.message or ""):
                return finding
        return None

    def _covers(self, finding: known.Deviation, judged: Judged) -> bool:
        """Whether it speaks of this test: in all ways, unless it names one."""
        device = self.run.device(_spec(judged.item))
        roles = device.roles if device else frozenset()
        names = {judged.id, judged.id.removesuffix(f".{way_of(judged.item)}")}
        return any(finding.covers(name, self.run.version, roles) for name in names)

    def _where(self) -> tuple[tuple[int, int], str, model.Mode]:
        header = self.run.header
        if header is None:
            raise LabError("nothing has been booted yet")
        topology = header.topology.name if header.topology else ""
        return kernel_version(header.kernel.release), topology, header.mode

    def judge_health(self) -> None:
        """Judge what the kernel said while a test ran. Mismatch if it was not sound."""
        judged, monitor = self.judged, self.run.health
        if judged is None or monitor is None:
            return
        health = monitor.look()
        judged.log += health.log
        judged.dmar += health.dmar
        if health.trouble:
            judged.broken.append(kernel.QUIET.id)
            monitor.taint = health.taint
            if monitor.locks_unwatched():
                self.run.spoil("a report of lockdep, which watches no more")
            if not self._reported(judged, health):
                raise Mismatch("a quiet kernel", health.trouble[0])
        if health.taint != monitor.taint:
            before, monitor.taint = monitor.taint, health.taint
            judged.broken.append(kernel.UNTAINTED.id)
            raise Mismatch(f"taint {before}", f"taint {health.taint}")
        for step in self.run.port.steps:
            if step[1] is not None and step[1].spill:
                judged.broken.append(kernel.INSIDE.id)
                raise Mismatch(
                    "nothing written outside of a buffer", next(transcript.narrate([step]))
                )

    def _reported(self, judged: Judged, health: Health) -> bool:
        """Whether the kernel's only complaint is a known one, of a test that is fine otherwise."""
        if judged.outcome != "passed":
            return False
        for finding in self.findings:
            told = finding.tells_of(health.trouble, health.log)
            if told and self._covers(finding, judged):
                judged.outcome, judged.finding = "xfailed", finding.id
                judged.message = f"{finding.id}: {health.trouble[0]}"
                return True
        return False

    def _write_outcome(self, judged: Judged) -> None:
        device = self.run.device(_spec(judged.item))
        if judged.outcome in ("failed", "error", "xpassed", "xfailed"):
            self._keep_transcript(judged, device)
        self.run.write(
            judged.record(
                model.DeviceRef(name=device.name, bdf=device.bdf) if device else None,
                self.run.bench.boot,
                self.run.elapsed(),
                rerun_line(self._target_options(judged.item), judged.item.nodeid),
            )
        )
        # Only what is in the file is counted: the disk may be full now, and take a footer still.
        self.counts[judged.outcome] += 1
        self.issues.count(judged.id, judged.outcome, judged.finding, self._where()[0])

    def _keep_transcript(self, judged: Judged, device: BenchDevice | None) -> None:
        steps = [*self.run.preamble(device), *self.run.port.steps]
        if not steps:
            return
        path = Path("transcripts") / f"{judged.id}.jsonl"
        transcript.save(self.options.out / path, self.run.transcript_target(judged.id), steps)
        judged.transcript = str(path)
        told = list(transcript.narrate(steps))
        judged.calls = told[len(told) - len(self.run.port.steps) :]

    def _target_options(self, item: pytest.Item) -> list[str]:
        options = self.options
        way = way_of(item)
        axis = ["--ways", way] if way else []
        if options.in_place:
            out = [w for bdf in options.devices for w in ("--device", bdf)]
            return ["--kernel", "host", *out, *axis]
        modules = ["--modules", str(options.modules)] if options.modules else []
        return ["--kernel", options.kernel, *modules, "--topology", options.topology, *axis]


def exit_code(counts: Counter[str], *, interrupted: str | None, problem: str | None) -> int:
    """0: nothing unexpected. 1: something was. 2: this could not be judged."""
    judged = sum(counts.values()) - counts["skipped"]
    if interrupted or not judged:
        return CANNOT_JUDGE
    if any(counts[name] for name in model.UNEXPECTED):
        return 1
    return CANNOT_JUDGE if problem else 0


def suites_asked_for(config: pytest.Config) -> bool:
    """Whether something pytest was told to collect is in suites/, or holds it."""
    suites = (config.rootpath / "suites").resolve()
    for argument in config.args:
        path = (config.invocation_params.dir / argument.partition("::")[0]).resolve()
        if path == suites or suites in path.parents or path in suites.parents:
            return True
    return False


def in_suites(node: pytest.Item) -> bool:
    """Whether a test is one of the suites', and not one of vfiospec's own."""
    return (node.config.rootpath / "suites") in node.path.parents


def _ops(error: TargetLostError) -> str:
    return "; ".join(repr(op)[:300] for op in error.ops) or "nothing"


def _spec(item: pytest.Item) -> str | None:
    callspec = getattr(item, "callspec", None)
    return callspec.params.get("spec") if callspec else None
