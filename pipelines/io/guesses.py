"""Suggestions for mistyped flags and paths."""

import argparse
import difflib
import functools
import os
import urllib.parse
from collections.abc import Callable, Iterable
from pathlib import Path

_LIKE = 0.65  # of difflib: --modle is .83 like --model, --batch-size .74 like --batch


def flag(typed: str, actions: Iterable[argparse.Action]) -> str:
    """Return `: did you mean ...?` for a flag that does not exist, empty if no flag is similar.

    Searches similar names, then flags whose help has every word of the typed one: --learning-rate is --lr.
    """
    helps = {
        a.option_strings[-1]: a.help for a in actions if a.option_strings and a.help not in (None, argparse.SUPPRESS)
    }
    wanted = set(typed.strip("-").lower().replace("_", "-").split("-"))
    similar = [name for name, text in helps.items() if len(wanted) > 1 and wanted <= set(_words(text or ""))]
    return _asked(similar[:2] or difflib.get_close_matches(typed, helps, 1, _LIKE))


def word(typed: str, known: Iterable[str]) -> str:
    """Return `: did you mean ...?` for an unknown word, empty if no known one is like it."""
    return _asked(difflib.get_close_matches(typed, known, 1, _LIKE))


def _words(text: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in text.lower()).split()


def path(typed: Path, good: Callable[[Path], bool], *folders: str) -> str:
    """Return `: did you mean ...?` for a path that does not exist, empty if nothing suitable is near.

    good: predicate of suitable paths. folders: further places to search; `mine` is likely to be `runs/mine`.
    """
    if found := [p for p in (Path(folder) / typed for folder in folders) if good(p)]:
        return _asked(map(str, found[:1]))
    around = [typed.parent, *(Path(folder) for folder in folders if typed.parent == Path())]
    try:
        near = {p.name: p for folder in around if folder.is_dir() for p in sorted(folder.iterdir())[:10_000]}
        likely = difflib.get_close_matches(typed.name, near, 3, _LIKE)
        return _asked([str(near[name]) for name in likely if good(near[name])][:1])
    except OSError:  # a folder that is not ours to read
        return ""


def near_file(missing: Path) -> str:
    """Return `: there is NAME` for a file that does not exist, empty where its folder has none whose name differs by case,
    blanks, their percent encoding or a missing extension alone."""
    folder = missing.parent if os.path.isdir(missing.parent) else Path(urllib.parse.unquote(str(missing.parent)))
    names = (missing.name, urllib.parse.unquote(missing.name))
    try:
        near = _plainly(str(folder), folder.stat().st_mtime_ns)
    except OSError:
        return ""
    found = (near[_plain(name)] for name in names if _plain(name) in near)
    return next((f": there is {f}" for f in found if not missing.suffix or _plain(f) in map(_plain, names)), "")


@functools.lru_cache(maxsize=16)
def _plainly(folder: str, changed: int) -> dict[str, str]:
    """The files of a folder by their plain names; changed: when, so that it is read again where it was."""
    names = sorted(os.listdir(folder))
    return {_plain(os.path.splitext(name)[0]): name for name in names} | {_plain(name): name for name in names}


def _plain(name: str) -> str:
    return "".join(name.casefold().split())


def _asked(found: Iterable[str]) -> str:
    names = " or ".join(found)
    return f": did you mean {names}?" if names else ""
