# SPDX-License-Identifier: MIT
"""The JUnit report against a schema of the dialect, which pytest's own report satisfies too."""

import subprocess
import sys
from pathlib import Path

import pytest
import xmlschema

from vfiospec.report.junit import junit
from vfiospec.results.reader import read_run
from vfiospec.tests import sample_run

ROOT = Path(__file__).parent.parent.parent
ODD = "\x00\x1b[2J \udcff ]]>&<\"'\r\n\t\uffff"


@pytest.fixture(name="schema", scope="module")
def _schema() -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(Path(__file__).parent / "schemas" / "junit.xsd")


def test_every_kind_of_outcome_fits(schema: xmlschema.XMLSchema, tmp_path: Path) -> None:
    schema.validate(junit(sample_run.run(tmp_path)))


def test_the_sample_fits(schema: xmlschema.XMLSchema) -> None:
    schema.validate(junit(read_run(ROOT / "reports" / "sample")))


def test_odd_text_fits(schema: xmlschema.XMLSchema, tmp_path: Path) -> None:
    odd = sample_run.outcome(
        "a.b", "failed", message=ODD, details=ODD, rules=[ODD], log=[ODD], finding=ODD
    )
    schema.validate(junit(sample_run.run(tmp_path, [odd])))


def test_a_partial_run_fits(schema: xmlschema.XMLSchema, tmp_path: Path) -> None:
    schema.validate(junit(sample_run.run(tmp_path, [sample_run.FAILED], ended=False)))


def test_an_empty_run_fits(schema: xmlschema.XMLSchema, tmp_path: Path) -> None:
    schema.validate(junit(sample_run.run(tmp_path, [])))


def test_what_pytest_writes_fits(schema: xmlschema.XMLSchema, tmp_path: Path) -> None:
    """The schema is of the dialect, and not of what we happen to write."""
    (tmp_path / "test_x.py").write_text(
        "import pytest\n"
        "def test_pass(): pass\n"
        "def test_fail(): assert 0\n"
        "def test_skip(): pytest.skip('why')\n"
        "def test_xfail(): pytest.xfail('why')\n"
        "@pytest.fixture\n"
        "def broken(): raise OSError\n"
        "def test_error(broken): pass\n"
    )
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml=j.xml"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 1
    schema.validate(tmp_path / "j.xml")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name="mask"', ""),
        ('name="mask"', 'name=""'),
        ('failures="2"', 'failures="two"'),
        ('<error type="error"', '<fault type="error"'),
        ('name="irq"', 'name="migration"'),
        ('time="0.250000"', 'time="-1"'),
    ],
)
def test_what_is_wrong_does_not(
    schema: xmlschema.XMLSchema, tmp_path: Path, old: str, new: str
) -> None:
    document = junit(sample_run.run(tmp_path))
    assert old in document
    wrong = document.replace(old, new, 1).replace(
        "</error>", "</fault>" if "fault" in new else "</error>"
    )
    with pytest.raises(xmlschema.XMLSchemaValidationError):
        schema.validate(wrong)
