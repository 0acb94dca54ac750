"""Landmark regression networks behind two pure functions. Nothing outside this folder imports flax.

Parameters and statistics are plain nested dicts, `backbone` and `head`, so that a backbone can be frozen or
exchanged by name. A model with an auxiliary output has its parameters under `aux`.
"""

import contextlib
import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from jaxmarks import choices
from jaxmarks.models import ops as _ops
from jaxmarks.models.adopt import adopt
from jaxmarks.models.fold import fold as _fold
from jaxmarks.models.layers import Backbone

__all__ = ["NAMES", "Model", "Tree", "adopt", "build"]

NAMES: dict[str, Callable[[_ops.Ops], Backbone]] = {
    name: getattr(importlib.import_module(f"{__name__}.{file}"), name) for name, file in choices.MODELS.items()
}

Tree = dict  # nested dicts of f32 arrays

# ImageNet's, in units of 0..255: what published backbones were trained with.
_PIXEL_MEAN = (123.675, 116.28, 103.53)
_PIXEL_DEVIATION = (58.395, 57.12, 57.375)

# Variance of the head's kernel times its fan-in: small, so that training starts from the image's centre.
_HEAD_SCALE = 1e-3


class Model(NamedTuple):
    """A network as two pure functions.

    init(key, size) -> (params, stats): a typed key and the side of the images in pixels; nested dicts of
    f32 arrays.

    apply(params, stats, image f32[b, s, s, 3], train) -> (points f32[b, num_points, 2], new_stats): RGB in
    0..255; points as (x, y) in the head's units, 0 at the image's centre and 1 half an image from it. With
    train the batch's statistics normalise and the running ones move; without, stats come back unchanged.
    Raises ValueError for an image of another shape or type or too small for the network, and in training for one
    value a channel. Under jit a batch sharded over a mesh has the statistics of the whole of it.

    apply_aux(params, stats, image, train) -> (points, aux, new_stats), or None where the network has no auxiliary
    output: aux is that output, as points, where params have `aux` (init gives it from the least size on at which it
    fits) and the images are of that size; else None. apply never computes it.

    aux_weight: what the auxiliary loss counts for, to the main loss's 1.

    fold(params, stats) -> folded: the weights for inference, a pytree of arrays, batch norm folded into the convolutions
    and nothing of the auxiliary output; made on the host, so not under jit, and put where the parameters lie.
    predict(folded, image f32[b, s, s, 3]) -> points f32[b, num_points, 2]: those of apply without train but for rounding
    (1e-5 of the largest, 3e-2 in bfloat16). By `folding` and `apply_folded`; a network without them keeps (params, stats)
    and predicts by apply.
    """

    init: Callable[[Array, int], tuple[Tree, Tree]]
    apply: Callable[[Tree, Tree, Array, bool], tuple[Array, Tree]]
    apply_aux: Callable[[Tree, Tree, Array, bool], tuple[Array, Array | None, Tree]] | None = None
    aux_weight: float = 0.0
    folding: Callable[[Tree, Tree], Tree] | None = None
    apply_folded: Callable[[Tree, Array], Array] | None = None

    def apply_both(
        self, params: Tree, stats: Tree, image: Array, train: bool = True
    ) -> tuple[Array, Array | None, Tree]:
        """Return `apply_aux`, or `apply` for a network without an auxiliary output.

        Args:
            params: nested dicts of f32 arrays.
            stats: nested dicts of f32 arrays, the running statistics.
            image: f32[b, s, s, 3], RGB in 0..255.
            train: whether the batch's own statistics normalise.

        Returns:
            points f32[b, num_points, 2] in head units, the auxiliary points or None, and the new statistics.

        Raises:
            ValueError: as `apply`.
        """
        if self.apply_aux is not None:
            return self.apply_aux(params, stats, image, train)
        points, stats = self.apply(params, stats, image, train)
        return points, None, stats

    def fold(self, params: Tree, stats: Tree) -> Any:
        """Return the weights that `predict` takes.

        Args:
            params: nested dicts of f32 arrays.
            stats: nested dicts of f32 arrays, the running statistics.

        Returns:
            a pytree of arrays; not under jit.
        """
        return (params, stats) if self.folding is None else self.folding(params, stats)

    def predict(self, folded: Any, image: Array) -> Array:
        """Return the points of images, by folded weights.

        Args:
            folded: of `fold`.
            image: f32[b, s, s, 3], RGB in 0..255.

        Returns:
            f32[b, num_points, 2] in head units.

        Raises:
            ValueError: as `apply`.
        """
        if self.apply_folded is not None:
            return self.apply_folded(folded, image)
        params, stats = folded
        return self.apply(params, stats, image, False)[0]


