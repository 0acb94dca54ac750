"""Self-contained HTML pages from the templates of this folder: embedded images, plots as SVG.

Whatever comes from files is escaped by the templates, and what of it is not Unicode is spelled out.
"""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps

from pipelines.images import decode


def plain(value: object) -> str:
    """Any text as Unicode; what is not is spelled out."""
    return str(value).encode("utf-8", "backslashreplace").decode()


def data_of(image: np.ndarray) -> str:
    """u8[h, w, 3] RGB as an address that holds the image itself."""
    return f"data:image/jpeg;base64,{base64.b64encode(decode.encode_jpeg(image, 82)).decode()}"


def json_of(value: object) -> str:
    """JSON that cannot end the script element that it stands in; ValueError for NaN."""
    return htmlsafe_json_dumps(value, allow_nan=False)


_LOADER = PackageLoader("pipelines.reports")
_ENVIRONMENT = Environment(
    autoescape=True,
    loader=_LOADER,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    finalize=lambda value: value if hasattr(value, "__html__") else plain(value),
)
_ENVIRONMENT.globals |= {"data_of": data_of, "source": lambda name: _LOADER.get_source(_ENVIRONMENT, name)[0]}
pieces: Any = _ENVIRONMENT.get_template("pieces.html").module  # tiles, grid, table, ...: functions that return HTML


def page(template: str, **values: object) -> str:
    """Return a whole page: the template of this name with these values, plain text or markup of `pieces`."""
    return _ENVIRONMENT.get_template(template).render(values)


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
    counts, middle = np.histogram(values, edges)[0], np.median(values)
    scale = np.log if wide else np.asarray
    across = 10 + 460 * np.interp(scale(edges), scale(edges[[0, -1]]), (0, 1))
    tall = 130 * counts / counts.max()
    captions = [
        f"{left:.{decimals}f} to {right:.{decimals}f}: {count} {what}"
        for count, left, right in zip(counts, edges[:-1], edges[1:], strict=True)
    ]
    bars = zip(across, 150 - tall, np.diff(across) - 0.7, tall, captions, strict=False)
    at = 10 + 460 * np.interp(scale(middle), scale(edges[[0, -1]]), (0, 1))
    numbers = [f"{value:.{decimals}f}" for value in (middle, low, high)]
    return pieces.histogram(title, bars, float(at), *numbers, wide)


def shape(mean: np.ndarray, covariance: np.ndarray, names: Sequence[str] = ()) -> str:
    """Points f64[points, 2], y down, each on the ellipse of one standard deviation of f64[points, 2, 2]; NaN: left out.

    names: of the points, shown beside their numbers where the mouse rests; empty: they have none.
    """
    known = np.flatnonzero(np.isfinite(mean).all(1))
    powers, axes = np.linalg.eigh(covariance[known])
    radii = np.sqrt(np.maximum(powers, 0)) * 100
    angles = np.degrees(np.arctan2(axes[:, 1, 1], axes[:, 0, 1]))
    at = mean[known] * 100
    low, high = (at - radii[:, 1:]).min(0) - 4, (at + radii[:, 1:]).max(0) + 4
    dot = float(np.clip(12 / np.sqrt(max(len(known), 1)), 0.4, 1.5))
    titles = [f"point {i}, {names[i]}" if names else f"point {i}" for i in known.tolist()]
    points = list(zip(titles, *at.T, *radii.T, angles, strict=True))
    return pieces.shape(points, (*low, *(high - low)), dot, min(1, 300 / len(known)))
