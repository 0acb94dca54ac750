"""The public interface, walked: a key comes first, options are keyword-only, docstrings state shapes."""

import importlib
import inspect
import re
from collections.abc import Callable, Iterator

import pytest

from pipelines import predictor

PURE = ("affine", "augment", "image", "keys", "landmarks", "losses", "models", "transform", "tta")
SHAPE = re.compile(r"\[[^\]]*\]|pytree|\bkey\b")  # f32[batch, points, 2], [..., 2], [views]
OPTION = (bool, int, float, str)


def _public(module) -> Iterator[tuple[str, Callable]]:
    for name, value in vars(module).items():
        own = inspect.isfunction(value) and value.__module__.startswith(module.__name__)
        if own and name[0] != "_":
            yield f"{module.__name__}.{name}", value


FUNCTIONS = dict(f for name in PURE for f in _public(importlib.import_module(f"jaxmarks.{name}")))
FUNCTIONS |= {"predictor.load": predictor.load, "predictor.Predictor.predict": predictor.Predictor.predict}


def _parameters(function: Callable) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_key_comes_first(name):
    assert "key" not in [p.name for p in _parameters(FUNCTIONS[name])][1:]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_option_is_given_by_its_name(name):
    """Arrays that may be left out, as a mask, have a place; settings with a default have none."""
    for p in _parameters(FUNCTIONS[name]):
        assert not (type(p.default) in OPTION and p.kind is p.POSITIONAL_OR_KEYWORD), f"{name}({p})"


def _takes_or_gives_arrays(function: Callable) -> bool:
    told = [str(p.annotation) for p in _parameters(function)] + [str(inspect.signature(function).return_annotation)]
    return any("Array" in text or "ndarray" in text for text in told)


@pytest.mark.parametrize("name", [n for n, f in FUNCTIONS.items() if _takes_or_gives_arrays(f)])
def test_a_docstring_states_the_shapes(name):
    assert SHAPE.search(inspect.getdoc(FUNCTIONS[name]) or ""), inspect.getdoc(FUNCTIONS[name])
