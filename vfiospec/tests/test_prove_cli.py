# SPDX-License-Identifier: MIT
"""`vfiospec prove` before anything boots: what is chosen, and what is refused."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from vfiospec.cli import app as cli
from vfiospec.cli.prove import chosen, of_each_chapter, prove, shares, shares_of_kernels
from vfiospec.lab import LabError
from vfiospec.results.model import ResultsError
from vfiospec.results.proof import PROOF_FILE, Proof, RuleProof, WrongResult, merged, save
from vfiospec.session.prove import ProofPlugin, Request
from vfiospec.wrong.edits import Edit
from vfiospec.wrong.kernels import WrongKernel
from vfiospec.wrong.model import Change, Wrong, load


def _wrong(name: str, rule: str) -> Wrong:
    return Wrong(id=name, rule=rule, what="", call="open", change=Change(more=1))


THREE = (_wrong("a", "type1.map"), _wrong("b", "kernel.quiet"), _wrong("c", "set-irqs.mask"))


def test_wrong_ports_are_chosen_by_chapter_and_by_id() -> None:
    """A chapter may be named as its rules or as its folder; the kernel's own is in any."""
    assert chosen(THREE, [], []) == THREE
    assert chosen(THREE, ["set-irqs", "type1"], []) == (THREE[0], THREE[2])
    assert chosen(THREE, ["set_irqs"], ["a"]) == ()
    assert chosen(THREE, ["device_info"], []) == (THREE[1],)


@pytest.mark.parametrize(
    ("chapter", "wrong", "why"),
    [([], ["d"], "no wrong port 'd'"), (["nonsense"], [], "no chapter 'nonsense'; there are")],
)
def test_what_there_is_not_is_named(chapter: list[str], wrong: list[str], why: str) -> None:
    with pytest.raises(LabError, match=why):
        chosen(THREE, chapter, wrong)


def test_a_sample_touches_every_chapter() -> None:
    """Of the wrong ports there are, as `make test` takes them."""
    every = load()
    assert {w.rule.partition(".")[0] for w in of_each_chapter(every)} == {
        w.rule.partition(".")[0] for w in every
    }
    assert len(of_each_chapter(every)) <= 2 * len({w.rule.partition(".")[0] for w in every})


def test_each_guest_gets_about_as_many() -> None:
    many = tuple(_wrong(str(n), "type1.map") for n in range(5)) + THREE
    assert shares(many, 2) == [["type1"], ["device_info", "set_irqs"]]
    assert shares(THREE[:1], 3) == [["type1"]]


def test_wrong_kernels_are_shared_out_by_number_and_chapters_stay_together() -> None:
    edit = Edit(file="f", function="g", old="a", new="b")
    kernels = tuple(
        WrongKernel(id=name, rule=rule, what="", edit=(edit,))
        for name, rule in [("a", "type1.x"), ("b", "mmap.x"), ("c", "type1.y"), ("d", "mmap.y")]
    )
    assert shares_of_kernels(kernels, 2) == [["b", "d"], ["a", "c"]]
    assert shares_of_kernels(kernels[:1], 3) == [["a"]]


@pytest.mark.parametrize(
    "given",
    [{"kernels": True}, {"tree": Path("t")}, {"kernels": True, "tree": Path("t"), "sample": True}],
    ids=["no-tree", "no-kernels", "sample"],
)
def test_wrong_kernels_want_a_tree_and_nothing_else(given: dict[str, object]) -> None:
    with pytest.raises(LabError, match="--kernels is for the kernel of --tree"):
        prove(**given)  # type: ignore[arg-type]


def test_no_proof_comes_of_what_broke_off() -> None:
    """All that was tried until then may have been caught."""
    plugin = object.__new__(ProofPlugin)
    plugin.interrupted = plugin.problem = ""
    plugin.request = Request(())
    plugin.request.proof = Proof(
        kernel="k", release="r", topology="t", started="", seconds=1.0, boots=1, tests=1, runs=1,
        rules=(), wrongs=(WrongResult(id="x", kind="port", rule="a", what="", verdict="caught"),),
    )  # fmt: skip
    assert plugin.exit_code() == 0
    plugin.pytest_internalerror()
    assert plugin.exit_code() == 2
    assert plugin.request.proof is None


def _parts() -> list[Proof]:
    return [
        Proof(
            kernel="k", release="r", topology="t", started="", seconds=2.0, boots=1, tests=3,
            runs=4, wrongs=(wrong,), rules=(
                RuleProof(id="a.one", chapter="a", asserted=n == 0,
                          proven_by=("x",) if n == 0 else (), why="" if n == 0 else "no test"),
                RuleProof(id="b.one", chapter="b", asserted=n == 1, why=f"why-{n}"),
            ),
        )
        for n, wrong in enumerate(
            WrongResult(id=i, kind="port", rule="a.one", what="", verdict="caught") for i in "xy"
        )
    ]  # fmt: skip


def test_parts_make_one_proof() -> None:
    """A rule is asserted and proven if it is in any part."""
    made = merged(_parts(), 2.5)
    assert (made.seconds, made.boots, made.tests, made.runs) == (2.5, 2, 6, 8)
    assert [w.id for w in made.wrongs] == ["x", "y"]
    assert made.rules == (
        RuleProof(id="a.one", chapter="a", asserted=True, proven_by=("x",)),
        RuleProof(id="b.one", chapter="b", asserted=True, why="why-1"),
    )


def test_a_table_is_of_all_proofs_it_is_given(tmp_path: Path) -> None:
    """One by its folder, one by its file; a file that is none is said to be none."""
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, part in zip((first, second), _parts(), strict=True):
        folder.mkdir()
        save(part, folder)
    given = ["report", "proof", str(first), str(second / PROOF_FILE)]
    printed = CliRunner().invoke(cli.command(), given).stdout
    assert "| a.one | `x` |" in printed
    assert "| b.one | not yet: why-1 |" in printed
    (second / PROOF_FILE).write_text("{}")
    with pytest.raises(ResultsError, match="no proof"):
        CliRunner().invoke(cli.command(), given, catch_exceptions=False)
