"""Label review page: one image at a time, decisions by mouse or keys.

One file that needs no other and no network. What comes from data stands in one block of JSON; the script puts names into
the page as text, never as HTML. Points are drawn over the image in pixels of the image.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipelines.example import Example
from pipelines.images import decode
from pipelines.reports import html

_SIDE = 640  # pixels of an image's longer side, at most
_AROUND = 0.2  # of the face: what is shown about label and prediction on each side


class Item(NamedTuple):
    """An image to decide about."""

    name: str
    example: Example
    prediction: np.ndarray  # f[points, 2]  in pixels of the image
    score: float
    reason: str
    similar: tuple[str, Example] | None = None  # the similar image that the label is unlike: its name, and itself


def page(title: str, items: Sequence[Item], lead: str) -> str:
    """The whole page, the items in their order. Raises DecodeError for an image that is none, and OSError."""
    shown = _inert(json.dumps([_item(item) for item in items], allow_nan=False))
    key = hashlib.sha256(shown.encode()).hexdigest()
    body = _BODY.format(title=html.text(title), lead=html.text(lead), key=key, data=shown, script=_SCRIPT)
    return html.document(title, body, style=_STYLE, head=_POLICY)


def _inert(text: str) -> str:
    """JSON that cannot end the script element that it stands in."""
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _item(item: Item) -> dict:
    other = item.similar
    return {
        "name": html.plain(item.name),
        "score": round(item.score, 2),
        "reason": item.reason,
        **_shown(item.example, item.prediction),
        "prediction": [_numbers(p) for p in item.prediction],
        "similar": None if other is None else {"name": html.plain(other[0]), **_shown(other[1], np.zeros((0, 2)))},
    }


def _shown(example: Example, prediction: np.ndarray) -> dict:
    """An image and its label, and what part of it is shown: that about label and prediction."""
    image = decode.pixels(example.picture)
    known = example.mask & np.isfinite(example.points).all(1)
    scale = image.shape[1] / (example.size[0] if example.size else image.shape[1])  # points are the image's
    view, low, high = _around(np.concatenate([example.points[known], prediction]), np.array(image.shape[1::-1]) / scale)
    first, last = (
        np.floor(low * scale).astype(int),
        np.minimum(np.maximum(np.ceil(high * scale), np.floor(low * scale) + 1), image.shape[1::-1]).astype(int),
    )
    part = image[first[1] : last[1], first[0] : last[0]]
    return {
        "view": _numbers(view),
        "place": _numbers(np.concatenate([first / scale - 0.5, (last - first) / scale])),
        "picture": html.data_of(decode.reduced(part, _SIDE / max(part.shape[:2]))),
        "label": [_numbers(p) if k else None for p, k in zip(example.points, known, strict=True)],
    }


def _numbers(values: np.ndarray) -> list[float]:
    return [round(float(v), 2) for v in values]


def _around(points: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the shown square (x, y, side, side) around the points, at most twice the image of `size` (width, height),
    and the corners of its part of the image, f64[2] each."""
    near = np.clip(points, -size / 2, 1.5 * size)
    low, high = near.min(0), near.max(0)
    side = max(float((high - low).max()) * (1 + 2 * _AROUND), 0.05 * float(size.max()))
    corner = (low + high) / 2 - side / 2
    first, last = np.clip(corner, 0, size - 1), np.clip(corner + side, 1, size)
    return np.concatenate([corner, [side, side]]), first, last


_POLICY = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:;'
    " style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n"
)

