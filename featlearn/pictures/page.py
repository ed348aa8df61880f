"""Pages of HTML that need nothing beside themselves: pictures, styles and the one script are in them.

What is put into a page as text is escaped here, once; `markup` is what these functions return. The same
content makes the same page.
"""

import base64
import hashlib
import html
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from featlearn.errors import printable

NONE = "\N{EN DASH}"
"""Stands for what was not measured."""
LONG = 24
"""Letters of a cell from which on it has several lines."""
PIECE = 16
"""Letters of a heading of a table that stay together on paper."""
FRONT = "front"
"""The id of a section that was put before all others of a page."""
KINDS = {"PNG": "image/png", "SVG": "image/svg+xml"}
STYLE = """
:root { --ink: #1b1f24; --ground: #fff; --line: #c9d1d9; --shade: #f3f5f7;
  --link: #0b57b0; --alarm: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ed; --ground: #14171b; --line: #3d444d; --shade: #20252b; --link: #8ab8ff;
    --alarm: #ffb4ab; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1rem; color: var(--ink); background: var(--ground);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; }
h2 { font-size: 1.25rem; line-height: 1.3; margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin-bottom: .25rem; }
p { max-width: 45rem; }
a { color: var(--link); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: .5rem 0 1rem; font-variant-numeric: tabular-nums;
  font-size: .9rem; }
caption { text-align: left; padding: .25rem 0; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid var(--line); text-align: right;
  overflow-wrap: normal; vertical-align: baseline; }
tbody th { text-align: left; font-weight: 600; min-width: 8rem; max-width: 24rem; overflow-wrap: break-word; }
thead th { background: var(--shade); vertical-align: bottom; }
thead th:first-child, th.words, td.words { text-align: left; }
td.words { white-space: nowrap; }
tbody th.long, td.long { white-space: normal; min-width: 14rem; max-width: 24rem; }
td.alarm { color: var(--alarm); font-weight: 700; }
th button { font: inherit; font-weight: 600; color: inherit; background: none; border: 0; padding: 0;
  text-align: inherit; white-space: nowrap; cursor: pointer; }
th button:focus-visible, .scroll:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
th button::after { content: " \\2195"; opacity: .45; }
th[aria-sort=ascending] button::after { content: " \\2191"; opacity: 1; }
th[aria-sort=descending] button::after { content: " \\2193"; opacity: 1; }
figure { margin: 1rem 0; }
figcaption { font-size: .9rem; max-width: 45rem; }
img { max-width: 100%; height: auto; background: #fff; border: 1px solid var(--line); }
img.pixels { image-rendering: pixelated; background: none; }
img:not(.pixels) { width: 36rem; }
dl { font-size: .9rem; margin: .5rem 0; }
dl div { display: grid; grid-template-columns: 9rem minmax(0, 1fr); gap: 0 1rem; break-inside: avoid; }
dl.short { columns: 18rem 3; }
dt { font-weight: 600; }
dd { margin: 0; }
pre, code { font-family: ui-monospace, monospace; font-size: .85rem; }
pre { white-space: pre-wrap; background: var(--shade); padding: .75rem; }
section + nav { margin-top: 2rem; border-top: 1px solid var(--line); }
@media screen { th wbr { display: none; } }
@media (max-width: 30rem) {
  dl:not(.short) div { display: block; margin-bottom: .3rem; }
  tbody th.long, td.long { min-width: 9rem; }
}
@media print {
  :root { --ink: #000; --ground: #fff; --line: #999; --shade: #fff; --link: #000; --alarm: #000; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav { display: none; }
  h2, h3 { break-after: avoid; }
  figure, tr { break-inside: avoid; }
  .scroll { overflow: visible; break-inside: avoid; }
  table { font-size: 7pt; }
  th, td { padding: .1rem .25rem; }
  tbody th { min-width: 5rem; }
  tbody th.long, td.long { min-width: 8rem; }
  th button { white-space: normal; }
  th button::after { content: "" !important; }
  img { max-width: 12cm; }
}
"""
SCRIPT = """
"use strict";
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const th = button.parentElement;
    const table = th.closest("table");
    const down = th.getAttribute("aria-sort") === "ascending";
    for (const other of table.querySelectorAll("th[aria-sort]")) other.setAttribute("aria-sort", "none");
    th.setAttribute("aria-sort", down ? "descending" : "ascending");
    const text = row => row.cells[th.cellIndex].textContent;
    const value = row => row.cells[th.cellIndex].dataset.value;
    const rows = [...table.tBodies[0].rows];
    const numbers = rows.some(row => value(row) !== undefined);
    rows.sort((a, b) => {
      if (!numbers) return (down ? -1 : 1) * text(a).localeCompare(text(b), "en", { numeric: true });
      const missing = (value(a) === undefined) - (value(b) === undefined);
      if (missing || value(a) === undefined) return missing;
      return (down ? -1 : 1) * (value(a) - value(b));
    });
    table.tBodies[0].append(...rows);
  });
}
"""


class Alarm(str):
    """Words of a table that stand out: something is not as it should be."""


def text(value: object) -> str:
    """Return a value as text of HTML, also within an attribute's quotes."""
    return html.escape(printable(str(value)))


