"""ONNX graph of a network from its jaxpr, with a node for each of the dozen operations of our backbones.

Images of four axes are NHWC in JAX and stored NCHW here, as ONNX's convolutions want them: axes are translated on the
way, and one transposition is left, the input's. What depends on no input is computed here and now. No converter of JAX's
at hand does: jax2onnx wants an older orbax than ours, and half a dozen packages that have nothing to do with it.
"""

import importlib
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import jax
import numpy as np
from jax.extend import core

_STORED = (0, 3, 1, 2)  # the axis of NHWC that each stored one is
_PLACE = (0, 2, 3, 1)  # where each axis of NHWC is stored
OPSET, _IR = 17, 8  # of 2022: what any runtime of today reads
_ELEMENTWISE = {"add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div"}

Value = str | np.ndarray  # a tensor's name; or a constant, in JAX's axes


def package(name: str) -> ModuleType:
    """Return a package by its name.

    Args:
        name: onnx or onnxruntime.

    Returns:
        the module.

    Raises:
        ValueError: where it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ValueError(f"`format` onnx needs {name}: pip install onnx onnxruntime") from None


def build(function: Callable, shape: tuple[int, int, int], dtype: str, batch: int | None) -> bytes:
    """Return the ONNX model of a function, from `image` to `points`.

    Args:
        function: of images [batch, *shape] in one array out, batch first.
        shape: of an image, (rows, columns, 3).
        dtype: of the images.
        batch: images of a call; None for any.

    Returns:
        the file.

    Raises:
        ValueError: for an operation that has no node here, or where onnx is not installed.
    """
    onnx = package("onnx")
    closed = jax.make_jaxpr(function)(jax.ShapeDtypeStruct((1, *shape), dtype))
    graph = _Graph(onnx)
    (points,) = graph.run(closed.jaxpr, closed.consts, [graph.add("Transpose", ["image"], perm=list(_STORED))])
    graph.add("Identity", [graph.named(points)], output="points")
    kind, rows = onnx.helper.np_dtype_to_tensor_dtype, "batch" if batch is None else batch
    made = onnx.helper.make_graph(
        graph.nodes,
        "landmarks",
        [onnx.helper.make_tensor_value_info("image", kind(np.dtype(dtype)), [rows, *shape])],
        [
            onnx.helper.make_tensor_value_info(
                "points", kind(np.dtype(np.float32)), [rows, *closed.out_avals[0].shape[1:]]
            )
        ],
        graph.constants,
    )
    model = onnx.helper.make_model(
        made, producer_name="jaxmarks", ir_version=_IR, opset_imports=[onnx.helper.make_opsetid("", OPSET)]
    )
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def reader(data: bytes) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function of a model, by onnxruntime on the CPU.

    Args:
        data: the file.

    Returns:
        function(images) -> points.

    Raises:
        ValueError: where onnxruntime is not installed.
    """
    session = package("onnxruntime").InferenceSession(data, providers=["CPUExecutionProvider"])
    return lambda image: session.run(["points"], {"image": image})[0]


class _Graph:
    """Nodes and constants, in the order in which they were added."""

    def __init__(self, onnx: ModuleType):
        self._onnx, self.nodes, self.constants = onnx, [], []

    def add(self, kind: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        """A node; gives the name of what comes out."""
        output = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(self._onnx.helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, value: np.ndarray) -> str:
        """A constant as it is."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(self._onnx.numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def named(self, value: Value) -> str:
        """A tensor's name; a constant is stored, of four axes as images are."""
        if isinstance(value, str):
            return value
        return self.constant(value.transpose(_STORED) if value.ndim == 4 else value)

    def run(self, jaxpr: core.Jaxpr, constants: Sequence[Any], inputs: Sequence[Value]) -> list[Value]:
        """What comes out of a jaxpr, its nodes added."""
        known: dict[Any, Value] = dict(zip(jaxpr.constvars, map(np.asarray, constants), strict=True))
        known.update(zip(jaxpr.invars, inputs, strict=True))

        def value(variable: Any) -> Value:
            return np.asarray(variable.val) if isinstance(variable, core.Literal) else known[variable]

        for equation in jaxpr.eqns:
            arguments = [value(v) for v in equation.invars]
            known.update(zip(equation.outvars, self._step(equation, arguments), strict=True))
        return [value(v) for v in jaxpr.outvars]

    def _step(self, equation: core.JaxprEqn, inputs: list[Value]) -> Sequence[Value]:
        name, params = equation.primitive.name, equation.params
        inner = params.get("jaxpr", params.get("call_jaxpr"))
        if inner is not None:
            return self.run(inner.jaxpr, inner.consts, inputs)
        if all(isinstance(v, np.ndarray) for v in inputs):
            return [np.asarray(equation.primitive.bind(*inputs, **params))]
        if name in _ELEMENTWISE:
            return [self.add(_ELEMENTWISE[name], [self.named(v) for v in inputs])]
        if name not in _RULES:
            raise ValueError(f"`format` onnx: no ONNX node is known for {name}; `format` stablehlo takes any network")
        return [_RULES[name](self, equation, inputs)]


def _cast(graph: _Graph, equation: core.JaxprEqn, inputs: list) -> str:
    kind = graph._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(equation.params["new_dtype"]))
    return graph.add("Cast", inputs, to=kind)


