# SPDX-License-Identifier: MIT
"""`vfiospec abi`: verdicts and exit codes, patches and commits, one line for each bad source."""

import json
import lzma
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import zstandard
from typer.testing import CliRunner, Result

from vfiospec.cli import app as cli
from vfiospec.lab import LabError
from vfiospec.layout import LayoutError
from vfiospec.layout.headers import compiler
from vfiospec.tests.header_sets import NEWEST, include_root
from vfiospec.tests.layout_edits import BREAKS, HARMLESS, Edit

PATCHES = Path(__file__).parent / "patches"
NEEDED = (
    "vfio*.h", "iommufd.h", "types.h", "posix_types.h", "stddef.h", "ioctl.h", "bits.h", "const.h",
)  # fmt: skip
BREAK, HARMLESS_EDIT = BREAKS[0], HARMLESS[1]


def vfiospec(*words: object) -> Result:
    return CliRunner().invoke(cli.command(), [str(word) for word in words])


def refused(*words: object) -> str:
    """The one line that says why it cannot be judged."""
    result = vfiospec(*words)
    assert isinstance(result.exception, LabError | LayoutError), result.output
    text = str(result.exception)
    assert "\n" not in text
    return text


@pytest.fixture(scope="module")
def headers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the newest headers of VFIO, and of what they include."""
    folder = tmp_path_factory.mktemp("headers") / "include"
    root = include_root(NEWEST)
    for name in ("asm-generic", "x86_64-linux-gnu"):
        shutil.copytree(root / name, folder / name)
    (folder / "linux").mkdir()
    for name in NEEDED:
        for path in (root / "linux").glob(name):
            shutil.copyfile(path, folder / "linux" / path.name)
    return folder


def edited(headers: Path, folder: Path, edit: Edit) -> Path:
    """A copy of a copy, with an edit: but for that, links."""
    made = folder / "include"
    shutil.copytree(headers, made, copy_function=os.link)
    edit.apply(made)
    return made


def test_headers_are_compatible_with_themselves(headers: Path) -> None:
    result = vfiospec("abi", "diff", headers, headers)
    assert result.exit_code == 0
    words = "compatible (64 and 32 bits|64 bits only): 0 breaks, 0 accepted, 0 additions"
    assert re.search(words.replace("(", r"\((", 1).replace("):", r")\):", 1), result.output)


def test_a_break_is_shown_with_both_layouts(headers: Path, tmp_path: Path) -> None:
    """seed001: its rule, its sources, what moves, and the two structures beside each other."""
    result = vfiospec("abi", "diff", headers, edited(headers, tmp_path, BREAK))
    assert result.exit_code == 1
    lines = [" ".join(line.split()) for line in result.output.splitlines()]
    assert "BREAK layout.field-inserted" in lines
    assert "struct vfio_irq_info.cap_offset: inserted at 12: moves count from 12 to 16" in lines
    assert any("Alex Williamson, 2019-06-27" in line for line in lines)
    assert "12 4 __u32 count | 12 4 __u32 cap_offset" in lines
    assert lines[-1].endswith("1 breaks, 0 accepted, 0 additions")
    assert "NOT compatible" in lines[-1]


def test_json_has_both_layouts(headers: Path, tmp_path: Path) -> None:
    result = vfiospec("abi", "diff", headers, edited(headers, tmp_path, BREAK), "--json")
    assert result.exit_code == 1
    found = json.loads(result.output)
    (finding,) = found["findings"]
    assert (found["compatible"], finding["verdict"]) == (False, "break")
    assert finding["rule"] == "layout.field-inserted"
    assert (finding["old"]["size"], finding["new"]["size"]) == (16, 20)


def test_additions_are_listed(headers: Path, tmp_path: Path) -> None:
    result = vfiospec("abi", "diff", headers, edited(headers, tmp_path, HARMLESS_EDIT))
    assert result.exit_code == 0
    assert "struct vfio_irq_info.cap_offset: added at the tail at 16" in result.output
    assert "VFIO_IRQ_INFO_FLAG_CAPS: new, 0x10" in result.output


def test_the_seed_that_put_a_field_into_the_middle(headers: Path) -> None:
    """seed001's patch as it was sent: stopped by the rule its reviewer stated."""
    result = vfiospec("abi", "diff", headers, "--patch", PATCHES / "irq-type-capability.patch")
    assert result.exit_code == 1
    assert re.findall(r"^BREAK (\S+)", result.output, re.MULTILINE) == ["layout.field-inserted"]
    assert "struct vfio_irq_info_cap_type: new, 16 bytes" in result.output
    assert "VFIO_PCI_NUM_IRQS" not in result.output  # pinned at the 5 that it is


