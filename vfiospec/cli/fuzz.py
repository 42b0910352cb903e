# SPDX-License-Identifier: MIT
"""`vfiospec fuzz`: search a kernel for trouble, and hand over what is found."""

import typer

from vfiospec.cli import crashes, fuzz_corpus, fuzzing

app = typer.Typer(
    name="fuzz",
    help="Search a kernel for trouble, and hand over what is found.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.command("run")(fuzzing.run)
app.command("targets")(fuzzing.list_targets)
app.command("replay")(fuzz_corpus.replay)
app.command("merge")(fuzz_corpus.merge)
app.command("coverage")(fuzz_corpus.coverage)
app.command("reproducer")(crashes.reproducer)
app.command("minimise")(crashes.minimise)
app.command("bundle")(crashes.bundle)
