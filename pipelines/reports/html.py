"""Pieces of self-contained HTML pages: skeleton and style, embedded images, plots as SVG.

Whatever comes from files goes through `text`; all else here is written by the program.
"""

import base64
import html
from collections.abc import Sequence

import numpy as np

from pipelines.images import decode

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2329; --dim: #5d6873; --ground: #fbfbfa; --card: #f0f1f0; --line: #d9dcde;
  --mark: #1769aa; --warn: #b3400f; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7ea; --dim: #9aa5b0; --ground: #16191d; --card: #21262c; --line: #363d45; --mark: #6cb4ee;
    --warn: #ff9d6b; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1180px; padding: 1.2rem; font: 15px/1.5 system-ui, sans-serif; color: var(--ink);
  background: var(--ground); }
h1 { font-size: 1.5rem; margin: 0 0 .2rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.4rem 0 .3rem; padding-top: .7rem; border-top: 1px solid var(--line); }
h3 { font-size: .95rem; margin: 1rem 0 .4rem; overflow-wrap: anywhere; }
p { margin: .3rem 0 .8rem; max-width: 52rem; color: var(--dim); }
nav a { margin-right: 1rem; color: var(--mark); white-space: nowrap; }
.tiles { display: flex; flex-wrap: wrap; gap: .7rem; margin: 1rem 0; }
.tile { flex: 1 1 9rem; background: var(--card); border-radius: 8px; padding: .6rem .9rem; }
.tile b { display: block; font-size: 1.5rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.tile.warn b { color: var(--warn); }
.tile span, figcaption, small { color: var(--dim); font-size: .8rem; }
.grid { display: grid; gap: .7rem; grid-template-columns: repeat(auto-fill, minmax(var(--side), 1fr)); }
figure { margin: 0; min-width: 0; }
figure img { display: block; width: 100%; height: auto; aspect-ratio: 1; object-fit: contain; background: var(--card);
  border-radius: 6px; }
figcaption { overflow-wrap: anywhere; line-height: 1.35; padding-top: .25rem; }
figcaption b { color: var(--ink); font-weight: 600; }
figure label { cursor: zoom-in; display: block; } figure input { position: absolute; opacity: 0; pointer-events: none; }
figure input:focus-visible + img { outline: 2px solid var(--mark); }
figure input:checked + img { position: fixed; inset: 0; z-index: 9; width: 100vw; height: 100vh; aspect-ratio: auto;
  border-radius: 0; background: var(--ground); cursor: zoom-out; }
.plots { display: grid; gap: 1.5rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--dim); font-size: 12px; }
svg .bar { fill: var(--mark); } svg .axis { stroke: var(--line); } svg .middle { stroke: var(--warn); }
svg .dot { fill: var(--mark); } svg .cloud { fill: var(--mark); fill-opacity: .16; }
svg.shape { max-width: 30rem; margin: 0 auto; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; min-width: min(100%, 24rem); }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top;
  overflow-wrap: anywhere; }
td.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
td img { display: block; max-width: 72px; max-height: 72px; border-radius: 4px; }
"""


def text(value: object) -> str:
    """Any text as HTML that says just this, in an attribute too; what is not Unicode is spelled out."""
    return html.escape(plain(value), quote=True)


def plain(value: object) -> str:
    """Any text as Unicode; what is not is spelled out."""
    return str(value).encode("utf-8", "backslashreplace").decode()


def page(title: str, lead: str, sections: Sequence[tuple[str, str, str]]) -> str:
    """A whole page of sections (heading, what it shows, HTML). Title, lead, headings and explanations are plain text."""
    links = "".join(f'<a href="#s{n}">{text(heading)}</a>\n' for n, (heading, _, _) in enumerate(sections))
    body = "".join(
        f'<section id="s{n}">\n<h2>{text(heading)}</h2>\n<p>{text(about)}</p>\n{inner}\n</section>\n'
        for n, (heading, about, inner) in enumerate(sections)
    )
    return document(title, f"<h1>{text(title)}</h1>\n<p>{text(lead)}</p>\n<nav>\n{links}</nav>\n{body}")


def document(title: str, body: str, *, style: str = "", head: str = "") -> str:
    """A whole page around a body that is HTML already. The title is plain text; `style` is CSS after the common one,
    `head` more HTML before it."""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{head}'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{_STYLE}{style}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )


def tiles(facts: Sequence[tuple[str, str, bool]]) -> str:
    """Return headline numbers as HTML, from (number, caption, whether it is a warning)."""
    each = [
        f'<div class="tile{" warn" * bad}"><b>{text(n)}</b><span>{text(what)}</span></div>' for n, what, bad in facts
    ]
    return f'<div class="tiles">{"".join(each)}</div>'


def picture(image: np.ndarray, about: str) -> str:
    """u8[h, w, 3] RGB as an image inside the page."""
    return f'<img src="{data_of(image)}" width="{image.shape[1]}" height="{image.shape[0]}" alt="{text(about)}">'


def data_of(image: np.ndarray) -> str:
    """u8[h, w, 3] RGB as an address that holds the image itself."""
    return f"data:image/jpeg;base64,{base64.b64encode(decode.encode_jpeg(image, 82)).decode()}"


def grid(figures: Sequence[tuple[np.ndarray, str, str]], side: int = 170) -> str:
    """Images u8[h, w, 3], each with a name and a remark below, that fill the window when clicked; `side`: CSS pixels that
    each has at least."""
    each = [
        f'<figure><label title="click: larger"><input type="checkbox">{picture(image, name)}</label><figcaption>'
        f"<b>{text(name)}</b>{'<br>' if remark else ''}{text(remark)}"
        "</figcaption></figure>"
        for image, name, remark in figures
    ]
    return f'<div class="grid" style="--side: {side}px">{"".join(each)}</div>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells that are HTML already, under plain headings."""
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{"".join(f"<th>{text(h)}</th>" for h in head)}</tr>{body}</table></div>'


