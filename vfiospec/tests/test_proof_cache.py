# SPDX-License-Identifier: MIT
"""What a wrong kernel came to is kept until anything that judged it changes."""

from pathlib import Path

import pytest

from vfiospec.results.proof import WrongResult
from vfiospec.session.proof_cache import Verdicts


def _result(verdict: str) -> WrongResult:
    return WrongResult(id="k", kind="kernel", rule="a.b", what="w", verdict=verdict)  # type: ignore[arg-type]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VFIOSPEC_CACHE", str(tmp_path / "cache"))
    (tmp_path / "suites/a").mkdir(parents=True)
    (tmp_path / "suites/a/test_b.py").write_text("1")
    return tmp_path


def test_it_is_kept_by_content(root: Path) -> None:
    modules = root / "modules"
    Verdicts(root, "default").put("k", modules, _result("caught"))
    assert Verdicts(root, "default").get("k", modules) == _result("caught")
    assert Verdicts(root, "other").get("k", modules) is None
    assert Verdicts(root, "default").get("k", root / "others") is None
    assert Verdicts(root, "default").get("other", modules) is None
    (root / "suites/a/test_b.py").write_text("2")
    assert Verdicts(root, "default").get("k", modules) is None


@pytest.mark.parametrize("verdict", ["missed", "lost"])
def test_what_was_not_caught_is_tried_again(root: Path, verdict: str) -> None:
    Verdicts(root, "default").put("k", root, _result(verdict))
    assert Verdicts(root, "default").get("k", root) is None
