"""Records passed between modules: batch, state, record of a step."""

from typing import Any, NamedTuple

Array = Any  # np.ndarray on the host, jax.Array on devices


class Batch(NamedTuple):
    """A batch ready for a device: canvases as bytes; everything else is done on the device.

    Frames: image -> canvas (on the host) -> input (size x size, on the device).
    """

    image: Array  # u8[batch, canvas, canvas, 3]  RGB; the image's edge is repeated into the padding
    points: Array  # f32[batch, points, 2]  in input pixels, before augmentation; never clamped
    mask: Array  # bool[batch, points]  labelled points; all false: an example that does not count
    frame: Array  # f64[batch, 2, 3]  image -> input; predictions are mapped back by its inverse
    index: Array  # i32[batch]  which image of the source
    draw: Array  # i32[batch, 2]  (epoch, position)
    fit: Array  # f32[batch, 2, 3]  canvas -> input
    extent: Array  # f32[batch, 4]  first and last true pixel of the canvas: x0, y0, x1, y1
    diagonal: Array  # f32[batch]  of the image, in its own pixels


class State(NamedTuple):
    """All that a run needs to go on, except its key and its configuration."""

    step: Array  # i32[]: steps taken
    params: Array
    stats: Array  # running statistics of batch norm
    opt: Array
    bad_step: Array  # i32[]: the first step whose loss or gradient was not finite, or -1
    ema: Array = None  # (params, stats), moving averages over the steps; None where the run has none


class Record(NamedTuple):
    """Record of one step; kept on the device until a log step."""

    loss: Array  # f32[]  the trimmed mean that was trained on
    nme: Array  # f32[]  mean NME over the examples that count
    grad_norm: Array  # f32[]
    lr: Array  # f32[]
    checksum: Array  # u32[]  of the rendered images and points
    each: Array  # f32[batch]
    kept: Array  # bool[batch]  false: trimmed, or without a label
