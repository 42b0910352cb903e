# SPDX-License-Identifier: MIT
"""What rules cite of the kernel's user headers stands in the newest ones: each symbol, each quote.

The kernel's other sources are in no package that is small enough to fetch for a test.
"""

import re
from pathlib import Path

import pytest

from vfiospec.rules import all_rules
from vfiospec.rules.model import HEADER, Source
from vfiospec.tests.header_sets import NEWEST, include_root

UAPI = "include/uapi/"
CITED = [
    pytest.param(source, id=f"{rule.id}-{number}")
    for rule in all_rules().values()
    for number, source in enumerate(rule.sources)
    if isinstance(source, Source) and source.path.startswith(UAPI)
]


@pytest.fixture(scope="module")
def root() -> Path:
    """The include root of the newest headers."""
    return include_root(NEWEST)


def words(text: str) -> str:
    """The text without what comments and lines put between its words."""
    return " ".join(re.sub(r"(?m)^\s*\*/?|/\*+|\*/", " ", text).split())


def test_words_of_a_comment_are_joined() -> None:
    """The searches below would fail on a quote that is broken over lines."""
    assert words("/**\n * one\n * two *bold*\n */\n\tint x; /* three\n four */") == (
        "one two *bold* int x; three four"
    )


def test_the_header_of_the_abi_is_cited() -> None:
    assert [p for p in CITED if isinstance(p.values[0], Source) and p.values[0].path == HEADER]


@pytest.mark.parametrize("source", CITED)
def test_a_cited_symbol_and_quote_are_in_the_header(root: Path, source: Source) -> None:
    path = root / source.path.removeprefix(UAPI)
    text = path.read_text()
    assert re.search(rf"\b{re.escape(source.symbol)}\b", text), f"{path.name}: {source.symbol}"
    assert words(source.quote) in words(text), f"{path.name}: {source.quote}"
