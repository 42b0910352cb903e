# SPDX-License-Identifier: MIT
"""The pages in a real browser, Debian's chromium, where it is installed; and what needs none."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from vfiospec.report.site.build import build
from vfiospec.tests import sample_site

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--allow-file-access-from-files", "--virtual-time-budget=9000",
)  # fmt: skip
in_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium here: `apt install chromium` to have pages judged in it"
)
# Every page in a frame of a phone's width and one of a desk's: does it fit, is its script alive?
PROBE = """<!DOCTYPE html><meta charset="utf-8"><body><script>
const found = {};
const frames = FRAMES.map(([name, width]) => new Promise((done) => {
  const frame = document.createElement("iframe");
  frame.style.width = `${width}px`;
  frame.onload = () => {
    const page = frame.contentDocument;
    const filter = page.querySelector(".filter input");
    let left = null;
    if (filter) {
      filter.value = "no such row at all";
      filter.dispatchEvent(new frame.contentWindow.Event("input"));
      const list = filter.parentNode.nextElementSibling;
      const rows = [...list.querySelectorAll("tbody tr:not(.group)")];
      left = rows.filter((row) => row.offsetParent !== null).length;
    }
    found[`${name} ${width}`] = {
      wide: page.documentElement.scrollWidth, width, left,
      heading: page.querySelector("h1").textContent,
      mode: page.compatMode, styled: frame.contentWindow.getComputedStyle(page.body).margin,
    };
    done();
  };
  frame.src = name;
  document.body.append(frame);
}));
Promise.all(frames).then(() => {
  const said = document.createElement("pre");
  said.textContent = JSON.stringify(found);
  document.body.replaceChildren(said);
});
</script>"""
KINDS = (
    "index", "matrix", "findings", "flaky", "runs", "rules/index", "rules/device-info",
    "rules/device-info.argsz-too-small", "cells/6.1.0-56-amd64.default/irq",
    "runs/6.1.0-56-amd64.default.20261121050000", "diff/index",
    "diff/6.1.0-56-amd64.default...6.12.118-deb13-amd64.default",
    "results/6.1.0-56-amd64.default.20261121050000/device-info.argsz-too-small.argsz-15",
)  # fmt: skip


@in_browser
def test_every_kind_of_page_fits_a_phone_and_a_desk(tmp_path: Path) -> None:
    assert CHROMIUM is not None
    build(sample_site.runs(tmp_path / "runs"), tmp_path / "out")
    frames = [(f"{kind}.html", width) for kind in KINDS for width in (360, 1280)]
    probe = tmp_path / "out" / "probe.html"
    probe.write_text(PROBE.replace("FRAMES", json.dumps(frames)))
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom",
               probe.as_uri()]  # fmt: skip
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    said = re.search(r"<pre>(\{.*\})</pre>", ended.stdout)
    assert said is not None, ended.stderr[-2000:]
    found = json.loads(said[1].replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&"))
    assert len(found) == len(frames)
    assert [name for name, page in found.items() if page["wide"] > page["width"]] == []
    assert {(page["mode"], page["styled"]) for page in found.values()} == {("CSS1Compat", "0px")}
    assert found["index.html 360"]["heading"] == "Which VFIO feature works on which kernel"
    assert found["index.html 1280"]["left"] == 0, "the filter hides what does not match"


def test_text_stands_out_from_its_ground_in_light_and_dark() -> None:
    """4.5 to 1, as WCAG 2 asks of text (its success criterion 1.4.3, level AA)."""
    css = (Path(build.__code__.co_filename).parent / "static" / "style.css").read_text()
    light, dark = (dict(re.findall(r"--([a-z-]+): (#\w+)", part)) for part in palettes(css))
    dark = light | dark
    for palette in (light, dark):
        pairs = [("text", "page"), ("soft", "page"), ("soft", "head"), ("text", "head"),
                 ("link", "page"), ("link", "head"), ("none-ink", "page"), ("pass-ink", "pass"),
                 ("known-ink", "known"), ("fail-ink", "fail")]  # fmt: skip
        weak = [p for p in pairs if contrast(palette[p[0]], palette[p[1]]) < 4.5]
        assert weak == []


def palettes(css: str) -> tuple[str, str]:
    light, _, rest = css.partition("@media (prefers-color-scheme: dark)")
    return light, rest.partition("\n}\n")[0]


def contrast(one: str, other: str) -> float:
    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def luminance(colour: str) -> float:
    digits = colour.removeprefix("#")
    if len(digits) == 3:
        digits = "".join(2 * digit for digit in digits)
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