def test_the_seed_that_proposed_flags_by_type(headers: Path, tmp_path: Path) -> None:
    """seed000's proposal on what it was made for: both parts are told by a flag, so compatible."""
    then = tmp_path / "then"
    shutil.copytree(headers, then, copy_function=os.link)
    vfio = then / "linux/vfio.h"
    text = vfio.read_text()
    begin = text.index("struct vfio_region_info {")
    was = re.sub(r"#define VFIO_REGION_INFO_FLAG_CAPS.*\n", "", text[begin:], count=1)
    resv = "\t__u32\tresv;\t/* Reserved for alignment */\n"
    was = re.sub(r"\t__u32\tcap_offset;.*\n", resv, was, count=1)
    vfio.unlink()
    vfio.write_text(text[:begin] + was)
    result = vfiospec("abi", "diff", then, "--patch", PATCHES / "type-flags.patch")
    assert result.exit_code == 0, result.output
    lines = [line.strip() for line in result.output.splitlines()]
    reserved = (
        "resv at 12 is now type_flags (of the new flags VFIO_REGION_INFO_TYPE_FLAGS one tells)"
    )
    assert f"struct vfio_region_info.type_flags: {reserved}" in lines
    tail = "added at the tail at 16: 16 bytes became 20 (argsz tells the size, and of"
    told = "VFIO_IRQ_INFO_TYPE_FLAGS one that it is valid)"
    assert f"struct vfio_irq_info.type_flags: {tail} {told}" in lines


def test_the_same_proposal_today_takes_a_bit_that_is_taken(headers: Path, tmp_path: Path) -> None:
    """What has become of resv and of the bit since then makes the second half of it a break."""
    edit = Edit(
        "", "struct vfio_region_info {", "\t__u32\tindex;",
        "#define VFIO_REGION_INFO_TYPE_FLAGS (1 << 3)\n\t__u32\tindex;",
    )  # fmt: skip
    result = vfiospec("abi", "diff", headers, edited(headers, tmp_path, edit))
    assert result.exit_code == 1
    assert "8 is already VFIO_REGION_INFO_FLAG_CAPS" in result.output


def test_a_patch_of_other_files_changes_no_layout(headers: Path, tmp_path: Path) -> None:
    patch = tmp_path / "driver.patch"
    patch.write_text("--- a/drivers/x.c\n+++ b/drivers/x.c\n@@ -1 +1 @@\n-a\n+b\n")
    result = vfiospec("abi", "diff", headers, "--patch", patch)
    assert result.exit_code == 0
    assert "no user header of the kernel in it" in result.output


