# SPDX-License-Identifier: MIT
"""A crash as a plain text to its maintainers: what they ask for, in the order they read it."""

import re
import textwrap
from dataclasses import dataclass

from vfiospec.fuzzing.creproducer import BUILD

_WIDTH = 72
_MOST = 120  # lines of a report; the whole of it is attached
SECURITY = "security@kernel.org"
_CAREFUL = (
    "Before you send it: see it crash with your own eyes on a fresh mainline kernel, read the "
    "program, and write in a sentence of your own what goes wrong. One bug in one mail. If an "
    "older kernel did not crash, begin the subject with [REGRESSION], add "
    "regressions@lists.linux.dev to Cc, and write #regzbot introduced: OLD..NEW."
)
_NOT_PUBLIC = (
    "NOT FOR A PUBLIC LIST YET. Memory is written or used where it must not be, which may be of "
    "use to an attacker. It goes to the security team first, and to a list, a bug tracker or a "
    "public result page only when they say so or the bug is mended."
)


@dataclass(frozen=True, kw_only=True)
class Mail:
    """What goes into it."""

    title: str
    release: str
    version: str
    origin: str
    qemu: str
    topology: str
    devices: tuple[str, ...]
    calls: tuple[str, ...]
    report: str
    dangerous: bool
    alone: str | None


def mail(of: Mail) -> str:
    """The text, with what is left to be done by hand in its first lines."""
    file = _file(of.report)
    lines = [f"Subject: [BUG] vfio: {of.title}"]
    lines += [f"To: {SECURITY}"] if of.dangerous else [f"To: scripts/get_maintainer.pl -f {file}"]
    lines += [] if of.dangerous else ["Cc: what the same script says; linux-kernel@vger.kernel.org"]
    lines += ["", *_before(of), "", "--- 8< --- the mail begins here", "", "Hello,", ""]
    lines += _wrapped(
        f"the program attached as reproducer.c makes Linux {of.release} report", f"    {of.title}"
    )
    lines += ["", *_kernel(of), ""]
    lines += ["Build and run it, as root and with vfio-pci loaded:", "", f"    {BUILD}"]
    names = " ".join(d.split(" ")[0].upper().replace("-", "_") for d in of.devices)
    lines += [f"    ./reproducer {names}".rstrip()]
    if of.devices:
        lines += ["", "with the PCI addresses of devices that nothing else uses; here they were"]
        lines += [f"    {device}" for device in of.devices]
    lines += ["", *_wrapped(_alone(of)), ""]
    lines += ["What it does, with the answers it got:", ""]
    lines += [f"    {_short(call)}" for call in of.calls]
    report = of.report.splitlines()
    lines += ["", "What the kernel reports:", "", *report[:_MOST]]
    if len(report) > _MOST:
        lines.append(f"[{len(report) - _MOST} more lines in the attached console.log]")
    lines += ["", "Attached: reproducer.c, config, console.log.", ""]
    return "\n".join(lines)


def _before(of: Mail) -> list[str]:
    """What whoever sends it has to know first."""
    parts = [_CAREFUL] if not of.dangerous else [_NOT_PUBLIC, _CAREFUL]
    return [line for part in parts for line in [*_wrapped(part), ""]][:-1]


def _kernel(of: Mail) -> list[str]:
    version = re.sub(r" \([^()]*@[^()]*\)", "", of.version)  # who built it is nobody's business
    facts = [f"Kernel:  {version or of.release}"]
    facts += [f"Source:  {of.origin}; its configuration is attached"] if of.origin else []
    if of.qemu:
        facts.append(f"Machine: QEMU {of.qemu}, q35 with intel-iommu, topology {of.topology!r}")
    return facts


def _alone(of: Mail) -> str:
    if of.alone is None:
        return "The program has not been tried by itself yet."
    if of.alone == of.title:
        return "Run by itself in a fresh boot, the program crashes the kernel in this way."
    return f"Run by itself in a fresh boot, the program makes the kernel report: {of.alone}."


def _file(report: str) -> str:
    """The file of VFIO the trace names first, or its folder."""
    found = re.search(r"\b(?:drivers/(?:vfio|iommu)|samples/vfio-mdev)/[\w/-]+\.[ch]\b", report)
    return found[0] if found else "drivers/vfio"


def _wrapped(*paragraphs: str) -> list[str]:
    out: list[str] = []
    for at, paragraph in enumerate(paragraphs):
        out += [""] if at else []
        out += [paragraph] if paragraph.startswith("    ") else textwrap.wrap(paragraph, _WIDTH)
    return out


def _short(call: str) -> str:
    return call if len(call) <= 2 * _WIDTH else f"{call[: 2 * _WIDTH]}..."