class _Regressor(nn.Module):
    """Normalised pixels, backbone, mean over positions, one linear layer; the auxiliary head where asked for."""

    backbone: Callable[[_ops.Ops], Backbone]
    num_points: int
    ops: _ops.Ops
    auxiliary: Callable[..., nn.Module] | None = None
    precision: str = "float32"  # of the backbone; the heads, and what they see, are of the image's type

    @nn.compact
    def __call__(self, image: Array, train: bool, want_aux: bool) -> tuple[Array, Array | None]:
        mean = _ops.per_channel(jnp.asarray(_PIXEL_MEAN, image.dtype))
        deviation = _ops.per_channel(jnp.asarray(_PIXEL_DEVIATION, image.dtype))
        normalised = (image - mean) / deviation
        normalised = normalised.astype(jnp.bfloat16) if self.precision == "bfloat16" else normalised
        with self._products():
            maps, middle = self.backbone(self.ops)(normalised, train), None
        if self.auxiliary is not None:
            maps, middle = maps
        outputs, kernel_init = 2 * self.num_points, nn.initializers.variance_scaling(_HEAD_SCALE, "fan_in", "normal")
        with _ops.full_products():
            points = nn.Dense(outputs, kernel_init=kernel_init, name="head")(
                jnp.mean(maps.astype(image.dtype), axis=(1, 2))
            )
        points = jnp.reshape(points, (-1, self.num_points, 2))
        if self.auxiliary is None or middle is None or not want_aux:
            return points, None
        with self._products():
            aux = self.auxiliary(outputs, kernel_init, self.ops, name="aux")(middle, train)
        return points, jnp.reshape(aux, (-1, self.num_points, 2))

    def _products(self) -> contextlib.AbstractContextManager:
        return _ops.full_products() if self.precision == "float32" else contextlib.nullcontext()


def build(name: str, num_points: int, *, ops: _ops.Ops | None = None, precision: str = "float32") -> Model:
    """Return the network of a name.

    Args:
        name: one of NAMES.
        num_points: landmarks, 1 or more.
        ops: the forms of its operations; None: those of JAX's default backend, looked up when the functions are traced.
        precision: "float32"; "bfloat16": convolutions in bfloat16, and parameters, batch norm's arithmetic, heads and
            points in float32; "tf32": float32 factors rounded as JAX's default has it, to TF32 on NVIDIA's cards, while
            a CPU rounds nothing.

    Returns:
        its pure functions.

    Raises:
        ValueError: for an unknown name or fewer than one point.
    """
    if name not in NAMES:
        raise ValueError(f"unknown model {name!r}: expected one of {', '.join(NAMES)}")
    if num_points < 1:
        raise ValueError(f"num_points must be 1 or more, got {num_points}")

    kind = NAMES[name](_ops.chosen())

    def network(folded: bool = False) -> _Regressor:
        forms = _ops.chosen(folded) if ops is None else ops._replace(folded=folded)
        forms = forms._replace(half=precision == "bfloat16")
        return _Regressor(NAMES[name], num_points, forms, kind.auxiliary, precision)

    def init(key: Array, size: int) -> tuple[Any, Any]:
        variables = network().init(key, jnp.zeros((1, size, size, 3), jnp.float32), False, True)
        return variables["params"], variables["batch_stats"]

    def forward(params: Tree, stats: Tree, image: Array, train: bool, want_aux: bool) -> tuple[Any, Any, Any]:
        _check(image, params["head"]["bias"].dtype)
        variables = {"params": params, "batch_stats": stats}
        if not train:
            points, aux = network().apply(variables, image, False, want_aux)
            return points, aux, stats
        (points, aux), changed = network().apply(variables, image, True, want_aux, mutable=["batch_stats"])
        return points, aux, changed["batch_stats"]

    def apply(params: Tree, stats: Tree, image: Array, train: bool) -> tuple[Any, Any]:
        points, _, new_stats = forward(params, stats, image, train, False)
        return points, new_stats

    def apply_aux(params: Tree, stats: Tree, image: Array, train: bool) -> tuple[Any, Any, Any]:
        return forward(params, stats, image, train, "aux" in params)

    def folding(params: Tree, stats: Tree) -> Tree:
        backbone = _fold(params["backbone"], stats["backbone"], kind.epsilon)
        return {"backbone": backbone, "head": params["head"]}

    def apply_folded(folded: Tree, image: Array) -> Any:
        _check(image, folded["head"]["bias"].dtype)
        return network(folded=True).apply({"params": folded}, image, False, False)[0]

    return Model(init, apply, apply_aux if kind.auxiliary else None, kind.aux_weight, folding, apply_folded)


def _check(image: Array, dtype: jnp.dtype) -> None:
    if image.ndim != 4 or image.shape[1] != image.shape[2] or image.shape[3] != 3:
        raise ValueError(f"image must be [batch, size, size, 3], got shape {image.shape}")
    if image.dtype != dtype:
        raise ValueError(f"image must be {dtype} as the parameters are, in 0..255, got {image.dtype}: convert it")
