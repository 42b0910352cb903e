# SPDX-License-Identifier: MIT
"""A site as a whole: its pages hold together, fit a phone, and are there whole or not at all."""

import json
from pathlib import Path

import msgspec
import pytest

from vfiospec.report.site import writer
from vfiospec.report.site.build import build
from vfiospec.results.model import Catalogue, ResultsError
from vfiospec.tests import sample_run, sample_site
from vfiospec.tests.test_project import ROOT, pyproject

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of made-up runs and a campaign."""
    folder = tmp_path_factory.mktemp("site")
    build(sample_site.runs(folder / "runs"), folder / "out", fuzz=[campaign(folder / "fuzz")])
    return folder / "out"


def campaign(folder: Path) -> Path:
    crash = folder / "crashes" / "1"
    crash.mkdir(parents=True)
    (crash / "title.txt").write_text("KASAN: slab-out-of-bounds Read in vfio_pci_rw\n")
    looks = [{"t": t, "execs": 9 * t, "pcs": 100 + t, "corpus": t, "crashes": 0} for t in range(99)]
    (folder / "fuzz.jsonl").write_text("".join(f"{json.dumps(look)}\n" for look in looks))
    functions = [{"name": "vfio_pci_rw", "file": "vfio_pci_core.c", "reached": 3, "of": 9}]
    (folder / "functions.json").write_text(json.dumps(functions))
    return folder


def test_every_tag_is_closed_and_every_link_leads_somewhere(made: Path) -> None:
    assert sample_site.faults(made) == []


def test_every_kind_of_page_is_there(made: Path) -> None:
    names = {path.relative_to(made).as_posix() for path in made.rglob("*.html")}
    slug = "6.1.0-56-amd64.default"
    assert {
        "index.html", "matrix.html", "findings.html", "flaky.html", "runs.html",
        "rules/index.html", "rules/device-info.html", "rules/device-info.argsz-too-small.html",
        f"cells/{slug}/irq.html", f"runs/{slug}.20261121050000.html", "diff/index.html",
        f"diff/{slug}.20261121050000...{slug}.20261123050000.html",
        f"diff/{slug}...6.12.118-deb13-amd64.default.html",
        f"results/{slug}.20261121050000/device-info.argsz-too-small.argsz-15.html",
        "fuzz/index.html", "fuzz/fuzz.html",
    } <= names  # fmt: skip


def test_passes_and_skips_have_no_page_of_their_own(made: Path) -> None:
    pages = {path.stem for path in made.glob("results/*/*.html")}
    assert pages == {o.id for o in sample_run.ALL if o.outcome not in ("passed", "skipped")}


def test_nothing_is_asked_of_a_network(made: Path) -> None:
    assert [name for name, content in contents(made).items() if b"://" in content] == []


def test_each_cell_says_in_words_what_its_colour_says(made: Path) -> None:
    words = ("pass", "known", "FAIL", "skip", "not run", "yes", "partly", "no", "unknown",
             "breaks it", "keeps it", "has it not", "not judged", "nothing", "✗")  # fmt: skip
    cells = [cell for path in made.rglob("*.html") for cell in sample_site.Page(path).cells]
    assert len(cells) > 100
    assert [cell for cell in cells if not any(word in cell for word in words)] == []


def test_text_of_a_kernel_is_no_markup(made: Path) -> None:
    text = (made / "rules" / "device-info.lore.html").read_text()
    assert "A &lt;b&gt;promise&lt;/b&gt;." in text


def test_control_characters_are_written_out(made: Path) -> None:
    page = next(made.glob("results/*20261121*/*argsz-15.html")).read_text()
    assert "transcript \\x1b[31mtext\\x00" in page


def test_the_same_runs_make_the_same_bytes_in_any_order(tmp_path: Path, made: Path) -> None:
    paths = sample_site.runs(tmp_path / "runs")
    campaign(tmp_path / "fuzz")
    build([*reversed(paths), paths[0]], tmp_path / "out", fuzz=[tmp_path / "fuzz"])
    assert contents(tmp_path / "out") == contents(made)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_a_page_on_which_all_fails_fits_a_phone(tmp_path: Path) -> None:
    """Each test fails in a way of its own: the worst that a run can do to a page."""
    bad = [
        msgspec.structs.replace(
            sample_run.FAILED, id=f"irq.set.test-{n}.variant-{n}", chapter="irq",
            message=f"expected 0, got {n} {'x' * 200}",
        )
        for n in range(1500)
    ]  # fmt: skip
    good = [msgspec.structs.replace(o, outcome="passed", message=None) for o in bad]
    before = sample_site.write(tmp_path / "good", sample_site.header(), good)
    after = sample_site.write(tmp_path / "bad", sample_site.header(day=22), bad)
    wide = sample_site.write(tmp_path / "wide", sample_site.header("6.12.1"), bad[:1])
    build([before, after, wide], tmp_path / "out")
    sizes = {p.name: p.stat().st_size for p in (tmp_path / "out").rglob("*.html")}
    assert {name: size for name, size in sizes.items() if size >= MEGABYTE} == {}
    assert "which the JSON has" in next((tmp_path / "out").glob("diff/*2026*.html")).read_text()


def test_a_text_too_long_for_a_page_is_cut_at_its_beginning() -> None:
    text = writer.bounded("x" * 200_000 + "the end")
    assert text.endswith("the end")
    assert text.startswith("... 100007 characters before this")
    assert writer.bounded("short") == "short"


def test_a_folder_of_ours_is_replaced(tmp_path: Path) -> None:
    first = sample_site.write(tmp_path / "first")
    second = sample_site.write(tmp_path / "second", sample_site.header("6.12.118"))
    build([first], tmp_path / "out")
    build([second], tmp_path / "out")
    assert [path.name for path in (tmp_path / "out" / "cells").iterdir()] == ["6.12.118.default"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "out", "second"]


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    run = sample_site.write(tmp_path / "run")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(ResultsError, match="no site of ours: choose another --out"):
        build([run], tmp_path / "out")
    assert contents(tmp_path / "out") == {"thesis.txt": b"mine"}


def test_a_disk_that_is_full_leaves_the_old_site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = sample_site.write(tmp_path / "run")
    build([run], tmp_path / "out")
    before = contents(tmp_path / "out")
    real = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.name == "findings.html":
            raise OSError(28, "No space left on device")
        return real(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ResultsError, match=r"out cannot be written: No space left on device"):
        build([run], tmp_path / "out")
    monkeypatch.undo()
    assert contents(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    run = sample_site.write(tmp_path / "run")

    def stop(text: str) -> None:
        if text.startswith("writing rules/"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build([run], tmp_path / "out", say=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_hostile_file_stays_within_its_site_and_is_no_markup(tmp_path: Path) -> None:
    evil = '../../"><script>alert(1)</script>'
    head = sample_site.header(evil, evil)
    bad = msgspec.structs.replace(
        sample_run.FAILED, chapter=evil, rules=[f"{evil}.x", "/etc/passwd"], finding=evil,
        calls=[evil], message=evil, rerun=evil, transcript=evil,
    )  # fmt: skip
    run = sample_site.write(tmp_path / "a" / "b" / "run", head, [bad], Catalogue())
    build([run], tmp_path / "a" / "b" / "out")
    assert sorted(path.name for path in tmp_path.glob("**/*") if "out" not in path.parts) == [
        "a", "b", "results.jsonl", "run",
    ]  # fmt: skip
    pages = list((tmp_path / "a" / "b" / "out").rglob("*.html"))
    assert [page for page in pages if "<script>alert" in page.read_text()] == []
    assert sample_site.faults(tmp_path / "a" / "b" / "out") == []


def test_a_run_without_a_catalogue_is_shown_without_words(tmp_path: Path) -> None:
    run = sample_site.write(tmp_path / "run", catalogue=Catalogue())
    build([run], tmp_path / "out")
    page = (tmp_path / "out" / "rules" / "device-info.argsz-too-small.html").read_text()
    assert "do not hold its words" in page
    assert sample_site.faults(tmp_path / "out") == []


def test_templates_and_styles_are_packaged() -> None:
    """What is no Python is left out of a wheel unless pyproject.toml names it."""
    package = ROOT / "vfiospec"
    globs = pyproject()["tool"]["setuptools"]["package-data"]["vfiospec"]
    named = {path for glob in globs for path in package.glob(glob)}
    needed = {
        path
        for path in (package / "report" / "site").rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert len(needed) > 10
    assert needed - named == set()
