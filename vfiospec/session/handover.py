# SPDX-License-Identifier: MIT
"""What a crash in a guest leaves, gathered for a bundle; and a reproducer tried by itself."""

import tempfile
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from vfiospec.device.transcript import Target
from vfiospec.fuzzing.bundle import Crash
from vfiospec.fuzzing.creproducer import END, Reproducer
from vfiospec.fuzzing.symbolise import Symboliser, in_tree
from vfiospec.fuzzing.titles import LOST, SILENT, find_reports, title_of
from vfiospec.lab import alone, topology
from vfiospec.lab.kernel import Kernel
from vfiospec.lab.qemu import qemu_binary, qemu_version
from vfiospec.session.trials import Tried


def symbolised(kernel: Kernel, lines: Iterable[str]) -> str:
    """A report with places in the source, where the kernel's files have them."""
    tree = kernel.tree / "vmlinux" if kernel.tree else None
    symboliser = Symboliser(tree, kernel.modules.paths)
    said = symboliser.annotate(lines) if symboliser.able else lines
    return "\n".join(map(in_tree, said))


def gathered(
    kernel: Kernel,
    layout: topology.Topology,
    target: Target,
    tried: Tried,
    tried_alone: str | None = None,
) -> Crash:
    """All that is known of a crash of a kernel in a guest."""
    report = tried.report
    config = "".join(f"{k}={v}\n" for k, v in kernel.config.items())
    path = topology.known().get(layout.name) or Path(layout.name)
    return Crash(
        title=report.title,
        kind=report.kind,
        target=msgspec.structs.replace(
            target,
            kernel=target.kernel or kernel.spec,
            topology=target.topology or layout.name,
        ),
        steps=tried.steps,
        report=symbolised(kernel, report.lines),
        console=tried.console,
        when=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        version=kernel.version_text,
        origin=kernel.origin if kernel.tree is None else f"built kernel tree {kernel.tree.name}",
        config=config,
        topology=path.read_text(encoding="utf-8") if path.is_file() else "",
        qemu=qemu_version(qemu_binary()),
        dangerous=report.dangerous,
        alone=tried_alone,
    )


def crashes_alone(
    kernel: Kernel,
    layout: topology.Topology,
    program: Reproducer,
    *,
    deadline: float = 120.0,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[str | None, alone.Alone]:
    """Build a reproducer and run it in a guest of its own: its title, None if it is innocent.

    The guest's devices lie where those of the transcript did, since the topology is the same.
    """
    with tempfile.TemporaryDirectory(prefix="vfiospec-") as name:
        folder = Path(name)
        source, binary = folder / "reproducer.c", folder / "reproducer"
        source.write_text(program.text, encoding="utf-8")
        alone.build(source, binary)
        say(f"booting {kernel.release} for the reproducer alone")
        words = [device.bdf for device in program.devices]
        ran = alone.run_alone(kernel, layout, folder, binary, words, deadline)
    if find_reports(ran.console):
        return title_of(ran.console), ran
    if not ran.ended:
        return SILENT, ran
    return None if END in ran.said else LOST, ran
