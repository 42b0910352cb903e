# SPDX-License-Identifier: MIT
"""The session of a proof: the tests on the untouched kernel, then on one wrong port after another.

All in one boot. The same plugin runs the tests as in any run; only the port they speak through,
and what is done with their outcomes, differ.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from vfiospec.lab import LabError
from vfiospec.results import model
from vfiospec.results.proof import Proof, Verdict, WrongResult
from vfiospec.session.marks import rules_of
from vfiospec.session.options import Options
from vfiospec.session.outcome import Judged, test_id
from vfiospec.session.plugin import CANNOT_JUDGE, SuitePlugin, in_suites
from vfiospec.session.proof_cache import Verdicts
from vfiospec.session.proof_plan import (
    Index,
    Tests,
    for_kernels,
    needed,
    other_tests,
    own_tests,
    sampled,
)
from vfiospec.session.proof_result import is_asserted, made_of
from vfiospec.session.proof_run import ProofRun
from vfiospec.wrong.kernels import WrongKernel
from vfiospec.wrong.model import Wrong

_EVERY = 5.0  # seconds between two lines of progress


@dataclass
class Request:
    """What is to be proven, and what came of it."""

    wrongs: tuple[Wrong, ...]
    kernels: tuple[WrongKernel, ...] = ()
    brief: bool = False  # only the tests of the broken rules
    modules: Callable[[WrongKernel], Path] | None = None  # builds a wrong kernel
    after: Callable[["ProofPlugin"], None] | None = None  # more to do while the kernel is up
    proof: Proof | None = None
    results: list[WrongResult] = field(default_factory=list)


REQUEST = pytest.StashKey[Request]()


class ProofPlugin(SuitePlugin):
    """Active in place of the plain plugin when a proof is asked for."""

    run_type = ProofRun
    run: ProofRun

    def __init__(self, config: pytest.Config, options: Options) -> None:
        # Each wrong kernel answers at once; fresh boots are for those that a wrong one took down.
        super().__init__(config, replace(options, max_reboots=1000))
        self.request = config.stash[REQUEST]
        self.index = Index(self.request.wrongs)
        self.last: Judged | None = None
        self.told = ""  # the outcome of the last test before anything was closed
        self.calls_before_teardown = 0
        self.runs = 0
        self.of_kernels: dict[str, Tests] = {}
        self.verdicts = Verdicts(config.rootpath, options.topology)
        self.passed: list[pytest.Item] = []
        self.explained: list[pytest.Item] = []  # failed untouched, as is known of the kernel
        self.baseline: dict[str, Judged] = {}
        self._said = 0.0

    # -- the plan

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep a few instances of each test function, or what the wrong kernels take."""
        super().pytest_collection_modifyitems(items)
        items[:] = [i for i in items if in_suites(i)]
        if self.request.kernels:
            self.of_kernels = for_kernels(self.request.kernels, items)
            wanted = {i.nodeid for own, others in self.of_kernels.values() for i in own + others}
            items[:] = [i for i in items if i.nodeid in wanted]
            return
        items[:] = sampled(items, {w.test for w in self.request.wrongs if w.test})
        if self.request.brief:
            items[:] = needed(items, self.request.wrongs)

    @property
    def steady(self) -> set[pytest.Item]:
        """The tests that say of a wrong kernel what is not said of the untouched one.

        A deviation that is known of the one does not explain what another does.
        """
        return {*self.passed, *self.explained}

    # -- the run

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:  # type: ignore[override]
        """Run the tests untouched, then on each wrong port."""
        if session.config.option.collectonly or not session.items or session.testsfailed:
            return True
        began = time.monotonic()
        try:
            self.run.begin(len(session.items))
            self._untouched(session.items)
            wrongs = self.request.wrongs if self.request.after is None else ()
            for number, wrong in enumerate(wrongs, 1):
                self.request.results.append(self.on_wrong_port(wrong))
                self._progress(number)
            for number, kernel in enumerate(self.request.kernels, 1):
                self.request.results.append(self.on_wrong_kernel(kernel))
                last = self.request.results[-1]
                self._say(f"{number} of {len(self.request.kernels)}: {last.id} {last.verdict}")
            if self.request.after is not None:
                self.request.after(self)
        except LabError as e:
            self.problem = str(e)
        except KeyboardInterrupt:
            self.interrupted = "Ctrl-C"
            raise
        finally:
            if self.passed:
                self.request.proof = self._proof(time.monotonic() - began)
        return True

    def _progress(self, number: int) -> None:
        now = time.monotonic()
        if now - self._said > _EVERY or number == len(self.request.wrongs):
            self._said = now
            caught = sum(r.verdict == "caught" for r in self.request.results)
            self._say(f"{number} of {len(self.request.wrongs)} wrong ports, {caught} caught")

    def _untouched(self, items: Sequence[pytest.Item]) -> None:
        if self.request.after is not None:  # which looks at each test by itself
            self.passed = list(items)
            self._end_results()
            return
        self.run.watch = self.index.see
        for item, following in zip(items, [*items[1:], None], strict=True):
            self.index.start(test_id(item))
            judged = self.run_test(item, following)
            self.baseline[judged.id] = judged
            if judged.outcome == "passed":
                self.passed.append(item)
            elif judged.outcome == "xfailed" and not judged.lost:
                self.explained.append(item)
        self._end_results()
        self.run.freshen()

    def _end_results(self) -> None:
        self.run.write(
            model.Footer(
                finished=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
                counts=dict(self.counts),
                exit_code=super().exit_code(),
                interrupted=None,
                duration=self.run.elapsed(),
            )
        )
        self.run.close_results()

    def run_test(self, item: pytest.Item, following: pytest.Item | None) -> Judged:
        """Run one test as pytest does, however often it ran before."""
        self.runs += 1
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if self.last is None:
            raise LabError(f"{item.nodeid} was not run")
        return self.last

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self) -> None:
        """Note what the test itself said: what shows only now is said by another rule."""
        self.calls_before_teardown = self.run.wrong_port.watched if not self.run.is_lost else 0
        self.told = self.judged.outcome if self.judged else ""

    def _write_outcome(self, judged: Judged) -> None:
        self.last = judged
        if self.run.writer is not None:
            super()._write_outcome(judged)

    # -- one wrong kernel

    def on_wrong_port(self, wrong: Wrong) -> WrongResult:
        """Try one wrong port on the tests it touches."""
        if wrong.rule.startswith("kernel."):
            # What they promise holds in every test, whatever its rules are.
            own, others = self.passed[:1], list[pytest.Item]()
        else:
            own = own_tests(wrong, self.passed, self.index)
            others = other_tests(wrong, self.passed, self.index)
        self.run.freshen()
        self.run.wrong = wrong
        result = self.tried(wrong.id, wrong.rule, wrong.what, own, others)
        self.run.freshen()
        return result

    def on_wrong_kernel(self, kernel: WrongKernel) -> WrongResult:
        """Boot one wrong kernel and try it on the tests of its rule."""
        if self.request.modules is None:
            raise LabError("no tree to build wrong kernels against")
        steady, plan = self.steady, self.of_kernels[kernel.id]
        own, others = ([i for i in those if i in steady] for those in plan)
        if not own:
            return msgspec.structs.replace(
                self.tried(kernel.id, kernel.rule, kernel.what, own, others), kind="kernel"
            )
        modules = self.request.modules(kernel)
        kept = self.verdicts.get(self.options.kernel, modules)
        if kept is not None:
            return kept
        self.run.change_modules(modules)
        result = self.tried(kernel.id, kernel.rule, kernel.what, own, others)
        result = msgspec.structs.replace(result, kind="kernel")
        self.verdicts.put(self.options.kernel, modules, result)
        return result

    def tried(
        self,
        id: str,  # noqa: A002 -- the word for it
        rule: str,
        what: str,
        own: Sequence[pytest.Item],
        others: Sequence[pytest.Item],
    ) -> WrongResult:
        """Run tests on a wrong kernel: those of its rule until one fails, then the others."""
        began = time.monotonic()
        failed: list[Judged] = []
        lost = False
        run = 0
        tried: list[Judged] = []
        for item in own:
            judged = self.run_test(item, None)
            tried.append(judged)
            run += 1
            lost |= bool(judged.lost)
            if self._tells(judged, rule):
                failed.append(judged)
            if failed or lost:
                break
        also: list[str] = [r for j in failed for r in _rules(j) if r != rule]
        for item in others if failed else ():
            judged = self.run_test(item, None)
            run += 1
            if judged.outcome == "failed":
                also += _rules(judged)
        verdict: Verdict = "caught" if failed else "lost" if lost else "missed"
        if not own and not self._asserted(rule):
            verdict = "silent"
        first = failed[0] if failed else None
        said = next((f"{j.id}: {j.outcome}, {j.message}" for j in tried if j.message), "")
        return WrongResult(
            id=id,
            kind="port",
            rule=rule,
            what=what,
            verdict=verdict,
            tests=run,
            failed=tuple(j.id for j in failed),
            expected=(first.expected or "") if first else "",
            actual=(first.actual or first.message or "") if first else said,
            also=tuple(dict.fromkeys(also)),
            seconds=round(time.monotonic() - began, 2),
        )

    def _tells(self, judged: Judged, rule: str) -> bool:
        """Whether a test failed by a judgement, and under the rule's name."""
        if rule.startswith("kernel."):
            return rule in judged.broken
        return judged.outcome == self.told == "failed"

    # -- what came of it

    def _asserted(self, rule: str) -> bool:
        return is_asserted(rule, self.passed)

    def _proof(self, seconds: float) -> Proof:
        return made_of(
            self.run, self.baseline, self.passed, self.request.results,
            seconds=seconds, runs=self.runs, problem=self.problem or "",
        )  # fmt: skip

    def exit_code(self) -> int:
        """0: all proven. 1: a wrong kernel was missed. 2: this could not be judged."""
        made = self.request.proof
        if self.interrupted or self.problem or made is None:
            return CANNOT_JUDGE
        return made.exit_code()

    def pytest_internalerror(self) -> None:
        """No proof comes of what broke off, whatever it saw before."""
        super().pytest_internalerror()
        self.request.proof = None

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Put everything back."""
        del exitstatus
        self._end()
        session.exitstatus = self.exit_code()

    def folder(self) -> Path:
        """Where the results go."""
        return self.options.out


def _rules(judged: Judged) -> list[str]:
    if judged.broken:
        return judged.broken
    return [r.id for r in rules_of(judged.item)]
