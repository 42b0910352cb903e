# SPDX-License-Identifier: MIT
"""The history: what comes in once, what is replaced, and what a person is told of it."""

import multiprocessing
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from vfiospec.cli import app as cli
from vfiospec.report.flaky import flakes
from vfiospec.report.history import History
from vfiospec.results.model import Header, Outcome, Record, ResultsError
from vfiospec.results.reader import Run
from vfiospec.tests import sample_run

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(name="db")
def _db(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite"


@pytest.fixture(name="history")
def _history(db: Path) -> Iterator[History]:
    with History(db) as history:
        yield history


def header(day: int, release: str, topology: str, planned: int) -> Header:
    made = sample_run.header(planned)
    facts = msgspec.structs.replace(made.kernel, release=release, spec=f"spec of {release}")
    assert made.topology is not None
    layout = msgspec.structs.replace(made.topology, name=topology)
    started = f"2026-11-{day:02}T00:00:00Z"
    return msgspec.structs.replace(made, started=started, kernel=facts, topology=layout)


def make(
    folder: Path, outcomes: Sequence[Outcome], day: int = 1, release: str = "6.1",
    topology: str = "default", *, ended: bool = True,
) -> Path:  # fmt: skip
    folder.mkdir(parents=True)
    lines: list[Record] = [header(day, release, topology, len(outcomes)), *outcomes]
    sample_run.write(folder, [*lines, *([sample_run.footer(outcomes)] if ended else [])])
    return folder


def one(kind: str, test: str = "a.b") -> list[Outcome]:
    return [sample_run.outcome(test, kind)]


def dump(db: Path) -> list[str]:
    with sqlite3.connect(db) as connection:
        return list(connection.iterdump())


def test_the_same_run_comes_in_once(history: History, tmp_path: Path, db: Path) -> None:
    path = make(tmp_path / "r", sample_run.ALL)
    assert history.add(path).what == "imported"
    before = dump(db)
    assert history.add(path).what == "there already"
    assert history.add(path / "results.jsonl").what == "there already"
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes((path / "results.jsonl").read_bytes())
    assert history.add(copy).what == "there already"
    assert dump(db) == before


def test_a_half_written_run_is_partial_and_then_replaced(history: History, tmp_path: Path) -> None:
    path = make(tmp_path / "r", sample_run.ALL) / "results.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    half = history.add(path)
    assert half.what == "imported"
    assert half.run.partial
    assert 0 < len(half.run.outcomes) < 7
    path.write_bytes(whole)
    assert history.add(path).what == "replaced"
    assert len(history.lines("irq")) == 3
    path.write_bytes(whole[: len(whole) // 2])
    assert history.add(path).what == "kept as it is"
    assert len(history.lines("irq")) == 3


def test_a_corrupt_line_is_named_and_the_rest_kept(history: History, tmp_path: Path) -> None:
    path = make(tmp_path / "r", sample_run.ALL) / "results.jsonl"
    lines = path.read_bytes().split(b"\n")
    lines[1] = b'{"type":"outc'
    path.write_bytes(b"\n".join(lines))
    done = history.add(path)
    assert done.run.problems[0].startswith("line 2: corrupt: ")
    assert len(history.tests()) == 6


def test_lines_are_the_newest_first(history: History, tmp_path: Path) -> None:
    for day, kind in enumerate(["passed", "failed", "passed"], 1):
        history.add(make(tmp_path / str(day), [*one(kind), *one("passed", "a.bc")], day))
    lines = history.lines("a.b")
    assert [(line.started[:10], line.outcome) for line in lines] == [
        ("2026-11-03", "passed"), ("2026-11-02", "failed"), ("2026-11-01", "passed"),
    ]  # fmt: skip
    assert {line.test for line in history.lines("a")} == {"a.b", "a.bc"}


def test_what_contradicts_itself_is_flaky(history: History, tmp_path: Path) -> None:
    for day, kind in enumerate(["passed", "failed", "passed", "skipped"], 1):
        history.add(make(tmp_path / str(day), one(kind), day))
    history.add(make(tmp_path / "5", one("failed"), 5, release="6.12"))
    (flake,) = flakes(history.sightings())
    assert (flake.test, flake.runs, flake.failures, flake.changes) == ("a.b", 3, 1, 2)
    assert flake.target.release == "6.1"


def test_a_kernel_is_the_newest_outcome_of_each_test(history: History, tmp_path: Path) -> None:
    history.add(make(tmp_path / "1", [*one("failed"), *one("passed", "a.c")], 1))
    history.add(make(tmp_path / "2", one("passed"), 2))
    history.add(make(tmp_path / "3", one("failed"), 1, topology="amd"))
    history.add(make(tmp_path / "4", one("failed"), 9, release="6.12"))
    found = history.of_kernel("6.1")
    assert history.of_kernel("spec of 6.1").keys() == found.keys()

    def outcomes(run: Run) -> dict[str, str]:
        return {outcome.id: outcome.outcome for outcome in run.outcomes}

    assert {kind: outcomes(run) for kind, run in found.items()} == {
        ("vm", "default"): {"a.b": "passed", "a.c": "passed"},
        ("vm", "amd"): {"a.b": "failed"},
    }
    assert not found["vm", "default"].partial
    assert history.of_kernel("6") == {}


def test_readers_and_a_writer_do_not_wait(history: History, db: Path) -> None:
    del history
    with sqlite3.connect(db) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def _import(db: Path, paths: list[Path]) -> None:
    with History(db) as history:
        for path in paths:
            history.add(path)


def test_two_imports_at_once_lose_nothing(db: Path, tmp_path: Path) -> None:
    paths = [make(tmp_path / str(day), sample_run.ALL, day) for day in range(1, 9)]
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=_import, args=(db, p)) for p in (paths, paths[::-1])]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
    with History(db) as history:
        assert len(history.lines("irq.mask")) == 8


@pytest.mark.parametrize(
    ("data", "says"), [(b"no database" * 99, "file is not a database"), (None, "unable to open")]
)
def test_what_is_no_history_is_one_line(db: Path, data: bytes | None, says: str) -> None:
    if data is None:
        db.mkdir()
    else:
        db.write_bytes(data)
    with pytest.raises(ResultsError, match=rf"history\.sqlite cannot be used as a history: {says}"):
        History(db)


def test_a_newer_history_is_refused(db: Path) -> None:
    with sqlite3.connect(db) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(ResultsError, match="is of a newer vfiospec"):
        History(db)


def test_a_full_disk_takes_nothing_that_was_there(db: Path, tmp_path: Path) -> None:
    """The file size limit stands in for the disk."""
    small = make(tmp_path / "1", one("passed"))
    many = [sample_run.outcome(f"a.t{n}", "failed", message=f"{n}" * 400) for n in range(2000)]
    large = make(tmp_path / "2", many, 2)
    _import(db, [small])
    before = dump(db)
    command = 'ulimit -f 100; trap "" XFSZ; exec "$@"'
    words = [sys.executable, "-m", "vfiospec", "report", "import", "--db", str(db), str(large)]
    done = subprocess.run(
        ["/bin/bash", "-c", command, "-", *words], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 2, done.stdout
    assert done.stderr.startswith(f"vfiospec: {db} cannot be used as a history: ")
    assert len(done.stderr.splitlines()) == 1
    assert dump(db) == before
    _import(db, [large])
    with History(db) as history:
        assert len(history.tests()) == 2001


# -- the commands


def ask(*words: object) -> Result:
    return CliRunner().invoke(cli.command(), ["report", *map(str, words)])


def test_import_goes_on_after_what_is_no_run(db: Path, tmp_path: Path) -> None:
    good, cut = (
        make(tmp_path / "a", one("passed")),
        make(tmp_path / "b", one("passed"), 2, ended=False),
    )
    done = ask("import", "--db", db, tmp_path / "none", good, cut)
    assert done.exit_code == 2
    assert done.stdout.splitlines() == [
        f"{good}: imported, 1 outcomes",
        f"{cut}: imported, 1 outcomes, partial: the run did not end: no footer",
    ]
    assert (
        done.stderr == f"vfiospec: {tmp_path / 'none'} cannot be read: No such file or directory\n"
    )


def test_import_takes_all_runs_of_a_folder(db: Path, tmp_path: Path) -> None:
    runs = [make(tmp_path / "all" / n, one("passed"), day) for day, n in enumerate("ba", 1)]
    (tmp_path / "all" / "README.md").write_text("no run")
    done = ask("import", "--db", db, tmp_path / "all")
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [f"{r}: imported, 1 outcomes" for r in reversed(runs)]
    (tmp_path / "empty").mkdir()
    assert ask("import", "--db", db, tmp_path / "empty").exit_code == 2


def test_history_prints_each_outcome(db: Path, tmp_path: Path) -> None:
    ask("import", "--db", db, make(tmp_path / "r", [sample_run.FAILED]))
    done = ask("history", "--db", db, sample_run.FAILED.id)
    assert done.stdout == (
        "2026-11-01T00:00:00Z  6.1 default  failed   device-info.argsz-too-small.argsz-15: "
        "A wrong kernel: the call took 15 s # and hung\n"
    )


@pytest.mark.parametrize("command", [["history", "a.b"], ["flaky"]])
def test_without_a_history_the_way_to_one_is_said(db: Path, command: list[str]) -> None:
    done = ask(*command, "--db", db)
    assert isinstance(done.exception, ResultsError)
    assert "`vfiospec report import RUN...` makes it" in str(done.exception)
    assert not db.exists()


def test_history_of_an_unknown_test_names_near_ones(db: Path, tmp_path: Path) -> None:
    ask("import", "--db", db, make(tmp_path / "r", sample_run.ALL))
    done = ask("history", "--db", db, "irq.maks")
    assert str(done.exception).startswith(f"no run of irq.maks in {db}; there is irq.mask")


def test_flaky_prints_rate_and_bounds(db: Path, tmp_path: Path) -> None:
    runs = [make(tmp_path / str(d), one(k), d) for d, k in enumerate(["passed", "failed"], 1)]
    ask("import", "--db", db, *runs)
    assert ask("flaky", "--db", db).stdout == (
        "a.b  6.1 default: failed 1 of 2, 50% (9% to 91%), changed 1 times, last in the run of "
        "2026-11-02T00:00:00Z\n1 flaky tests\n"
    )


@pytest.mark.parametrize(
    ("before", "after", "code", "says"),
    [
        (one("passed"), one("passed"), 0, "nothing changed; 1 pass and 0 are skipped in both"),
        (one("passed"), one("failed"), 1, "regression  a.b\n"),
        (one("passed"), one("xfailed"), 0, "regression  a.b  (known: None)"),
        (one("failed"), one("passed"), 0, "fixed  a.b"),
        (one("failed"), one("failed"), 0, "stillFailing  a.b"),
        (one("skipped"), one("skipped"), 2, "0 pass and 1 are skipped in both"),
        (one("passed"), one("passed", "c.d"), 2, "1 newPass, 1 disappeared"),
        ([*one("passed"), *one("passed", "c.d")], one("passed"), 0, "1 disappeared; 1 pass"),
    ],
)
def test_diff_says_it_by_its_exit_code(
    tmp_path: Path, before: list[Outcome], after: list[Outcome], code: int, says: str
) -> None:
    done = ask("diff", make(tmp_path / "a", before), make(tmp_path / "b", after, 2))
    assert (done.exit_code, says in done.stdout) == (code, True), done.stdout


def test_a_partial_run_cannot_be_judged_but_a_regression_in_it_can(tmp_path: Path) -> None:
    old = make(tmp_path / "a", [*one("passed"), *one("passed", "c.d")])
    good = make(tmp_path / "b", one("passed"), 2, ended=False)
    bad = make(tmp_path / "c", one("failed"), 2, ended=False)
    done = ask("diff", old, good)
    assert done.exit_code == 2
    assert "B is partial: the run did not end: no footer" in done.stdout
    assert ask("diff", old, bad).exit_code == 1


def test_two_kernels_are_compared_by_topology(db: Path, tmp_path: Path) -> None:
    runs = [
        make(tmp_path / "1", one("passed"), 1, "6.1"),
        make(tmp_path / "2", one("failed"), 1, "6.1", "amd"),
        make(tmp_path / "3", one("failed"), 2, "6.12"),
        make(tmp_path / "4", one("failed"), 2, "6.12", "amd"),
        make(tmp_path / "5", one("failed"), 2, "6.12", "arm"),
    ]
    ask("import", "--db", db, *runs)
    done = ask("diff", "--db", db, "6.1", "6.12")
    assert done.exit_code == 1
    assert [line for line in done.stdout.splitlines() if line.endswith("a.b")] == [
        "regression  a.b", "stillFailing  a.b",
    ]  # fmt: skip
    assert ask("diff", "--db", db, "6.1", runs[3]).exit_code == 0
    wrong = ask("diff", "--db", db, "6.1", "6.13")
    assert str(wrong.exception).startswith(
        f"6.13: neither a run nor a kernel in {db}; there is 6.1"
    )


def test_diff_as_json_holds_both_outcomes(tmp_path: Path) -> None:
    done = ask("diff", "--json", make(tmp_path / "a", one("passed")), make(tmp_path / "b", [], 2))
    (pair,) = msgspec.json.decode(done.stdout)
    (entry,) = pair["entries"]
    assert (entry["category"], entry["after"]) == ("disappeared", None)
    assert entry["before"]["outcome"] == "passed"
    assert pair["counts"]["regression"] == 0