def _max(graph: _Graph, equation: core.JaxprEqn, inputs: list) -> str:
    """ReLU where it is one: runtimes know how to join that to a convolution."""
    tensors, zeros = [v for v in inputs if isinstance(v, str)], [v for v in inputs if not isinstance(v, str)]
    if len(tensors) == 1 and not np.any(zeros[0]):
        return graph.add("Relu", tensors)
    return graph.add("Max", [graph.named(v) for v in inputs])


def _window(padding: Sequence[tuple[int, int]], sides: Sequence[int], strides: Sequence[int]) -> dict[str, Any]:
    """ONNX's attributes of a window over rows and columns."""
    (top, bottom), (left, right) = padding
    return {"pads": [top, left, bottom, right], "kernel_shape": list(sides), "strides": list(strides)}


def _convolution(graph: _Graph, equation: core.JaxprEqn, inputs: list) -> str:
    params, (x, kernel) = equation.params, inputs
    _expect(
        equation, {"lhs_dilation": (1, 1), "rhs_dilation": (1, 1), "feature_group_count": 1, "batch_group_count": 1}
    )
    if tuple(params["dimension_numbers"]) != ((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2)):
        raise ValueError(f"`format` onnx: a convolution of other axes, {params['dimension_numbers']}")
    window = _window(params["padding"], kernel.shape[:2], params["window_strides"])
    return graph.add("Conv", [x, graph.constant(kernel.transpose(3, 2, 0, 1))], **window)


def _max_pool(graph: _Graph, equation: core.JaxprEqn, inputs: list) -> str:
    p = equation.params
    _expect(equation, {"base_dilation": (1,) * 4, "window_dilation": (1,) * 4})
    window = _window(p["padding"][1:3], p["window_dimensions"][1:3], p["window_strides"][1:3])
    return graph.add("MaxPool", inputs, **window)


def _sum(graph: _Graph, equation: core.JaxprEqn, inputs: list) -> str:
    _expect(equation, {"axes": (1, 2)})  # rows and columns: what is left is in the same order in both
    return graph.add("ReduceSum", [*inputs, graph.constant(np.array([2, 3]))], keepdims=0)


def _product(graph: _Graph, equation: core.JaxprEqn, inputs: list) -> str:
    _expect(equation, {"dimension_numbers": (((1,), (0,)), ((), ()))})
    return graph.add("MatMul", [graph.named(v) for v in inputs])


def _reshape(graph: _Graph, equation: core.JaxprEqn, inputs: list) -> str:
    """After the mean over positions; 0 keeps the batch, whatever it is."""
    before, after = _shape(equation.invars[0]), _shape(equation.outvars[0])
    if 4 in (len(before), len(after)) or before[0] != after[0]:
        raise ValueError(f"`format` onnx: no reshaping of {before} to {after}")
    return graph.add("Reshape", [*inputs, graph.constant(np.array([0, *after[1:]]))])


def _pad(graph: _Graph, equation: core.JaxprEqn, inputs: list) -> str:
    low, high, _ = zip(*(equation.params["padding_config"][axis] for axis in _STORED), strict=True)
    x, value = inputs
    return graph.add("Pad", [x, graph.constant(np.array([*low, *high])), graph.constant(value)])


def _slice(graph: _Graph, equation: core.JaxprEqn, inputs: list) -> str:
    p, shape = equation.params, _shape(equation.invars[0])
    steps = p["strides"] or (1,) * 4
    cut = [a for a in range(4) if (p["start_indices"][a], p["limit_indices"][a], steps[a]) != (0, shape[a], 1)]
    rows = [[p["start_indices"][a], p["limit_indices"][a], _PLACE[a], steps[a]] for a in cut]
    return graph.add("Slice", [*inputs, *(graph.constant(np.array(column)) for column in zip(*rows, strict=True))])


def _join(graph: _Graph, equation: core.JaxprEqn, inputs: list) -> str:
    return graph.add("Concat", [graph.named(v) for v in inputs], axis=_PLACE[equation.params["dimension"]])


def _shape(variable: Any) -> tuple[Any, ...]:
    return variable.aval.shape


def _expect(equation: core.JaxprEqn, wanted: dict[str, Any]) -> None:
    for name, value in wanted.items():
        found = equation.params[name]
        if found != value:
            raise ValueError(f"`format` onnx: {equation.primitive.name} with {name} {found}, expected {value}")


_RULES: dict[str, Callable[[_Graph, core.JaxprEqn, list], str]] = {
    "concatenate": _join,
    "conv_general_dilated": _convolution,
    "convert_element_type": _cast,
    "dot_general": _product,
    "max": _max,
    "pad": _pad,
    "reduce_sum": _sum,
    "reduce_window_max": _max_pool,
    "reshape": _reshape,
    "slice": _slice,
}
