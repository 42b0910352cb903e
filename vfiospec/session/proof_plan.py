# SPDX-License-Identifier: MIT
"""Which tests a proof runs: of each test function a few, and on each wrong port those it touches.

A wrong port changes nothing for a test that never makes the call it is about, so which calls a
test makes on the untouched kernel decides on what it is tried.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence

import pytest

from vfiospec.device.call import errno_name
from vfiospec.device.ops import AnyOp, Reply
from vfiospec.session.marks import is_dangerous, rules_of
from vfiospec.session.outcome import test_id
from vfiospec.wrong.kernels import WrongKernel
from vfiospec.wrong.model import Wrong
from vfiospec.wrong.port import matches
from vfiospec.wrong.seen import Seen

PER_FUNCTION = 2  # instances of one test function, over its devices and parameters
OWN, OTHERS = 6, 8  # tests on one wrong port: of its rule, of other rules
OWN_OF_SAMPLE = 2
OWN_OF_KERNEL = 12  # tests of its rule on a wrong kernel: which ones it touches is not known


def function_of(item: pytest.Item) -> str:
    """The test function an item is an instance of."""
    return item.nodeid.partition("[")[0]


def sampled(items: Sequence[pytest.Item], hinted: Collection[str]) -> list[pytest.Item]:
    """Of each test function some instances, evenly spread, and those that are asked for."""
    by_function: defaultdict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if not is_dangerous(item):
            by_function[function_of(item)].append(item)
    chosen: list[pytest.Item] = []
    for those in by_function.values():
        step = max(len(those) / PER_FUNCTION, 1)
        places = {int(i * step) for i in range(min(PER_FUNCTION, len(those)))}
        chosen += [item for i, item in enumerate(those) if i in places or test_id(item) in hinted]
    return chosen


def needed(items: Sequence[pytest.Item], wrongs: Sequence[Wrong]) -> list[pytest.Item]:
    """The tests that a few wrong ports need: of each rule the one that shows it, and one more."""
    chosen: set[str] = set()
    for wrong in wrongs:
        own = [i for i in items if _is_of(i, wrong.rule)]
        shown = [i for i in own if test_id(i) == wrong.test]
        chosen |= {i.nodeid for i in (shown + _spread(own))[:OWN_OF_SAMPLE]}
    if any(w.rule.startswith("kernel.") for w in wrongs):
        chosen |= {i.nodeid for i in items[:1]}
    return [i for i in items if i.nodeid in chosen]


class Index:
    """Which wrong ports each test would meet, from the calls it makes on the untouched kernel."""

    def __init__(self, wrongs: Sequence[Wrong]) -> None:
        self._by_call: defaultdict[str, list[Wrong]] = defaultdict(list)
        for wrong in wrongs:
            self._by_call[wrong.call].append(wrong)
        self._touched: defaultdict[str, set[str]] = defaultdict(set)
        self._counts: dict[str, int] = {}
        self._test = ""

    def start(self, test: str) -> None:
        """A test begins, by its dotted id."""
        self._test = test
        self._counts = {}

    def see(self, seen: Seen, op: AnyOp, reply: Reply) -> None:
        """Take in a call and its right answer."""
        del op
        touched = self._touched[self._test]
        for wrong in self._by_call.get(seen.call, ()):
            if wrong.id in touched or not matches(wrong, seen):
                continue
            answer = "ok" if reply.ok else errno_name(reply.errno)
            before = wrong.change.swallow or wrong.change.ask
            if wrong.answered and not before and wrong.answered != answer:
                continue
            self._counts[wrong.id] = count = self._counts.get(wrong.id, 0) + 1
            if count >= wrong.nth:
                touched.add(wrong.id)

    def meets(self, wrong: Wrong, test: str) -> bool:
        """Whether a test makes the call a wrong port is about.

        The one that a wrong port names does: alone, it also makes what is set up for several.
        """
        return test == wrong.test or wrong.id in self._touched.get(test, ())


def own_tests(wrong: Wrong, items: Sequence[pytest.Item], index: Index) -> list[pytest.Item]:
    """The tests of the rule that a wrong port breaks, one of each function first."""
    own = [i for i in items if _is_of(i, wrong.rule) and index.meets(wrong, test_id(i))]
    hinted = [i for i in own if test_id(i) == wrong.test]
    return (hinted + [i for i in _spread(own) if i not in hinted])[:OWN]


def other_tests(wrong: Wrong, items: Sequence[pytest.Item], index: Index) -> list[pytest.Item]:
    """Tests of the same chapter's other rules that make the same call."""
    folder = wrong.rule.partition(".")[0].replace("-", "_")
    others = [
        i
        for i in items
        if i.path.parent.name == folder
        and not _is_of(i, wrong.rule)
        and index.meets(wrong, test_id(i))
    ]
    return _spread(others)[:OTHERS]


Tests = tuple[list[pytest.Item], list[pytest.Item]]


def for_kernels(kernels: Sequence[WrongKernel], items: Sequence[pytest.Item]) -> dict[str, Tests]:
    """For each wrong kernel the tests of its rule, and some of its chapter's other rules."""
    plan = {}
    for kernel in kernels:
        folder = kernel.rule.partition(".")[0].replace("-", "_")
        own = _spread([i for i in items if _is_of(i, kernel.rule)])
        others = [
            i
            for i in items
            if i.path.parent.name == folder and not is_dangerous(i) and i not in own
        ]
        step = max(len(others) // OTHERS, 1)
        plan[kernel.id] = (own[:OWN_OF_KERNEL], others[::step][:OTHERS])
    return plan


def _is_of(item: pytest.Item, rule: str) -> bool:
    return any(r.id == rule for r in rules_of(item))


def _spread(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """One of each function, then a second of each, and so on."""
    rank: defaultdict[str, int] = defaultdict(int)
    ranked = []
    for item in items:
        ranked.append((rank[function_of(item)], item))
        rank[function_of(item)] += 1
    return [item for _, item in sorted(ranked, key=lambda each: each[0])]