_STYLE = """
body { max-width: 1500px; padding: .8rem 1.2rem; --label: #e5352b; --prediction: #12a150; }
header { display: flex; flex-wrap: wrap; gap: .2rem 1.5rem; align-items: baseline; }
header p { margin: 0; }
main { display: grid; gap: 1.2rem; grid-template-columns: minmax(0, 1fr) 25rem; margin-top: .6rem; }
#stage { background: var(--card); border-radius: 8px; height: min(86vh, 62rem); }
#stage svg { height: 100%; }
#stage path { fill: none; stroke-linecap: round; }
#label { stroke: #ff4646; } #prediction { stroke: #50ff78; } #gaps { stroke: #ffd54a; stroke-opacity: .65; }
aside { display: flex; flex-direction: column; gap: .6rem; height: min(86vh, 62rem); min-width: 0; }
aside h2 { margin: 0; padding: 0; border: 0; overflow-wrap: anywhere; } aside p { margin: 0; }
#reason { color: var(--ink); }
#similar { margin: 0; overflow-wrap: anywhere; } #similar svg { width: 100%; max-height: 30vh; background: var(--card); }
#similar path { fill: none; stroke: #ff4646; stroke-linecap: round; }
.row { display: flex; flex-wrap: wrap; gap: .45rem; }
button { font: inherit; color: var(--ink); background: var(--card); border: 1px solid var(--line); border-radius: 7px;
  padding: .35rem .7rem; cursor: pointer; }
button:hover { border-color: var(--mark); } button:focus-visible { outline: 2px solid var(--mark); }
.decide button { flex: 1 1 6rem; padding: .6rem; font-weight: 600; }
button[aria-pressed=true] { background: var(--mark); border-color: var(--mark); color: var(--ground); }
.row i { display: inline-block; width: .7rem; height: .7rem; border-radius: 50%; margin-right: .35rem; }
kbd { font: .78rem ui-monospace, monospace; border: 1px solid currentColor; border-radius: 4px; padding: 0 .3rem;
  opacity: .75; margin-left: .35rem; font-weight: 400; }
progress { width: 100%; accent-color: var(--mark); }
#list { flex: 1; min-height: 8rem; overflow-y: auto; margin: 0; padding: 0; list-style: none;
  border: 1px solid var(--line); border-radius: 8px; }
#list li { display: grid; grid-template-columns: 2.6rem minmax(0, 1fr) auto; gap: .5rem; padding: .2rem .6rem;
  cursor: pointer; font-size: .88rem; border-bottom: 1px solid var(--line); }
#list li span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
#list li span:first-child { color: var(--dim); text-align: right; font-variant-numeric: tabular-nums; }
#list li[aria-current=true] { background: var(--card); font-weight: 600; box-shadow: inset 4px 0 var(--mark); }
#list li b { font-weight: 600; } b.exclude { color: var(--warn); } b.keep { color: var(--dim); }
b.prediction { color: var(--prediction); }
@media (max-width: 60rem) {  /* a phone: the image stays, what is decided about it is below, all on one screen */
  body { padding: .4rem .6rem; }
  header p { display: none; } header h1 { font-size: 1.05rem; }
  main { grid-template-columns: minmax(0, 1fr); gap: .5rem; margin-top: .3rem; }
  #stage { height: 46vh; position: sticky; top: 0; z-index: 1; }
  aside { height: auto; gap: .45rem; } aside h2 { font-size: .95rem; }
  aside > div:first-of-type { order: -1; }  /* the decision right below the image, however long the name */
  #reason { font-size: .85rem; max-height: 3.2rem; overflow-y: auto; }
  .decide button { flex-basis: 5rem; padding: .5rem .3rem; }
  #list { flex: none; height: 40vh; }
}
@media (hover: none) { kbd { display: none; } }
"""

