# SPDX-License-Identifier: MIT
"""contrib/: each file against the schema of the tool it is for, and its commands against ours."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from vfiospec.cli import app as cli

ROOT = Path(__file__).parent.parent.parent
CONTRIB = ROOT / "contrib"


def read(name: str) -> dict[str, Any]:
    data: dict[str, Any] = YAML(typ="safe").load((CONTRIB / name).read_text())
    return data


@pytest.mark.parametrize(
    ("name", "schema"), [("github.yml", "github-workflows"), ("gitlab-ci.yml", "gitlab-ci")]
)
def test_a_ci_file_fits_the_schema_of_its_service(name: str, schema: str) -> None:
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    done = subprocess.run([*words, CONTRIB / name], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_schema_can_refuse(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text((CONTRIB / "github.yml").read_text().replace("runs-on:", "run-on:"))
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema"]
    done = subprocess.run(
        [*words, "vendor.github-workflows", wrong], capture_output=True, check=False
    )
    assert done.returncode == 1


def test_the_lava_definition_has_the_keys_lava_knows() -> None:
    definition = read("lava/vfiospec.yaml")
    assert definition.keys() == {"metadata", "params", "install", "run"}
    assert definition["metadata"]["format"] == "Lava-Test Test Definition 1.0"
    assert re.fullmatch(r"[-_a-zA-Z0-9.]+", definition["metadata"]["name"])
    assert definition["install"].keys() == {"deps"}
    assert all(isinstance(step, str) for step in definition["run"]["steps"])


def test_the_tmt_test_gives_results_of_its_own() -> None:
    test, plan = read("tmt/test.fmf"), read("tmt/plan.fmf")
    assert (test["result"], test["framework"]) == ("custom", "shell")
    assert (CONTRIB / "tmt" / test["test"]).stat().st_mode & 0o111
    assert (plan["discover"]["how"], plan["execute"]["how"]) == ("fmf", "tmt")


def scripts() -> dict[str, str]:
    """The shell commands of each file."""
    steps = read("github.yml")["jobs"]["conformance"]["steps"]
    gitlab = read("gitlab-ci.yml")["vfiospec"]
    return {
        "lava": "\n".join(read("lava/vfiospec.yaml")["run"]["steps"]),
        "tmt": (CONTRIB / "tmt" / "run.sh").read_text(),
        "github": "\n".join(step["run"] for step in steps if "run" in step),
        "gitlab": "\n".join([*gitlab["before_script"], *gitlab["script"]]),
        "kernelci": "\n".join(
            re.findall(r"^    (.*)$", (CONTRIB / "kernelci.md").read_text(), re.MULTILINE)
        ),
    }


@pytest.mark.parametrize("name", scripts())
def test_a_shell_reads_it(name: str) -> None:
    done = subprocess.run(
        ["/bin/sh", "-n"], input=scripts()[name], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def ours() -> Iterator[tuple[str, list[str]]]:
    for name, script in scripts().items():
        for line in script.replace("\\\n", " ").split("\n"):
            if match := re.search(r"(?:^|/)vfiospec ([^|>&]+)", line):
                yield name, shlex.split(match[1])


def test_all_but_gitlab_call_us_by_name() -> None:
    assert {name for name, _ in ours()} == {"lava", "tmt", "github", "kernelci"}


@pytest.mark.parametrize(("name", "words"), list(ours()))
def test_our_commands_take_the_options_that_are_given(name: str, words: list[str]) -> None:
    del name
    commands = [w for w in words[:2] if re.fullmatch(r"[a-z]+", w)]
    options = [w for w in words if w.startswith("-")]
    text = CliRunner().invoke(cli.command(), [*commands, "--help"]).stdout
    assert text
    for option in options:
        assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", text), option
