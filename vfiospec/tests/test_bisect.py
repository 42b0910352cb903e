# SPDX-License-Identifier: MIT
"""bisect-step: what runs say to git, and that nothing but a failing test is ever called bad."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from vfiospec.cli import app as cli
from vfiospec.cli import bisect
from vfiospec.lab import LabError
from vfiospec.lab.build import builder
from vfiospec.report.bisect import Answer, judge
from vfiospec.results.model import Outcome
from vfiospec.results.reader import Run, read_run
from vfiospec.tests import sample_run

LAB = sample_run.outcome("a.lab", "error", message="LabError: not judged: no guest")
KIND: dict[str, Outcome] = {o.outcome: o for o in sample_run.ALL}


def runs(tmp_path: Path, *each: list[Outcome]) -> list[Run]:
    made = []
    for number, outcomes in enumerate(each):
        folder = tmp_path / str(number)
        folder.mkdir()
        made.append(sample_run.run(folder, outcomes))
    return made


@pytest.mark.parametrize(
    ("kinds", "answer"),
    [
        (["passed"], Answer.GOOD),
        (["xpassed"], Answer.GOOD),
        (["failed"], Answer.BAD),
        (["xfailed"], Answer.BAD),
        (["error"], Answer.BAD),
        (["skipped"], Answer.CANNOT_TELL),
        ([], Answer.CANNOT_TELL),
        (["passed", "failed"], Answer.BAD),
        (["passed", "skipped"], Answer.GOOD),
    ],
)
def test_a_run_has_an_answer(tmp_path: Path, kinds: list[str], answer: Answer) -> None:
    assert judge(runs(tmp_path, [KIND[kind] for kind in kinds]))[0] is answer


def test_a_lab_that_failed_says_nothing_of_the_kernel(tmp_path: Path) -> None:
    answer, why = judge(runs(tmp_path, [LAB]))
    assert (answer, why) == (
        Answer.CANNOT_TELL,
        "a.lab: error: LabError: not judged: no guest",
    )


def test_any_of_several_runs_is_bad_and_no_more_are_made(tmp_path: Path) -> None:
    three = iter(runs(tmp_path, [KIND["passed"]], [KIND["failed"]], [KIND["passed"]]))
    answer, why = judge(three)
    assert answer is Answer.BAD
    assert why == (
        "device-info.argsz-too-small.argsz-15: expected EINVAL, "
        "actual VFIO_DEVICE_GET_INFO(argsz=15) -> 0"
    )
    assert len(list(three)) == 1


def test_a_run_that_was_cut_short_is_not_good(tmp_path: Path) -> None:
    lines = sample_run.records([sample_run.PASSED, sample_run.SKIPPED])[:5]
    run = read_run(sample_run.write(tmp_path, lines))
    assert judge([run]) == (
        Answer.CANNOT_TELL,
        f"{sample_run.SKIPPED.id}: started and never finished",
    )


def test_the_exit_codes_are_gits() -> None:
    assert {answer.name: int(answer) for answer in Answer} == {
        "GOOD": 0, "BAD": 1, "CANNOT_TELL": 125, "STOP": 128,
    }  # fmt: skip


# -- the command

ID = "region_info.vga.another-device-has-an-empty-one"


@pytest.fixture(name="tree")
def _tree(tmp_path: Path) -> Path:
    """As much of a built tree as is looked at before it is built."""
    release = tmp_path / "tree" / "include" / "config" / "kernel.release"
    release.parent.mkdir(parents=True)
    release.write_text("7.3.4\n")
    return tmp_path / "tree"


def step(tmp_path: Path, tree: Path, *words: str) -> Result:
    options = ["--kernel", str(tree), "--out", str(tmp_path / "out"), *words]
    return CliRunner().invoke(cli.command(), ["bisect-step", "--test", ID, *options])


@pytest.fixture(name="booted")
def _booted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[list[str]]]:
    """Have boots end in these outcomes, one list each; their command lines come back."""

    def give(*each: list[Outcome]) -> list[list[str]]:
        ends, asked = iter(each), list[list[str]]()

        def call(words: list[str], stderr: int | None = None) -> tuple[int, str]:
            if stderr is None:
                asked.append(words)
                out = Path(words[words.index("--out") + 1])
                out.mkdir(parents=True)
                sample_run.run(out, next(ends))
            return 0, ""

        monkeypatch.setattr(bisect, "_call", call)
        monkeypatch.setattr(builder, "rebuild", lambda *_, **__: None)
        return asked

    return give


def test_a_good_kernel_was_booted_as_often_as_asked(
    booted: Callable[..., list[list[str]]], tmp_path: Path, tree: Path
) -> None:
    asked = booted([KIND["passed"]], [KIND["passed"]])
    done = step(tmp_path, tree, "--repeat", "2", "--topology", "amd")
    (folder,) = (tmp_path / "out").iterdir()
    assert (done.exit_code, done.stdout) == (0, f"bisect-step: good: 2 passed ({folder})\n")
    assert [words[words.index("--out") + 1][-1] for words in asked] == ["1", "2"]
    for words in asked:
        assert words[3:6] == ["run", "--kernel", str(tree)]
        assert {"--topology", "amd", "--test", ID}.issubset(words)


def test_a_bad_one_ends_it(
    booted: Callable[..., list[list[str]]], tmp_path: Path, tree: Path
) -> None:
    asked = booted([KIND["failed"]])
    done = step(tmp_path, tree, "--repeat", "9")
    assert done.exit_code == 1
    assert done.stdout.startswith("bisect-step: bad: device-info.argsz-too-small.argsz-15: exp")
    assert len(asked) == 1


def test_a_step_never_reads_what_another_left(
    booted: Callable[..., list[list[str]]], tmp_path: Path, tree: Path
) -> None:
    asked = booted([KIND["passed"]])
    (tmp_path / "out").write_text("a file where the folder should be")
    done = step(tmp_path, tree)
    assert (done.exit_code, asked) == (128, [])
    assert done.stderr.startswith(f"bisect-step: stop: --out {tmp_path / 'out'}")


def test_a_build_that_fails_cannot_tell(
    booted: Callable[..., list[list[str]]], tmp_path: Path, tree: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    booted()

    def fail(*_: object, **__: object) -> None:
        raise LabError("make bzImage modules failed: error: x")

    monkeypatch.setattr(builder, "rebuild", fail)
    done = step(tmp_path, tree)
    assert (done.exit_code, done.stdout) == (
        125, "bisect-step: cannot tell: make bzImage modules failed: error: x\n",
    )  # fmt: skip


def test_a_boot_that_fails_cannot_tell(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tree: Path
) -> None:
    monkeypatch.setattr(bisect, "_call", lambda *_, stderr=None: (2 if stderr is None else 0, ""))
    monkeypatch.setattr(builder, "rebuild", lambda *_, **__: None)
    done = step(tmp_path, tree)
    assert done.exit_code == 125
    assert "bisect-step: cannot tell: " in done.stdout


def test_a_mistake_of_ours_is_no_verdict(
    booted: Callable[..., list[list[str]]], tmp_path: Path, tree: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    booted()

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("x")

    monkeypatch.setattr(builder, "rebuild", fail)
    done = step(tmp_path, tree)
    assert (done.exit_code, done.stdout) == (128, "")
    assert "a mistake of ours, not of the kernel: ZeroDivisionError: x" in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--test", ID, "--kernel", "none"], "none: no source of Linux"),
        (
            ["--test", "region_inof.vga.x"],
            "no test begins with region_inof.vga; near are region_in",
        ),
        (
            ["--test", f"{ID}.edo"],
            f"--test {ID}.edo: there is no such test on these devices; near ",
        ),
    ],
)
def test_what_is_asked_wrongly_ends_the_bisection(tree: Path, words: list[str], says: str) -> None:
    """Nothing was built: otherwise each commit would be skipped, or even be called bad."""
    kernel = [] if "--kernel" in words else ["--kernel", str(tree)]
    done = CliRunner().invoke(cli.command(), ["bisect-step", *words, *kernel])
    assert (done.exit_code, done.stdout) == (128, "")
    assert done.stderr.startswith("bisect-step: stop: ")
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