def histogram(values: np.ndarray, title: str, what: str, decimals: int = 0) -> str:
    """Return a histogram of f64[n] values, n > 0, with their median; `what` is counted. Wide ranges get a logarithmic
    axis."""
    low, high = float(values.min()), float(values.max())
    wide = low > 0 and high > 8 * low
    step = 10.0**-decimals
    width = step * np.ceil((high - low + step) / step / 40)  # whole steps: else some bars hold more values than others
    edges = np.geomspace(low, high, 41) if wide else np.arange(low - step / 2, high + width, width)
    if wide:
        edges[0], edges[-1] = low, high  # geomspace is a rounding off
    low, high = edges[0], edges[-1]
    counts, middle = np.histogram(values, edges)[0], float(np.median(values))

    def across(value: float) -> float:
        share = np.log(value / low) / np.log(high / low) if wide else (value - low) / (high - low)
        return 10 + 460 * float(share)

    bars = []
    for count, left, right in zip(counts, edges[:-1], edges[1:], strict=True):
        tall = 130 * count / counts.max()
        broad = across(right) - across(left) - 0.7
        caption = f"{left:.{decimals}f} to {right:.{decimals}f}: {count} {what}"
        bars.append(
            f'<rect class="bar" x="{across(left):.1f}" y="{150 - tall:.1f}" width="{broad:.1f}" height="{tall:.1f}">'
            f"<title>{text(caption)}</title></rect>"
        )
    at, half = across(middle), f"{middle:.{decimals}f}"
    return (
        f'<figure><h3>{text(title)}</h3><svg viewBox="0 0 480 176" role="img" aria-label="{text(title)}">'
        f'{"".join(bars)}<line class="axis" x1="10" y1="150.5" x2="470" y2="150.5"/>'
        f'<line class="middle" x1="{at:.1f}" y1="14" x2="{at:.1f}" y2="150" stroke-dasharray="4 3"/>'
        f'<text x="{min(max(at, 60), 420):.1f}" y="10" text-anchor="middle">median {half}</text>'
        f'<text x="10" y="168">{values.min():.{decimals}f}</text>'
        f'<text x="470" y="168" text-anchor="end">{values.max():.{decimals}f}{" (log scale)" * wide}</text></svg></figure>'
    )


def shape(mean: np.ndarray, covariance: np.ndarray) -> str:
    """Points f64[points, 2], y down, each on the ellipse of one standard deviation of f64[points, 2, 2]; NaN: left out."""
    known = np.flatnonzero(np.isfinite(mean).all(1))
    powers, axes = np.linalg.eigh(covariance[known])
    radii = np.sqrt(np.maximum(powers, 0)) * 100
    angles = np.degrees(np.arctan2(axes[:, 1, 1], axes[:, 0, 1]))
    at = mean[known] * 100
    low, high = (at - radii[:, 1:]).min(0) - 4, (at + radii[:, 1:]).max(0) + 4
    dot = float(np.clip(12 / np.sqrt(max(len(known), 1)), 0.4, 1.5))
    clouds, dots = [], []
    for point, (x, y), (small, large), angle in zip(known, at, radii, angles, strict=True):
        clouds.append(
            f'<ellipse class="cloud" rx="{large:.2f}" ry="{small:.2f}"'
            f' transform="translate({x:.2f} {y:.2f}) rotate({angle:.0f})"/>'
        )
        dots.append(f'<circle class="dot" cx="{x:.2f}" cy="{y:.2f}" r="{dot}"><title>point {point}</title></circle>')
    box = f"{low[0]:.1f} {low[1]:.1f} {high[0] - low[0]:.1f} {high[1] - low[1]:.1f}"
    faint = f' style="opacity: {min(1, 300 / len(known)):.2f}"'
    return (
        f'<svg class="shape" viewBox="{box}" role="img" aria-label="mean shape">'
        f"<g{faint}>{''.join(clouds)}</g>{''.join(dots)}</svg>"
    )
