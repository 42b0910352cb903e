# SPDX-License-Identifier: MIT
"""Commands about machines: restore, topologies, the executor, the benchmark."""

from typing import Annotated

import typer

from vfiospec.device import executor as python_executor
from vfiospec.lab import topology
from vfiospec.lab.speed import measure
from vfiospec.lab.state import restore_all
from vfiospec.lab.sysfs import LocalSysfs


def restore() -> None:
    """Put back what a run that died left behind: bound devices, a QEMU.

    Exit code: 0 all is as it was, 1 something could not be put back.
    """
    left = restore_all(LocalSysfs(), typer.echo)
    raise typer.Exit(1 if left else 0)


def executor() -> None:
    """Make calls for a run elsewhere, over standard input and output."""
    python_executor.main()


def topologies() -> None:
    """Print the topologies, their devices and the devices' roles."""
    for name in topology.known():
        layout = topology.load(name)
        typer.echo(f"{name}: {layout.description}")
        for device in (*layout.device, *layout.spare):
            where = f"{device.behind}/" if device.behind else ""
            at = f"{where}{device.slot}"
            roles = ", ".join(device.roles) + " (not vfio-pci's)" * (device in layout.spare)
            typer.echo(f"    {device.name:12} {device.model:16} {at:12} {roles}")


def bench(
    kernel: Annotated[
        str, typer.Option(metavar="SOURCE", help="As for `vfiospec run`.")
    ] = "debian",
) -> None:
    """Measure: calls a second by each way to make them, checks a second, the whole run."""
    measure(kernel, typer.echo)