_BODY = """<header><h1>{title}</h1><p>{lead}</p></header>
<noscript><p>This page needs JavaScript; review.csv beside it has the list.</p></noscript>
<main>
<div id="stage"><svg id="photograph" role="img" preserveAspectRatio="xMidYMid meet"><image id="picture"
 preserveAspectRatio="none"></image><path id="gaps"></path><path id="label"></path><path id="prediction"></path></svg></div>
<aside>
<h2 id="name"></h2>
<p id="reason"></p>
<figure id="similar" hidden><svg role="img" preserveAspectRatio="xMidYMid meet"><image preserveAspectRatio="none"></image><path>
</path></svg><figcaption></figcaption></figure>
<div class="row decide">
<button type="button" data-key="k" data-decision="keep">Keep<kbd>k</kbd></button>
<button type="button" data-key="x" data-decision="exclude">Exclude<kbd>x</kbd></button>
<button type="button" data-key="p" data-decision="prediction">Take prediction<kbd>p</kbd></button>
</div>
<div class="row">
<button type="button" data-key="ArrowLeft">&larr; back</button>
<button type="button" data-key="ArrowRight">on &rarr;</button>
<button type="button" data-key="n">undecided<kbd>n</kbd></button>
<button type="button" data-key="u">undo<kbd>u</kbd></button>
</div>
<div class="row">
<button type="button" data-key="l" aria-pressed="true"><i style="background: #ff4646"></i>label<kbd>l</kbd></button>
<button type="button" data-key="g" aria-pressed="true"><i style="background: #50ff78"></i>prediction<kbd>g</kbd></button>
<button type="button" data-key="c" aria-pressed="true"><i style="background: #ffd54a"></i>gaps<kbd>c</kbd></button>
</div>
<div><progress id="bar" value="0" max="1"></progress><p id="progress" role="status"></p></div>
<ol id="list"></ol>
<div class="row decide"><button type="button" data-key="d">Download decisions.csv<kbd>d</kbd></button></div>
<small>Then: train.py --review decisions.csv. Decisions stay in this browser until then.</small>
</aside>
</main>
<script type="application/json" id="data" data-key="{key}">{data}</script>
<script>{script}</script>
"""

