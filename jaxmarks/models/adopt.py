"""Initial weights from another run or file: the whole backbone, and heads that fit."""

import jax
import numpy as np

_Weights = tuple[dict, dict]  # (params, stats)


def _shapes(tree: dict | None) -> dict[str, tuple[int, ...]]:
    found = jax.tree_util.tree_leaves_with_path(tree or {})
    return {jax.tree_util.keystr(path, simple=True, separator="/"): np.shape(leaf) for path, leaf in found}


def adopt(fresh: _Weights, given: _Weights) -> tuple[_Weights, list[str]]:
    """Return weights that begin with given ones, and what a person should know of them.

    A head, and each layer of an auxiliary head, that is missing or of other shapes (another number of points) stays as
    drawn.

    Args:
        fresh: (params, stats) as drawn.
        given: (params, stats) to put in their place; the backbone must fit in every leaf.

    Returns:
        (params, stats), and a line for each part that starts anew.

    Raises:
        ValueError: for another backbone; it names the first leaf that does not fit.
    """
    for own, other in zip(fresh, given, strict=True):
        here, there = _shapes(own.get("backbone")), _shapes(other.get("backbone"))
        if changed := sorted(name for name in {*here, *there} if here.get(name) != there.get(name)):
            said = f"{changed[0]} is {there.get(changed[0], 'missing')} there, {here.get(changed[0], 'missing')} here"
            raise ValueError(f"the weights are another backbone's: {said}")
    notes: list[str] = []
    params, stats = ({**own, "backbone": other.get("backbone", {})} for own, other in zip(fresh, given, strict=True))
    stats = stats if fresh[1] else {}
    for name in (n for n in fresh[0] if n != "backbone"):
        layers = fresh[0][name] if name == "aux" else {"": fresh[0][name]}
        for layer in layers:
            path = [name, layer] if layer else [name]
            if all(
                _shapes(_at(own, path)) == _shapes(_at(other, path)) for own, other in zip(fresh, given, strict=True)
            ):
                params, stats = (
                    _put(t, path, _at(other, path)) for t, other in zip((params, stats), given, strict=True)
                )
            else:
                why = "is of another number of points" if _at(given[0], path) else "is not among the weights"
                notes.append(f"the {'/'.join(path)} {why}: it starts anew")
    return (params, stats), notes


def _at(tree: dict, path: list[str]) -> dict | None:
    for name in path:
        tree = tree.get(name, {})
    return tree or None


def _put(tree: dict, path: list[str], part: dict | None) -> dict:
    """A copy of the tree with `part` at the path; the tree itself where there is no part."""
    if part is None:
        return tree
    below = _put(tree.get(path[0], {}), path[1:], part) if path[1:] else part
    return {**tree, path[0]: below}
