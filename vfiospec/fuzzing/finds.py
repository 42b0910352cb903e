# SPDX-License-Identifier: MIT
"""What a campaign found: the first of each title, with all it takes to do it again."""

from collections.abc import Callable
from pathlib import Path

from vfiospec.fuzzing import codec
from vfiospec.fuzzing.bundle import slug
from vfiospec.fuzzing.guest import Figures, Find
from vfiospec.fuzzing.journal import Journal
from vfiospec.fuzzing.model import Program

# Writes a program, with what it found open, as `vfiospec replay` reads it: path, program, title.
Write = Callable[[Path, Program, str], None]


class Finds:
    """A folder for each title, and how often it came."""

    def __init__(
        self,
        folder: Path,
        figures: Figures,
        journal: Journal,
        write: Write,
        say: Callable[[str], None],
    ) -> None:
        """`journal` is kept where no program is known to do it alone."""
        self._folder, self._figures, self._journal = folder, figures, journal
        self._write, self._say = write, say
        self.all: list[Find] = []

    def add(self, title: str, words: str, program: Program, step: int) -> None:
        """Keep it if there is none of its title yet. `words` are the kernel's."""
        figures = self._figures
        figures.titles[title] = figures.titles.get(title, 0) + 1
        if figures.titles[title] > 1:
            return
        figures.finds += 1
        folder = self._folder / f"{figures.finds:03}-{slug(title)}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "title").write_text(title + "\n")
        (folder / "console.log").write_text(words)
        if program:
            (folder / "program").write_bytes(codec.encode(program))
            self._write(folder / "transcript.jsonl", program, title)
        else:
            self._journal.copy(folder / "journal.bin")
        self.all.append(Find(title, program, step, words, folder))
        self._say(f"found: {title} ({where(program, step)})")


def where(program: Program, step: int) -> str:
    """Where in a program something happened, in words."""
    if not program:
        return "no program does it alone"
    if step < 0:
        return f"by a program of {len(program)} steps"
    return f"at step {step + 1} of {len(program)}" if step < len(program) else "when it was closed"