def number(value: Any) -> str:
    """Return a measure as it is read: four digits, NONE where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NONE
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def paragraph(words: str) -> str:
    """Return a paragraph of plain words."""
    return f"<p>{text(words)}</p>\n"


def listing(words: str) -> str:
    """Return words whose lines and spaces stay as they are."""
    return f"<pre>{chr(10).join(map(text, words.splitlines()))}</pre>\n"


def items(lines: Iterable[str]) -> str:
    """Return a list of plain lines."""
    return "<ul>\n" + "".join(f"<li>{text(line)}</li>\n" for line in lines) + "</ul>\n"


def definitions(pairs: Iterable[tuple[str, object]], short: bool = False) -> str:
    """Return names beside their values; short ones stand in several columns."""
    inner = "".join(f"<div><dt>{text(a)}</dt><dd>{text(b)}</dd></div>\n" for a, b in pairs)
    columns = ' class="short"' if short else ""
    return f"<dl{columns}>\n{inner}</dl>\n"


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table whose columns can be sorted: by buttons, which the keyboard reaches.

    The first cell of a row is its name. Numbers are sorted as numbers, what is missing stays last. A pair is
    a number and the words that are shown for it; an Alarm are words that stand out.
    """
    rows = [list(row) for row in rows]
    wordy = [any(isinstance(row[i], str) for row in rows) for i in range(len(head))]
    names = "".join(
        f'<th scope="col" aria-sort="none"{_class(words=of_words)}>'
        f'<button type="button">{_heading(name)}</button></th>'
        for name, of_words in zip(head, wordy, strict=True)
    )
    body = "".join(
        f'<tr><th scope="row"{_class(long=len(row[0]) > LONG)}>{text(row[0])}</th>'
        f"{''.join(map(_cell, row[1:], wordy[1:]))}</tr>\n"
        for row in rows
    )
    label = text(caption)
    return (
        f'<div class="scroll" role="region" aria-label="{label}" tabindex="0">\n<table>\n'
        f"<caption>{label}</caption>\n<thead><tr>{names}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n</div>\n"
    )


def _heading(name: str) -> str:
    """Return a name with the places where paper may break it: after an underscore, and in what is long."""
    pieces = re.findall(rf"[^_\s]{{0,{PIECE}}}_|[^_\s]{{1,{PIECE}}}\s*|\s+", printable(name))
    return "<wbr>".join(map(text, pieces))


def _cell(value: Any, words: bool) -> str:
    """Return a cell of a column of which some are words, or none."""
    value, shown = value if isinstance(value, tuple) else (value, number(value))
    sorts = isinstance(value, int | float) and not math.isnan(value)
    key = f' data-value="{float(value)!r}"' if sorts else ""
    kind = _class(words=words, long=len(shown) > LONG, alarm=isinstance(value, Alarm))
    return f"<td{key}{kind}>{text(shown)}</td>"


def _class(**kinds: bool) -> str:
    """Return the attribute that names what something is; none where it is nothing."""
    found = " ".join(kind for kind, is_so in kinds.items() if is_so)
    return f' class="{found}"' if found else ""


def picture(data: bytes, format: str, alt: str, caption: str, size: tuple[int, int] | None = None) -> str:
    """Return a picture with a caption. `format` is PNG or SVG.

    `size`: width and height on the page of one made of pixels, which are drawn as squares.
    """
    shown = f' class="pixels" width="{size[0]}" height="{size[1]}"' if size else ""
    source = f"data:{KINDS[format]};base64,{base64.b64encode(data).decode()}"
    return (
        f'<figure>\n<img{shown} alt="{text(alt)}" src="{source}">\n'
        f"<figcaption>{text(caption)}</figcaption>\n</figure>\n"
    )


def part(title: str, *markup: str) -> str:
    """Return what belongs under a small heading; nothing where it is empty."""
    return f"<h3>{text(title)}</h3>\n{''.join(markup)}" if any(markup) else ""


def section(id: str, title: str, *markup: str) -> str:
    """Return a section with its heading; a link leads to `id`."""
    return f'<section id="{text(id)}">\n<h2>{text(title)}</h2>\n{"".join(markup)}</section>\n'


def contents(links: Iterable[tuple[str, str]]) -> str:
    """Return links to sections, by (id, title)."""
    inner = "".join(f'<li><a href="#{text(id)}">{text(title)}</a></li>\n' for id, title in links)
    return f'<nav aria-label="Contents">\n<ul>\n{inner}</ul>\n</nav>\n'


def page(title: str, *markup: str) -> bytes:
    """Return a whole page. Its policy forbids a browser to load anything, or to run another script."""
    policy = (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src '{_digest(STYLE)}'; script-src '{_digest(SCRIPT)}'"
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{text(title)}</h1>\n{''.join(markup)}</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    ).encode()


def with_front(made: bytes, title: str, *markup: str) -> bytes:
    """Return a page with a section before all others, in place of one that was put there before."""
    end = made.index(b"</h1>\n") + len(b"</h1>\n")
    rest = made[end:]
    before = section(FRONT, "").encode().partition(b"\n")[0]
    if rest.startswith(before):
        rest = rest.partition(b"</section>\n")[2]
    return made[:end] + section(FRONT, title, *markup).encode() + rest


def _digest(source: str) -> str:
    """Return the name by which a policy allows a script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
