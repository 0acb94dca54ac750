"use strict";
const find = id => document.getElementById(id);
const items = JSON.parse(find("data").textContent), memory = "jaxmarks-review-" + find("data").dataset.key;
const shown = {l: true, g: true, c: true}, layers = {l: "label", g: "prediction", c: "gaps"};
const decisionNames = {keep: "keep", exclude: "exclude", prediction: "prediction"};
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
    if (Object.hasOwn(decisionNames, decision)) decisions[i] = decision;
  });
  if (items[before]) at = before;
}
// A marker's radius as a share of the side: smaller the more there are, so that they stay apart.
const markerOf = points => Math.min(0.0055, Math.max(0.0015, 0.036 / Math.sqrt(points)));
const dots = points => points.filter(Boolean).map(([x, y]) => `M${x} ${y}h0`).join("");

function draw() {
  const item = items[at], side = item.view[2], marker = 2 * markerOf(item.prediction.length);
  find("view").setAttribute("viewBox", item.view.join(" "));
  find("view").setAttribute("aria-label", item.name);
  ["x", "y", "width", "height"].forEach((name, n) => find("image").setAttribute(name, item.place[n]));
  find("image").setAttribute("href", item.image);
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
    row.lastChild.textContent = decisionNames[decisions[i]] || "";
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
  image.setAttribute("href", other.image);
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
