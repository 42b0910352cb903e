# SPDX-License-Identifier: MIT
"""Looks for wrong ports of rules that have none, in what the rule's own tests ask of the kernel.

What it finds is data to be read by a person and put into vfiospec/wrong/ports: it names the call,
and what became of it.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from vfiospec.device.ops import AnyOp, Ioctl, Reply
from vfiospec.rules.model import registered
from vfiospec.session.marks import rules_of
from vfiospec.session.outcome import test_id
from vfiospec.session.proof_plan import function_of
from vfiospec.wrong.find import changes
from vfiospec.wrong.model import Wrong
from vfiospec.wrong.seen import Seen
from vfiospec.wrong.toml import dump

if TYPE_CHECKING:
    from vfiospec.session.prove import ProofPlugin

_TESTS = 3  # of a rule, each of another function where there are several
_CALLS = 8  # the last calls of a test, each looked at once
_SECONDS = 15.0  # to look for one rule: some tests wait for what a wrong kernel never does
_TRIES = 50  # wrong ports to try for one rule
_WANTED = 1  # wrong ports of one rule
_FILE = "found.toml"
_GARBAGE = 8  # hexadecimal digits of a field that holds what buffers are filled with

Call = tuple[Seen, AnyOp, Reply]


class Finder:
    """Finds them and writes them to a folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE
        self._found: list[Wrong] = []
        self._used: set[str] = set()  # what breaks one rule is not taken for another
        self._trace: list[Call] = []

    def __call__(self, plugin: "ProofPlugin") -> None:
        """Look for wrong ports of each asserted rule that no wrong port breaks yet."""
        have = {w.rule for w in plugin.request.wrongs}
        rules = dict.fromkeys(r.id for i in plugin.passed for r in rules_of(i))
        wanted = [r for r in rules if r not in have]
        for number, rule in enumerate(wanted, 1):
            found = self._of_rule(plugin, rule)
            self._found += found
            plugin._say(f"{number} of {len(wanted)}: {len(found)} for {rule}")  # noqa: SLF001
            self._write()

    def _of_rule(self, plugin: "ProofPlugin", rule: str) -> list[Wrong]:
        found: list[Wrong] = []
        tries, began = 0, time.monotonic()
        for item in _tests_of(plugin, rule):
            for wrong in self._candidates(plugin, item, rule):
                spent = time.monotonic() - began > _SECONDS
                if tries >= _TRIES or len(found) >= _WANTED or spent:
                    return found
                if _change_of(wrong) in self._used:
                    continue
                tries += 1
                plugin.run.wrong = wrong
                judged = plugin.run_test(item, None)
                told = judged.outcome == plugin.told == "failed"
                plugin.run.wrong = None
                if judged.outcome != "passed":  # else it had no effect, and left nothing
                    plugin.run.freshen()
                if told:
                    self._used.add(_change_of(wrong))
                    found.append(msgspec.structs.replace(wrong, id=f"{rule}.{len(found) + 1}"))
        return found

    def _candidates(self, plugin: "ProofPlugin", item: pytest.Item, rule: str) -> Iterator[Wrong]:
        trace = self._traced(plugin, item)
        keys = [_key(seen) for seen, _, _ in trace]
        tried: set[str] = set()
        for place in _order(trace, _errno_of(rule, plugin.run.version)):
            if keys[place] in tried:
                continue
            tried.add(keys[place])
            if len(tried) > _CALLS:
                return
            seen, op, reply = trace[place]
            nth = keys[: place + 1].count(keys[place])
            for words, change in changes(seen, op, reply):
                several = keys.count(keys[place]) > 1
                # An ioctl is wrong each time; of what it leads to, only what shows in that place.
                order = (0, nth) if isinstance(op, Ioctl) else (nth, 0)
                for which in order if several else (0,):
                    yield Wrong(
                        id=rule, rule=rule, what=_what(seen, words, which), call=seen.call,
                        where=_where(seen), nth=which, test=test_id(item), change=change,
                    )  # fmt: skip

    def _traced(self, plugin: "ProofPlugin", item: pytest.Item) -> list[Call]:
        self._trace = []
        plugin.run.watch = lambda seen, op, reply: self._trace.append((seen, op, reply))
        judged = plugin.run_test(item, None)
        passed = judged.outcome == "passed"
        trace = self._trace[: plugin.calls_before_teardown] if passed else []
        plugin.run.watch = None
        return trace

    def _write(self) -> None:
        self._path.write_text(dump(self._found), encoding="utf-8")


def _tests_of(plugin: "ProofPlugin", rule: str) -> list[pytest.Item]:
    own = [i for i in plugin.passed if any(r.id == rule for r in rules_of(i))]
    # A test of this rule alone says most.
    own.sort(key=lambda i: len(rules_of(i)))
    first: dict[str, pytest.Item] = {}
    for item in own:
        first.setdefault(function_of(item), item)
    rest = [i for i in own if i not in first.values()]
    return [*first.values(), *rest][:_TESTS]


def _errno_of(rule: str, version: tuple[int, int]) -> int:
    try:
        return registered()[rule].answer(version)
    except LookupError:
        return 0


def _key(seen: Seen) -> str:
    return f"{seen.call} {sorted(seen.fields.items())}"


def _change_of(wrong: Wrong) -> str:
    return f"{wrong.call} {sorted(wrong.where.items())} {wrong.nth} {wrong.change}"


def _order(trace: Sequence[Call], errno: int) -> list[int]:
    """Where to look first: calls that were refused as the rule says, then the last ones."""
    backwards = range(len(trace) - 1, -1, -1)
    refused = [i for i in backwards if errno and not trace[i][2].ok and trace[i][2].errno == errno]
    return [*refused, *(i for i in backwards if i not in refused)]


def _where(seen: Seen) -> dict[str, int | str]:
    """The fields by which a call is known: not those in which the caller had nothing to say."""
    return {k: v for k, v in seen.fields.items() if k != "room" and not _is_garbage(v)}


def _is_garbage(value: int | str) -> bool:
    text = value if isinstance(value, str) else f"{value:x}" if value > 0 else ""
    return len(text) >= _GARBAGE and set(text.replace("a5", "")) == set()


def _shown(value: int | str) -> str:
    return f"{value:#x}" if isinstance(value, int) and value > 4096 else str(value)  # noqa: PLR2004


def _what(seen: Seen, words: str, nth: int) -> str:
    fields = ", ".join(f"{k}={_shown(v)}" for k, v in _where(seen).items() if k != "on")
    when = f", call {nth} of its kind," if nth else ""
    return f"{seen.call.removeprefix('VFIO_')}({fields}){when} {words}"
