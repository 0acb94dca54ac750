"""The public interface, walked: a key comes first, options are keyword-only, docstrings state arguments and shapes."""

import ast
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path

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


ROOT = Path(__file__).parents[1]
CALLED = ["example.py", "images/decode.py", "export", "inference", "loader.py", "open.py", "predictor.py", "shapes"]
PATHS = [ROOT / "jaxmarks", *(ROOT / "pipelines" / name for name in CALLED)]


def _stated() -> Iterator[tuple[str, tuple[ast.FunctionDef, str]]]:
    """Every function and method that a user calls, with its docstring; `__init__` with that of its class."""
    for path in (p for top in PATHS for p in (sorted(top.rglob("*.py")) if top.is_dir() else [top])):
        tree = ast.parse(path.read_text())
        for owner in (tree, *(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name[0] != "_")):
            for function in (n for n in owner.body if isinstance(n, ast.FunctionDef)):
                if function.name[0] != "_" or function.name == "__init__":
                    text = ast.get_docstring(owner if function.name == "__init__" else function)
                    name = f"{getattr(owner, 'name', '')}.{function.name}".removeprefix(".")
                    yield f"{path.relative_to(ROOT)}:{name}", (function, text or "")


STATED = dict(_stated())


@pytest.mark.parametrize("name", STATED)
def test_a_docstring_names_every_argument_and_says_what_comes_back(name):
    function, text = STATED[name]
    a, made = function.args, function.name == "__init__"
    arguments = [*a.posonlyargs, *a.args, *filter(None, [a.vararg]), *a.kwonlyargs, *filter(None, [a.kwarg])]
    names = [argument.arg for argument in arguments if argument.arg != "self"]
    args = re.search(r"^Args:\n((?: .*(?:\n|$))+)", text, re.MULTILINE)
    assert re.findall(r"^    (\w+): ", args[1] if args else "", re.MULTILINE) == names
    nothing = made or (function.returns is not None and ast.unparse(function.returns) == "None")
    assert not names or nothing or re.search(r"^(Returns|Yields):\n", text, re.MULTILINE)
    assert made or re.match(r"(?!What|How|Whether)\w", text)
