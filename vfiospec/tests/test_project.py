# SPDX-License-Identifier: MIT
"""The project's frame: licence lines, no trace of one machine, and pins that agree."""

import re
import tomllib
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import vfiospec

ROOT = Path(__file__).resolve().parents[2]
# No registry or mirror is named: pip and apt take theirs from the machine they run on.
REGISTRY = re.compile(rb"(?i)(?<![\w-])(?:debian|pypi|pythonhosted|npmjs)\.(?:org|com|net|io)\b")
# The folders this was written in, which no other machine has.
HERE_ONLY = re.compile(rb"(?<![\w.])/(?:work|root|opt/(?:pypi|wheels)|tmp/(?:pv|k|brief))/\w")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}\b")


def project_files() -> list[Path]:
    """Every file of the project, but not what tools and runs leave in its folder."""
    kept_anyway = {".ci", ".gitignore"}
    kept_reports = ("README.md", "sample")
    left_behind = {"__pycache__", "vfiospec.egg-info", "build", "dist"}
    found = []
    for path in sorted(ROOT.rglob("*")):
        if not path.is_file():
            continue
        inside = path.relative_to(ROOT)
        hidden = inside.parts[0].startswith(".") and inside.parts[0] not in kept_anyway
        a_run = inside.parts[0] == "reports" and not inside.parts[1].startswith(kept_reports)
        if not hidden and not a_run and not left_behind & set(inside.parts):
            found.append(path)
    return found


def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def asked_for() -> list[Requirement]:
    """What pyproject.toml asks for: to run, to fuzz, to develop, to build."""
    tables = pyproject()
    project = tables["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    lists.append(tables["build-system"]["requires"])
    return [Requirement(line) for lines in lists for line in lines]


def locked() -> list[tuple[Requirement, list[str]]]:
    """Each requirement of the lock file, with its hashes."""
    text = (ROOT / "requirements.lock").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(Requirement(line.split("--hash")[0]), HASH.findall(line)) for line in lines]


def key(requirement: Requirement) -> tuple[str, str]:
    return canonicalize_name(requirement.name), str(requirement.specifier)


def test_the_walk_sees_the_project() -> None:
    """The searches below would pass on an empty list."""
    names = {path.relative_to(ROOT).as_posix() for path in project_files()}
    assert {"Makefile", ".ci/run", "vfiospec/__init__.py", "requirements.lock"} <= names
    assert not [name for name in names if name.startswith((".venv/", ".git/"))]


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (REGISTRY, b"https://deb.debian" + b".org/debian", True),
        (REGISTRY, b"index = pypi" + b".org/simple", True),
        (REGISTRY, b"http://mirror.example/debian", False),
        (HERE_ONLY, b"open('/" + b"work/main/x')", True),
        (HERE_ONLY, b"/sys/bus/work/main", False),
    ],
)
def test_the_searches_tell_the_two_apart(
    pattern: re.Pattern[bytes],
    text: bytes,
    found: bool,  # noqa: FBT001 - a column of the table above
) -> None:
    assert bool(pattern.search(text)) is found


@pytest.mark.parametrize("pattern", [REGISTRY, HERE_ONLY], ids=["registry", "path"])
def test_no_file_names_a_registry_or_a_path_of_one_machine(pattern: re.Pattern[bytes]) -> None:
    hits = [
        f"{path.relative_to(ROOT)}: {match[0].decode()}"
        for path in project_files()
        if (match := pattern.search(path.read_bytes()))
    ]
    assert hits == []


def test_every_source_file_begins_with_its_licence() -> None:
    begins = {
        ".py": b"# SPDX-License-Identifier: MIT\n",
        ".c": b"// SPDX-License-Identifier: MIT\n",
        ".h": b"// SPDX-License-Identifier: MIT\n",
    }
    sources = [path for path in project_files() if path.suffix in begins]
    without = [
        str(path.relative_to(ROOT))
        for path in sources
        if not path.read_bytes().startswith(begins[path.suffix])
    ]
    assert sources
    assert without == []


def test_pyproject_pins_every_requirement_exactly() -> None:
    loose = [
        str(requirement)
        for requirement in asked_for()
        if [clause.operator for clause in requirement.specifier] != ["=="]
    ]
    assert loose == []


def test_the_lock_has_what_pyproject_asks_for_in_the_same_version() -> None:
    pinned = {key(requirement) for requirement, _ in locked()}
    missing = [str(asked) for asked in asked_for() if key(asked) not in pinned]
    assert missing == []


def test_the_lock_pins_every_line_exactly_and_by_hash() -> None:
    weak = [
        str(requirement)
        for requirement, hashes in locked()
        if [clause.operator for clause in requirement.specifier] != ["=="] or not hashes
    ]
    assert weak == []


def test_the_lock_is_closed() -> None:
    """Installed with --no-deps, so what a package needs must be in it too."""
    here = [requirement for requirement, _ in locked() if not_elsewhere(requirement)]
    names = {canonicalize_name(requirement.name) for requirement in here}
    open_ends = [
        f"{requirement.name} needs {needed}"
        for requirement in here
        for needed in map(Requirement, distribution(requirement.name).requires or [])
        if not_elsewhere(needed) and canonicalize_name(needed.name) not in names
    ]
    assert open_ends == []


def not_elsewhere(requirement: Requirement) -> bool:
    """Whether its marker holds for this Python, with no extra asked for."""
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def test_the_installed_version_is_the_one_of_the_package() -> None:
    assert version("vfiospec") == vfiospec.__version__


def test_the_python_that_runs_this_has_the_locked_versions() -> None:
    wrong = [
        f"{requirement} but {version(requirement.name)}"
        for requirement, _ in locked()
        if not_elsewhere(requirement)
        and not requirement.specifier.contains(version(requirement.name), prereleases=True)
    ]
    assert wrong == []


def test_ci_runs_exactly_make_test() -> None:
    script = ROOT / ".ci" / "run"
    commands = [line for line in script.read_text().splitlines() if not line.startswith("#")]
    assert commands[-1] == "exec make test"
    assert script.stat().st_mode & 0o111 == 0o111
