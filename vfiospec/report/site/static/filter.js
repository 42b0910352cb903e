// SPDX-License-Identifier: MIT
// A box that hides the rows without the words typed into it; the words stay in the address (#q=...).
// Nothing on a page needs it.
"use strict";
for (const [number, list] of document.querySelectorAll(".filterable").entries()) {
  const rows = [...list.querySelectorAll(":scope > li, :scope > tbody > tr:not(.group)")];
  if (rows.length < 8) continue;
  const label = document.createElement("label");
  const input = document.createElement("input");
  label.className = "filter";
  input.type = "search";
  input.placeholder = `Filter ${rows.length} rows`;
  input.setAttribute("aria-label", "Show only rows with these words");
  label.append(input);
  (list.closest(".wide") || list).before(label);
  const show = () => {
    const words = input.value.toLowerCase().split(/\s+/);
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
  };
  input.addEventListener("input", () => {
    show();
    if (number === 0) history.replaceState(null, "", input.value ? `#q=${encodeURIComponent(input.value)}` : "#");
  });
  if (number === 0 && location.hash.startsWith("#q=")) {
    input.value = decodeURIComponent(location.hash.slice(3));
    show();
  }
}
