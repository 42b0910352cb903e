# SPDX-License-Identifier: MIT
"""What wrong kernels came to before, by content: the modules, the suites, the topology."""

import hashlib
from pathlib import Path

import msgspec

from vfiospec.lab.cache import cache_root, make_dir
from vfiospec.results.proof import WrongResult
from vfiospec.undecodable import UNDECODABLE

_JUDGES = ("suites/**/*.py", "suites/**/*.toml", "vfiospec/**/*.py", "vfiospec/**/*.toml",
           "vfiospec/device/native/*", "conftest.py")  # fmt: skip


class Verdicts:
    """Kept results; one that was lost with its kernel, or missed, is looked at again."""

    def __init__(self, root: Path, topology: str) -> None:
        """Digest all that judges, below `root`."""
        digest = hashlib.sha256(topology.encode())
        for path in sorted({p for pattern in _JUDGES for p in root.glob(pattern) if p.is_file()}):
            digest.update(f"\0{path.relative_to(root)}\0".encode() + path.read_bytes())
        self._judge = digest.hexdigest()

    def _path(self, kernel: str, modules: Path) -> Path:
        key = hashlib.sha256(f"{kernel}\0{modules.name}\0{self._judge}".encode()).hexdigest()
        return cache_root() / "kernels-wrong" / ".verdicts" / f"{key[:24]}.json"

    def get(self, kernel: str, modules: Path) -> WrongResult | None:
        """What a wrong kernel with these modules came to."""
        try:
            kept = msgspec.json.decode(self._path(kernel, modules).read_bytes(), type=WrongResult)
        except (OSError, *UNDECODABLE):
            return None
        return kept if kept.verdict == "caught" else None

    def put(self, kernel: str, modules: Path, result: WrongResult) -> None:
        """Keep what one came to."""
        path = self._path(kernel, modules)
        make_dir(path.parent)
        draft = path.with_suffix(".new")
        draft.write_bytes(msgspec.json.encode(result))
        draft.replace(path)