_SCRIPT = r"""
"use strict";
const find = id => document.getElementById(id);
const items = JSON.parse(find("data").textContent), memory = "jaxmarks-review-" + find("data").dataset.key;
const shown = {l: true, g: true, c: true}, layers = {l: "label", g: "prediction", c: "gaps"};
const told = {keep: "keep", exclude: "exclude", prediction: "prediction"};
let at = 0, decisions = {}, past = [];

// In the tab for reloading it, in the browser for opening the file again: a label has a key of its own, so that what is
// written never puts out another's, also where a browser shows a page opened from a file an empty storage.
const held = key => { try { return localStorage.getItem(`${memory}-${key}`); } catch { return null; } };
function hold(key, value) {
  try { value == null ? localStorage.removeItem(`${memory}-${key}`) : localStorage.setItem(`${memory}-${key}`, value); }
  catch { /* then only until it is closed */ }
}
function remember() {
  hold("at", at);
  try { history.replaceState({memory, at, decisions}, ""); } catch { /* too often for this browser: the next will do */ }
}
function recall() {
  const tab = history.state?.memory === memory ? history.state : {}, before = Number(tab.at ?? held("at"));
  items.forEach((_, i) => {
    const decision = tab.decisions?.[i] ?? held(i);
    if (Object.hasOwn(told, decision)) decisions[i] = decision;
  });
  if (items[before]) at = before;
}
// A marker's radius as a share of the side: smaller the more there are, so that they stay apart.
const markerOf = points => Math.min(0.0055, Math.max(0.0015, 0.036 / Math.sqrt(points)));
const dots = points => points.filter(Boolean).map(([x, y]) => `M${x} ${y}h0`).join("");

function draw() {
  const item = items[at], side = item.view[2], marker = 2 * markerOf(item.prediction.length);
  find("photograph").setAttribute("viewBox", item.view.join(" "));
  find("photograph").setAttribute("aria-label", item.name);
  ["x", "y", "width", "height"].forEach((name, n) => find("picture").setAttribute(name, item.place[n]));
  find("picture").setAttribute("href", item.picture);
  find("label").setAttribute("d", dots(item.label));
  find("prediction").setAttribute("d", dots(item.prediction));
  find("gaps").setAttribute("d", item.label.map((p, n) => p ? `M${p.join(" ")}L${item.prediction[n].join(" ")}` : "").join(""));
  for (const [key, id] of Object.entries(layers)) {
    find(id).setAttribute("stroke-width", side * (key === "c" ? marker / 6 : marker));
    find(id).style.display = shown[key] && (key !== "c" || (shown.l && shown.g)) ? "" : "none";
    document.querySelector(`[data-key=${key}]`).setAttribute("aria-pressed", shown[key]);
  }
  find("name").textContent = item.name;
  find("reason").textContent = `${at + 1} of ${items.length}, score ${item.score}: ${item.reason}`;
  document.querySelectorAll("[data-decision]").forEach(
    b => b.setAttribute("aria-pressed", decisions[at] === b.dataset.decision));
  drawSimilar(item.similar);
  const done = Object.keys(decisions).length;
  find("progress").textContent = `${done} of ${items.length} decided`;
  find("bar").max = items.length; find("bar").value = done;
  [...find("list").children].forEach((row, i) => {
    row.setAttribute("aria-current", i === at);
    row.lastChild.textContent = told[decisions[i]] || "";
    row.lastChild.className = decisions[i] || "";
  });
  reveal(find("list"), find("list").children[at]);
}
// Scrolls the list alone: scrollIntoView would move the page as well, and on a phone the image out of sight.
function reveal(list, row) {
  const [outer, inner] = [list, row].map(e => e.getBoundingClientRect());
  if (inner.top < outer.top) list.scrollTop -= outer.top - inner.top;
  else if (inner.bottom > outer.bottom) list.scrollTop += inner.bottom - outer.bottom;
}
function drawSimilar(other) {
  const figure = find("similar"), [sheet, image, label] = ["svg", "image", "path"].map(n => figure.querySelector(n));
  figure.hidden = !other;
  if (!other) return;
  sheet.setAttribute("viewBox", other.view.join(" "));
  sheet.setAttribute("aria-label", other.name);
  ["x", "y", "width", "height"].forEach((name, n) => image.setAttribute(name, other.place[n]));
  image.setAttribute("href", other.picture);
  label.setAttribute("d", dots(other.label));
  label.setAttribute("stroke-width", other.view[2] * 2 * markerOf(other.label.length));
  figure.querySelector("figcaption").textContent = `similar image: ${other.name}, with its label`;
}
function go(to) { at = Math.max(0, Math.min(items.length - 1, to)); remember(); draw(); }
function decide(decision) {
  past.push([at, decisions[at]]);
  decisions[at] = decision;
  hold(at, decision);
  go(at + 1);
}
function undo() {
  if (!past.length) return;
  const [where, before] = past.pop();
  if (before) decisions[where] = before; else delete decisions[where];
  hold(where, before);
  go(where);
}
function next() {
  for (let step = 1; step <= items.length; step++)
    if (!decisions[(at + step) % items.length]) return go((at + step) % items.length);
}
const quoted = text => /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
function table() {
  const rows = items.map((item, i) => !decisions[i] ? "" : [quoted(item.name), decisions[i],
    decisions[i] === "prediction" ? item.prediction.flat().join(" ") : ""].join(",") + "\n");
  return "file_name,decision,points\n" + rows.join("");
}
function download() {
  const link = document.createElement("a"), url = URL.createObjectURL(new Blob([table()], {type: "text/csv"}));
  link.href = url; link.download = "decisions.csv"; link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
function toggle(key) { shown[key] = !shown[key]; draw(); }
const actions = {k: () => decide("keep"), x: () => decide("exclude"), p: () => decide("prediction"), u: undo, n: next,
  d: download, l: () => toggle("l"), g: () => toggle("g"), c: () => toggle("c"), ArrowLeft: () => go(at - 1),
  ArrowRight: () => go(at + 1), ArrowUp: () => go(at - 1), ArrowDown: () => go(at + 1)};

items.forEach((item, i) => {
  const row = document.createElement("li"), number = document.createElement("span"), name = document.createElement("span");
  number.textContent = i + 1; name.textContent = item.name; name.title = item.reason;
  row.append(number, name, document.createElement("b"));
  row.addEventListener("click", () => go(i));
  find("list").append(row);
});
document.addEventListener("keydown", event => {
  const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!action || (event.repeat && !event.key.startsWith("Arrow")) || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  action();
});
document.querySelectorAll("button[data-key]").forEach(
  button => button.addEventListener("click", () => { button.blur(); actions[button.dataset.key](); }));
recall();
draw();
"""
