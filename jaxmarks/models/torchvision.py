"""Parameters and statistics of the backbones from torchvision's weights.

Which of torchvision's names an entry of ours has is written in the modules that copy its networks. Here each of ours
asks for the one it wants, in torch's layout, and what nobody asks for is an error. Left out are `fc`, the classifier,
and the counters `num_batches_tracked`.
"""

import functools
import re

import jax
import numpy as np

from jaxmarks import models
from jaxmarks.models.inception import LEAST_SIZE_AUXILIARY

_LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}

Named = dict[str, np.ndarray]


def backbone(name: str, named: Named) -> tuple[models.Tree, models.Tree]:
    """Return the weights of a backbone from a state dict of torchvision's network of the same name.

    Inception's are those of a network that takes its images in as (x / 255 - 0.5) / 0.5, as all of torchvision's
    published ones do (`transform_input=True`); that is folded into its first convolution exactly, so that ours take
    them in as all our networks do.

    Args:
        name: one of `models.NAMES`.
        named: torchvision's names -> arrays in torch's layout.

    Returns:
        (params, stats), nested dicts of f32 arrays under `backbone`, shaped as `Model.init`'s. An Inception with
        `AuxLogits` has the same of `aux`, without its `head`.

    Raises:
        ValueError: names the first entry missing, misshapen or not wanted, and the network that they do fit.
    """
    wrong = _fault(name, named)
    if wrong:
        fitting = [other for other in models.NAMES if other != name and not _fault(other, named)]
        advice = f"they fit {fitting[0]}" if fitting else f"they fit none of {', '.join(models.NAMES)} of torchvision"
        raise ValueError(f"not weights of {name}: {wrong}; {advice}")
    params, stats = jax.tree.map(lambda wanted: _ours(named[wanted.name]), _wanted(name, _has_auxiliary(named)))
    if name == "inception_v3":
        _fold_pixels(params["backbone"]["Conv2d_1a_3x3"]["conv"], stats["backbone"]["Conv2d_1a_3x3"]["bn"])
    return params, stats


class _Wanted:
    """torchvision's name for an entry of ours, and its shape in torch's layout; a leaf of our trees."""

    def __init__(self, path: tuple, shape: tuple[int, ...]):
        parts = [part.key for part in path]
        parts = parts[1:] if parts[0] == "backbone" else ["AuxLogits", *parts[1:]]
        modules = [re.sub(r"^(layer\d|downsample)_", r"\1.", part) for part in parts[:-1]]
        self.name = ".".join([*modules, _LEAVES[parts[-1]]])
        self.shape = tuple(shape[axis] for axis in (3, 2, 0, 1)) if len(shape) == 4 else shape


@functools.cache
def _wanted(name: str, auxiliary: bool) -> tuple[models.Tree, models.Tree]:
    """Our trees with a `_Wanted` at each leaf."""
    shapes = jax.eval_shape(lambda key: models.build(name, 1).init(key, LEAST_SIZE_AUXILIARY), jax.random.key(0))

    def of_theirs(tree: models.Tree) -> models.Tree:
        kept = {"backbone": tree["backbone"]}
        if auxiliary and "aux" in tree:
            kept["aux"] = {part: node for part, node in tree["aux"].items() if part != "head"}
        return jax.tree_util.tree_map_with_path(lambda path, leaf: _Wanted(path, leaf.shape), kept)

    return of_theirs(shapes[0]), of_theirs(shapes[1])


def _has_auxiliary(named: Named) -> bool:
    return any(name.startswith("AuxLogits.") for name in named)


def _fault(name: str, named: Named) -> str:
    """The first entry for which these are not the weights of a network; empty where they are."""
    wanted = {leaf.name: leaf.shape for leaf in jax.tree.leaves(_wanted(name, _has_auxiliary(named)))}
    for entry, shape in wanted.items():
        if entry not in named:
            return f"{entry} of shape {shape} is missing"
        if named[entry].shape != shape:
            return f"{entry} has shape {named[entry].shape}, expected {shape}"
    classifier = ("fc.", "AuxLogits.fc.") if name == "inception_v3" else "fc."
    for entry, value in named.items():
        if entry not in wanted and not entry.startswith(classifier) and not entry.endswith(".num_batches_tracked"):
            return f"it has no {entry} (of shape {value.shape})"
    return ""


def _ours(value: np.ndarray) -> np.ndarray:
    """torch's layout to ours: kernels f32[out, in, rows, columns] -> f32[rows, columns, in, out]."""
    value = np.asarray(value, np.float32)
    return np.ascontiguousarray(value.transpose(2, 3, 1, 0)) if value.ndim == 4 else value


def _fold_pixels(conv: dict, norm: dict) -> None:
    """Make an unpadded convolution of (x / 255 - 0.5) / 0.5 one of our normalised pixels; see `models.inception`."""
    mean, deviation = np.asarray(models._PIXEL_MEAN) / 255, np.asarray(models._PIXEL_DEVIATION) / 255
    kernel = conv["kernel"].astype(np.float64)
    conv["kernel"] = (kernel * (deviation / 0.5)[:, None]).astype(np.float32)
    shift = np.einsum("pqio,i->o", kernel, (mean - 0.5) / 0.5)
    norm["mean"] = (norm["mean"] - shift).astype(np.float32)
