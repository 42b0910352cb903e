# SPDX-License-Identifier: MIT
"""Edits: found once and within their function, or an error that says so; all of them or none."""

from pathlib import Path

import pytest

from vfiospec.wrong.edits import Edit, EditError, apply

SOURCE = """\
static int first(int a);

#define second(x) (x)

static int
first(int a)
{
        if (a > 1 &&
            a < 9)
                return -EINVAL;
        return 0;
}

int second(int a, int b)
{
        return a > 1 ? -EINVAL : first(b);
}

static int also(struct second *a)
{
        return a ? -ENODEV : 0;
}

static const struct ops table = {
        .first = first,
};
"""


def _edit(function: str, old: str, new: str = "X") -> Edit:
    return Edit(file="d/a.c", function=function, old=old, new=new)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a.c").write_text(SOURCE)
    return tmp_path


@pytest.mark.parametrize(
    ("edit", "before", "after"),
    [
        (_edit("first", "a > 1 && a < 9"), "a > 1 &&\n            a < 9", "X"),
        (
            _edit("first", "-EINVAL"),
            "return -EINVAL;\n        return 0",
            "return X;\n        return 0",
        ),
        (_edit("second", "-EINVAL"), "? -EINVAL", "? X"),
        (_edit("also", "-ENODEV"), "? -ENODEV", "? X"),
        (_edit("table", ".first = first,"), ".first = first,", "X"),
    ],
    ids=["over-two-lines", "in-the-first", "in-the-second", "in-what-takes-one", "in-an-object"],
)
def test_an_edit_is_made_in_its_function_alone(
    source: Path, edit: Edit, before: str, after: str
) -> None:
    apply([edit], source)
    assert SOURCE.count(before) == 1
    assert (source / "d/a.c").read_text() == SOURCE.replace(before, after)


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (_edit("first", "a > 2"), "'a > 2' is there nowhere, and has to be once"),
        (_edit("first", "return"), "'return' is there 2 times, and has to be once"),
        (_edit("first", " \n"), "nothing to replace"),
        (_edit("third", "a"), "third is defined nowhere, and has to be once"),
        (Edit(file="d/b.c", function="f", old="a", new="b"), r"b\.c cannot be read"),
    ],
    ids=["absent", "twice", "empty", "no-function", "no-file"],
)
def test_an_edit_that_does_not_fit_is_an_error_and_nothing_is_changed(
    source: Path, edit: Edit, why: str
) -> None:
    with pytest.raises(EditError, match=why):
        apply([_edit("second", "-EINVAL"), edit], source)
    assert (source / "d/a.c").read_text() == SOURCE


def test_edits_of_one_file_build_on_each_other(source: Path) -> None:
    apply([_edit("first", "-EINVAL", "-EIO"), _edit("first", "-EIO", "-EPERM")], source)
    assert "-EPERM" in (source / "d/a.c").read_text()
