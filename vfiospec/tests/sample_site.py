# SPDX-License-Identifier: MIT
"""Made-up runs of several kernels and topologies, and what reads the pages made of them."""

from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import msgspec

from vfiospec.results.model import Catalogue, FindingFacts, Header, Outcome, Record, RuleFacts
from vfiospec.tests import sample_run

_VOID = {"meta", "link", "input", "br", "line", "path"}

CATALOGUE = Catalogue(
    rules=[
        RuleFacts(
            id="device-info.argsz-too-small",
            text="GET_INFO with too small an argsz is refused.",
            strength="enforced",
            sources=["drivers/vfio/pci/vfio_pci_core.c, vfio_pci_ioctl_get_info"],
        ),
        RuleFacts(
            id="device-info.lore", text="A <b>promise</b>.", strength="documented", untested="a SAN"
        ),
    ],
    findings=[
        FindingFacts(
            id="F-003", title="it loops", rule="device-info.argsz-too-small", reason="because"
        )
    ],
)
CALL = (
    "VFIO_DEVICE_GET_INFO(device 32, vfio_device_info(argsz=24, flags=0xa5) =>"
    " vfio_device_info(argsz=24, flags=0x3)) -> 0"
)


def header(release: str = "6.1.0-56-amd64", topology: str = "default", day: int = 21) -> Header:
    """Return the header of a run of a kernel, on a topology, on a day."""
    plain = sample_run.header()
    assert plain.topology is not None
    return msgspec.structs.replace(
        plain,
        started=f"2026-11-{day:02}T05:00:00Z",
        kernel=msgspec.structs.replace(plain.kernel, release=release, spec=f"debian:{release[:3]}"),
        topology=msgspec.structs.replace(plain.topology, name=topology),
    )


def write(
    folder: Path,
    head: Header | None = None,
    outcomes: Sequence[Outcome] = sample_run.ALL,
    catalogue: Catalogue = CATALOGUE,
) -> Path:
    """Write a whole run into a folder, which is made, and return the folder."""
    folder.mkdir(parents=True)
    head = msgspec.structs.replace(head or header(), planned=len(outcomes))
    lines: list[Record] = [head, catalogue, *outcomes, sample_run.footer(outcomes)]
    sample_run.write(folder, lines)
    return folder


def runs(folder: Path) -> list[Path]:
    """Write two kernels on two topologies, one of them twice, and return their folders."""
    called = msgspec.structs.replace(sample_run.FAILED, calls=[CALL])
    every = (sample_run.PASSED, called, *sample_run.ALL[2:])
    mended = [
        *(o for o in sample_run.ALL if o.outcome != "failed"),
        msgspec.structs.replace(sample_run.FAILED, outcome="passed"),
    ]
    return [
        write(folder / "old", header(), every),
        write(folder / "old-bare", header(topology="bare"), [sample_run.PASSED]),
        write(folder / "new", header("6.12.118+deb13-amd64", day=22), mended),
        write(folder / "new-bare", header("6.12.118+deb13-amd64", "bare", 22), sample_run.ALL),
        write(folder / "old-again", header(day=23), mended),
    ]


class Page(HTMLParser):
    """A page as a browser would take it: its links, ids and text, and every tag left open."""

    def __init__(self, path: Path) -> None:
        """Read a page."""
        super().__init__()
        self.open: list[str] = []
        self.faults: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.cells: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        self.faults += [f"<{tag}> is never closed" for tag in self.open]
        twice = {name for name in self.ids if self.ids.count(name) > 1}
        self.faults += [f"id {name} is there twice" for name in sorted(twice)]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag links to and is called."""
        found = dict(attrs)
        self.links += [value for name in ("href", "src") if (value := found.get(name))]
        if name := found.get("id"):
            self.ids.append(name)
        if tag not in _VOID:
            self.open.append(tag)
        if tag == "td" and "t" in (found.get("class") or "").split():
            self.cells.append("")
            self._in_cell = True

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take a tag that closes itself, as those of SVG do."""
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        """Close the last open tag, which must be this one."""
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> on line {self.getpos()[0]} closes nothing")

    def handle_data(self, data: str) -> None:
        """Keep the text."""
        self.text += data
        if "td" in self.open and self.cells:
            self.cells[-1] += data


def faults(site: Path) -> list[str]:
    """Return all that is wrong with the pages of a site, however they were made."""
    pages = {path.resolve(): Page(path) for path in sorted(site.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        name = path.relative_to(site.resolve())
        found += [f"{name}: {fault}" for fault in page.faults]
        if not path.with_suffix("").with_name(path.name.removesuffix(".html") + ".json").is_file():
            found.append(f"{name}: no JSON beside it")
        for link in page.links:
            file, _, anchor = link.partition("#")
            target = (path.parent / file).resolve() if file else path
            if "://" in link or link.startswith(("/", "//")):
                found.append(f"{name}: {link} leads out of the site")
            elif not target.is_file():
                found.append(f"{name}: {link} leads nowhere")
            elif anchor and target in pages and anchor not in pages[target].ids:
                found.append(f"{name}: {link} leads to no place on its page")
    return found
