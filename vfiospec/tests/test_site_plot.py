# SPDX-License-Identifier: MIT
"""Plots of a campaign, and what its folder may hold."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfiospec.report.site.fuzz import NOT_PUBLIC, read_campaign
from vfiospec.report.site.plot import plot, ticks
from vfiospec.results.model import ResultsError


@given(st.floats(0.5, 1e9))
def test_ticks_start_at_zero_and_reach_the_most(most: float) -> None:
    found = ticks(most)
    assert found[0] == 0
    assert found[-1] >= most * (1 - 1e-6)
    assert 3 <= len(found) <= 6


@given(st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1e6)), max_size=900))
def test_a_line_stays_within_its_box(points: list[tuple[float, float]]) -> None:
    drawn = plot(sorted(points), 640, 200)
    places = [(float(x), float(y)) for x, y in re.findall(r"[ML](\S+) (\S+)", drawn.path)]
    assert all(0 <= x <= 640 and 0 <= y <= 200.05 for x, y in places)
    assert len(places) == len(points) if len(points) <= 400 else len(places) <= 402
    assert all(0 <= tick.at <= 640.05 for tick in drawn.x)


def test_the_end_of_a_line_is_the_last_point() -> None:
    drawn = plot([(0, 0), (300, 50), (600, 100)], 600, 200)
    assert drawn.path == "M0.0 200.0 L300.0 100.0 L600.0 0.0"
    assert [tick.label for tick in drawn.x][:2] == ["0 min", "2.5 min"]
    assert drawn.last == "100"


def test_a_campaign_keeps_what_can_be_read(tmp_path: Path) -> None:
    good = json.dumps({"t": 2.0, "execs": 10, "pcs": 5})
    (tmp_path / "fuzz.jsonl").write_text(f'{good}\n{{"t": 1}}\n{good[:9]}')
    (tmp_path / "functions.json").write_text("no")
    read = read_campaign(tmp_path)
    assert [look.execs for look in read.looks] == [10]
    assert [line.split(":")[0] for line in read.problems] == [
        "fuzz.jsonl, line 2", "fuzz.jsonl, line 3", "functions.json",
    ]  # fmt: skip


def test_a_crash_that_is_not_public_is_only_counted(tmp_path: Path) -> None:
    (tmp_path / "fuzz.jsonl").write_text(json.dumps({"t": 2.0, "execs": 10, "pcs": 5}))
    for name, public in (("kasan-read-in-vfio", True), ("oops-in-vfio-secret", False)):
        folder = tmp_path / "crashes" / name
        folder.mkdir(parents=True)
        record = {"title": name, "folder": name, "count": 3, "public": public, "kind": "?"}
        (folder / "crash.json").write_text(json.dumps(record))
    read = read_campaign(tmp_path)
    assert [(crash.title, crash.count) for crash in read.crashes] == [
        (NOT_PUBLIC, 3),
        ("kasan-read-in-vfio", 3),
    ]
    assert "secret" not in repr(read)


@pytest.mark.parametrize("text", [None, "", "{}\n"])
def test_a_folder_without_a_campaign_is_one_clear_line(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "fuzz.jsonl").write_text(text)
    with pytest.raises(ResultsError, match=r"cannot be read|holds no fuzz campaign") as caught:
        read_campaign(tmp_path)
    assert "\n" not in str(caught.value)