def git(tree: Path, *words: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@example", "-c", "init.defaultBranch=main"]
    command = ["git", "-C", str(tree), *who, *words]
    subprocess.run(command, check=True, capture_output=True)


def test_two_commits_of_a_tree_are_compared(headers: Path, tmp_path: Path) -> None:
    """A kernel tree has its headers elsewhere, as they are before headers_install."""
    tree = tmp_path / "linux"
    uapi, arch = tree / "include/uapi", tree / "arch/x86/include/uapi"
    for name in ("linux", "asm-generic"):
        shutil.copytree(headers / name, uapi / name, copy_function=os.link)
    shutil.copytree(headers / "x86_64-linux-gnu/asm", arch / "asm", copy_function=os.link)
    git(tree.parent, "init", "-q", str(tree))
    git(tree, "add", ".")
    git(tree, "commit", "-qm", "one")
    BREAK.apply(uapi)
    git(tree, "commit", "-qam", "two")
    result = vfiospec("abi", "diff", tree, "--git", "HEAD^..HEAD")
    assert result.exit_code == 1, result.output
    assert re.findall(r"^BREAK (\S+)", result.output, re.MULTILINE) == ["layout.field-inserted"]
    assert vfiospec("abi", "diff", tree, "--git", "HEAD..").exit_code == 0
    assert "no commit 'nonsense'" in refused("abi", "diff", tree, "--git", "nonsense..HEAD")
    assert "give two commits" in refused("abi", "diff", tree, "--git", "HEAD")


def test_released_kernels_are_compatible() -> None:
    """Of what the repository has: each with the next, the oldest with the newest."""
    result = vfiospec("abi", "history", "--offline")
    assert result.exit_code == 0
    assert "| vfio_device_bind_iommufd | - | - | 16 | **24** | 24 |" in result.output
    kept = Path(__file__).resolve().parents[2] / "docs/abi-history.md"
    assert result.output == kept.read_text(), "make it again: vfiospec abi history"


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An object with DWARF and one structure of VFIO."""
    folder = tmp_path_factory.mktemp("elf")
    (folder / "a.c").write_text("#include <linux/vfio.h>\nstruct vfio_irq_info info;\n")
    root = include_root(NEWEST)
    options = ["-g", "-nostdinc", f"-I{root}", f"-I{root}/x86_64-linux-gnu"]
    subprocess.run([compiler(), *options, "-c", "a.c", "-o", "a.o"], cwd=folder, check=True)
    return (folder / "a.o").read_bytes()


def changed(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        ("truncated", lambda data: data[: len(data) // 2], "a truncated ELF file"),
        ("cut in its header", lambda data: data[:40], "a damaged ELF file"),
        ("no ELF", lambda _: b"#!/bin/sh\n", "not an ELF file"),
        ("another machine", lambda data: changed(data, 18, b"\xb7\0"), "for aarch64"),
        ("big-endian", lambda data: changed(data, 5, b"\2"), "big-endian|damaged"),
        ("damaged xz", lambda data: lzma.compress(data)[:-40], "compressed and damaged"),
        ("damaged zstd", lambda data: zstandard.compress(data)[:200], "compressed and cut short"),
    ],
)
def test_a_bad_object_is_one_line(
    elf: bytes, tmp_path: Path, name: str, damage: object, words: str
) -> None:
    assert callable(damage)
    path = tmp_path / "vfio-pci-core.ko"
    path.write_bytes(damage(elf))
    said = refused("abi", "show", path)
    assert re.search(words, said), f"{name}: {said}"
    assert "vfio-pci-core.ko" in said


@pytest.mark.parametrize(
    "pack", [bytes, lzma.compress, zstandard.compress], ids=["plain", "xz", "zstd"]
)
def test_a_compressed_module_is_unpacked(elf: bytes, tmp_path: Path, pack: object) -> None:
    assert callable(pack)
    path = tmp_path / "module.ko"
    path.write_bytes(pack(elf))
    result = vfiospec("abi", "show", path, "vfio_irq_info")
    assert result.exit_code == 0, result.exception
    assert "size 16, align 4" in result.output


def test_an_object_without_dwarf_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text("int x;\n")
    subprocess.run([compiler(), "-c", "a.c", "-o", "a.o"], cwd=tmp_path, check=True)
    assert "no DWARF in it; compile it with -g" in refused("abi", "show", tmp_path / "a.o")
    subprocess.run([compiler(), "-g", "-c", "a.c", "-o", "a.o"], cwd=tmp_path, check=True)
    said = refused("abi", "show", tmp_path / "a.o")
    assert "no structure of the user headers of VFIO" in said


def test_headers_that_do_not_compile_are_one_line(headers: Path, tmp_path: Path) -> None:
    """The compiler's first error, with the place."""
    broken = Edit("", "struct vfio_irq_info {", "\t__u32\tcount;", "\t__u33\tcount;")
    said = refused("abi", "diff", headers, edited(headers, tmp_path, broken))
    assert re.search(r"do not compile: .*vfio\.h:\d+:\d+: error: .*__u33", said)


def test_an_object_and_its_headers_are_compared(elf: bytes, headers: Path, tmp_path: Path) -> None:
    """What an object does not use is not missing."""
    path = tmp_path / "a.o"
    path.write_bytes(elf)
    assert vfiospec("abi", "diff", headers, path).exit_code == 0
    result = vfiospec("abi", "diff", path, edited(headers, tmp_path, BREAK))
    assert result.exit_code == 1
    assert "64 bits only" in result.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["diff"], "what is to be compared?"),
        (["diff", "a"], "compared with what?"),
        (["diff", "a", "b", "--git", "x..y"], "no NEW and no --patch"),
        (["diff", "a", "b", "--patch", "c"], "give one source with it"),
        (["diff", "nonsense", "nonsense"], "no such file"),
        (["show", "debian:nonsense"], "unknown suite"),
        (["show", "."], "no linux/vfio.h in it"),
    ],
)
def test_what_cannot_be_judged_is_one_line(words: list[str], said: str) -> None:
    assert said in refused("abi", *words)


def test_ctrl_c_is_not_the_exit_code_of_a_break(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vfiospec.cli.abi.read", interrupt)
    assert "interrupted; nothing was judged" in refused("abi", "diff", "a", "b")


@pytest.mark.parametrize("command", ["show", "diff", "history"])
def test_help_teaches_by_examples(command: str) -> None:
    result = vfiospec("abi", command, "--help")
    assert f"vfiospec abi {command} " in result.output
    assert "Exit code: 0 " in result.output


def test_a_rule_of_layouts_says_what_asserts_it() -> None:
    result = vfiospec("rules", "show", "layout.field-inserted")
    assert result.exit_code == 0
    assert "asserted by vfiospec abi diff" in result.output
