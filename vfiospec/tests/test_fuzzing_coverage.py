# SPDX-License-Identifier: MIT
"""What was reached of a module, from its file and the addresses a kernel noted."""

import shutil
import subprocess
from pathlib import Path

import pytest

from vfiospec.device import ops as o
from vfiospec.device.ops import AnyOp, Reply
from vfiospec.fuzzing.coverage import TRACER, measure, read_places, read_traced
from vfiospec.fuzzing.coverage_page import page, summary
from vfiospec.fuzzing.layout import Layout
from vfiospec.fuzzing.merge import merge, name_of
from vfiospec.fuzzing.model import Operation, Program
from vfiospec.tests.made_up_port import MadeUpPort

SOURCE = f"""\
void {TRACER}(void);
int odd(int n)
{{
	{TRACER}();
	if (n & 1) {{
		{TRACER}();
		return 1;
	}}
	return 0;
}}
int never(void)
{{
	{TRACER}();
	return 2;
}}
"""


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An object file with calls of the tracer, as a module is one."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler: apt install gcc")
    folder = tmp_path_factory.mktemp("module")
    (folder / "odd.c").write_text(SOURCE)
    command = ["cc", "-g", "-O1", "-fno-pic", "-c", "odd.c", "-o", "odd.ko"]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "odd.ko"


LAYOUT = Layout({"odd": (0xC0000000, 0x4000), "other": (0xC0008000, 0x1000)},
                {"odd": {".text": 0xC0000100}})  # fmt: skip


def test_places_functions_and_lines_are_told_apart(module: Path) -> None:
    everything = measure(set(range(0xC0000100, 0xC0000200)), LAYOUT, {"odd": module}).modules[0]
    assert (everything.traced, everything.reached) == (3, 3)
    nothing = measure(set(), LAYOUT, {"odd": module}).modules[0]
    assert (nothing.traced, nothing.reached) == (3, 0)
    assert {f.name: f.traced for f in nothing.functions} == {"odd": 2, "never": 1}


def test_only_what_was_reached_counts(module: Path) -> None:
    traced = read_traced(module)
    assert traced is not None
    place = 0xC0000100 + traced.places[".text"][0]
    assert measure({place - 1, place + 1}, LAYOUT, {"odd": module}).reached == 0
    first = measure({place, 0xC0008010, 0x81000000}, LAYOUT, {"odd": module}, "6.12")
    assert (first.reached, first.traced, first.elsewhere) == (1, 3, 2)
    by_name = {f.name: f.reached for f in first.modules[0].functions}
    assert sum(by_name.values()) == 1
    if shutil.which("addr2line"):
        (lines,) = first.modules[0].lines.values()
        assert sorted(lines) == [4, 6, 13]
        assert sum(lines.values()) == 1
    assert "1 of     3 places (33 %)" in next(summary(first)).replace("    1", "1")
    shown = page(first, module.parent)
    assert "1 of 3 places reached (33 %)" in shown
    assert "<script" not in shown


def test_places_are_read_from_all_jobs(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("c0000104\nc0000108\n")
    (tmp_path / "b").write_text("c0000108\n")
    assert read_places([tmp_path / "a", tmp_path / "b"]) == {0xC0000104, 0xC0000108}


def test_a_layout_is_read_from_the_kernel(tmp_path: Path) -> None:
    def answer(op: AnyOp) -> Reply:
        match op:
            case o.ReadFile("/proc/modules"):
                text = b"vfio 61440 2 vfio_pci, Live 0xffffffffc0000000\n"
            case o.ListDir("/sys/module/vfio/sections"):
                text = b".data\0.text\0.text.unlikely\0"
            case o.ReadFile("/sys/module/vfio/sections/.text"):
                text = b"0xffffffffc0000000\n"
            case o.ReadFile("/sys/module/vfio/sections/.text.unlikely"):
                text = b"0xffffffffc0001230\n"
            case _:
                raise AssertionError(op)
        return Reply(len(text), 0, text)

    layout = Layout.of(MadeUpPort(answer))
    assert layout.sections == {"vfio": {".text": 0xC0000000, ".text.unlikely": 0xC0001230}}
    assert layout.count([0xC0000000, 0xC000EFFF, 0xC000F000, 0x81234567]) == {
        "vfio": 2, "kernel": 2,
    }  # fmt: skip
    layout.save(tmp_path / "layout.json")
    assert Layout.load(tmp_path / "layout.json") == layout


# -- a small corpus out of a large one

A, B, C, D = (Operation(name) for name in ("close", "dup", "eventfd", "VFIO_DEVICE_GET_INFO"))
SHOWS = {A: {1}, B: {2}, C: {3}, D: {4, 5}}


def run(programs: list[Program]) -> list[set[int] | None]:
    return [set().union(*(SHOWS[s] for s in p)) for p in programs]


def test_the_fewest_programs_are_kept_and_shortened() -> None:
    programs: list[Program] = [(A,), (B,), (A, B, A, A), (C, C, C), (A, B), (C, B)]
    kept = merge(programs, run)  # type: ignore[arg-type]
    assert set().union(*(s or set() for s in run(kept))) == {1, 2, 3}
    assert sorted(map(len, kept)) == [1, 2]


def test_what_shows_itself_only_once_is_not_kept() -> None:
    times = {"n": 0}

    def flaky(programs: list[Program]) -> list[set[int] | None]:
        times["n"] += 1
        return [{1} | ({99} if times["n"] == 1 else set()) for _ in programs]

    assert merge([(A,), (B, C)], flaky) == [(A,)]  # type: ignore[arg-type]
    assert merge([(A,)], lambda _: [None]) == []


def test_a_name_says_what_a_program_does() -> None:
    name = name_of((A, D, Operation("VFIO_DEVICE_SET_IRQS/eventfd")))
    assert name.startswith("close-get-info-set-irqs-eventfd-")
    assert name != name_of((D, A, Operation("VFIO_DEVICE_SET_IRQS/eventfd")))
