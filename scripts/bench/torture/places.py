"""Places that write: the calls in the source that create, change, rename or delete files.

They are found by the source alone, so that a new one cannot be forgotten: `run.py` fails until a scenario visits it, or
EXCEPTIONS names it with a reason.
"""

if __name__ == "__main__":
    raise SystemExit("places.py is a part of run.py, and does nothing by itself")

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[3]
TOPS = ("jaxmarks", "pipelines", "scripts")
_METHODS = {"write_bytes", "write_text", "rename", "unlink", "mkdir", "rmdir", "touch", "symlink_to", "hardlink_to"}
_FUNCTIONS = {  # by the module that they belong to; None: whatever stands before the dot
    "files": {"whole", "write_json", "write_sealed", "locked"},
    "os": {"rename", "replace", "remove", "unlink", "mkdir", "makedirs", "rmdir", "removedirs", "truncate", "ftruncate", "link",
           "symlink", "mkfifo", "write", "pwrite", "pwritev", "utime", "chmod", "fsync", "copy_file_range", "sendfile"},
    "shutil": {"rmtree", "move", "copy", "copy2", "copyfile", "copyfileobj", "copytree"},
    "tempfile": {"TemporaryFile", "NamedTemporaryFile", "TemporaryDirectory", "mkstemp", "mkdtemp"},
    "np": {"save", "savez", "savez_compressed", "savetxt", "memmap"},
    None: {"ArrayRecordWriter", "SummaryWriter", "save_pytree", "savefig", "imwrite", "write_metadata", "tofile"},
}  # fmt: skip
_NO_PATH = {"save", "savez", "savez_compressed", "savetxt", "savefig", "tofile"}  # take an open file as well
_FLAGS = {"O_CREAT", "O_WRONLY", "O_RDWR", "O_APPEND", "O_TRUNC"}

EXCEPTIONS = {
    "pipelines/io/failures.py:_keep:files.whole": "stores the traceback of a fault of this program: none may come up here",
    "scripts/audit.py:main:files.write_json": "comes after a minute of probes; the file is written as all others",
    "scripts/audit.py:main:files.whole": "the same",
    "scripts/compare.py:write:files.write_json": "comes after train.py and evaluate.py, which it starts with real networks",
    "scripts/compare.py:write:files.whole": "the same",
    "pipelines/evaluation/experiments.py:note:files.write_json": "the same",
    "pipelines/packing/pack.py:_locked:files.locked": "hands out the lock, which is taken in files.py",
    "pipelines/runs/run_folder.py:lock:files.locked": "the same",
    "pipelines/io/console.py:_discard_output:os.open": "opens /dev/null when the reader of the output has gone",
}


class Place(NamedTuple):
    """A call that writes."""

    name: str  # FILE:FUNCTION:CALL, with #2 for the second of a name
    file: str  # relative to the project
    first: int  # lines of the call
    last: int


def found(root: Path = ROOT) -> list[Place]:
    """Return the places of a project's packages, the benchmarks left out."""
    paths = [p for top in TOPS for p in sorted((root / top).rglob("*.py")) if "bench" not in p.parts]
    return [place for path in paths for place in of_source(path.read_text(), str(path.relative_to(root)))]


def of_source(text: str, file: str) -> list[Place]:
    """Return the places of one module."""
    counts, places = Counter(), []
    tree = ast.parse(text)
    for call, function in _calls(tree, "", _own(tree)):
        name = f"{file}:{function}:{_callee(call.func)}"
        counts[name] += 1
        name += f"#{counts[name]}" if counts[name] > 1 else ""
        places.append(Place(name, file, call.lineno, call.end_lineno or call.lineno))
    return places


def _own(tree: ast.Module) -> frozenset[str]:
    """Names that a module has without another's before them: those it imports, and its functions."""
    imported = {a.asname or a.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names}
    return frozenset(imported | {n.name for n in tree.body if isinstance(n, ast.FunctionDef)})


def _calls(
    node: ast.AST, function: str, own: frozenset[str], opened: frozenset[str] = frozenset()
) -> Iterator[tuple[ast.Call, str]]:
    """The calls that write, each with the function that it stands in. opened: names of files that a `with` opened."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        function = f"{function}.{node.name}".lstrip(".")
    if isinstance(node, ast.With):
        opened |= {i.optional_vars.id for i in node.items if isinstance(i.optional_vars, ast.Name)}
    if isinstance(node, ast.Call) and writes(node, own, opened):
        yield node, function
    for child in ast.iter_child_nodes(node):
        yield from _calls(child, function, own, opened)


def _callee(called: ast.expr) -> str:
    """The name of what is called, with the module before it where that is a plain name."""
    if isinstance(called, ast.Attribute):
        return f"{called.value.id}.{called.attr}" if isinstance(called.value, ast.Name) else called.attr
    return called.id if isinstance(called, ast.Name) else "?"


def writes(call: ast.Call, own: frozenset[str], opened: frozenset[str]) -> bool:
    """Return whether a call may write to a path; what is written into a file that is open already does not count."""
    before, _, name = _callee(call.func).rpartition(".")
    if name in ("open", "fdopen", "ZipFile"):
        return _opens_for_writing(call, before)
    if name in _NO_PATH and call.args and isinstance(call.args[0], ast.Name) and call.args[0].id in opened:
        return False
    if name == "replace":  # of a string or a dataclass it takes two arguments, or keywords
        return before == "os" or (len(call.args) == 1 and not call.keywords and before != "dataclasses")
    if isinstance(call.func, ast.Name):
        return name in own and any(name in names for names in _FUNCTIONS.values()) and name not in _COMMON
    return name in _METHODS or any(name in _FUNCTIONS.get(module, ()) for module in (None, before))


_COMMON = {"copy", "move", "link", "remove", "write", "save", "truncate"}  # without a module, names of much else


def _opens_for_writing(call: ast.Call, module: str) -> bool:
    if module == "os":
        return bool({n.attr for n in ast.walk(call) if isinstance(n, ast.Attribute)} & _FLAGS)
    modes = [k.value for k in call.keywords if k.arg == "mode"] or call.args[0 if _method(call, module) else 1 :][:1]
    constants = [m for m in modes if isinstance(m, ast.Constant) and isinstance(m.value, str)]
    if len(constants) < len(modes):
        return not module  # a mode that is computed
    return any(set(str(m.value)) & set("wax+") and set(str(m.value)) <= set("rwaxbt+") for m in constants)


def _method(call: ast.Call, module: str) -> bool:
    """Whether it is a path's own `open`, whose first argument is the mode."""
    return isinstance(call.func, ast.Attribute) and module not in {
        "os",
        "io",
        "gzip",
        "bz2",
        "lzma",
        "zipfile",
        "codecs",
    }
