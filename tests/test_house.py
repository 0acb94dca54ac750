"""The house: which room may import which, and what a public function must show."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(p for room in ("jaxmarks", "pipelines", "scripts") for p in (ROOT / room).rglob("*.py"))


def _imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ([node.module] + [f"{node.module}.{alias.name}" for alias in node.names])


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_keep_the_direction(path):
    room, names = path.relative_to(ROOT).parts[0], set(_imports(path))
    tops = {name.split(".")[0] for name in names}
    if room == "jaxmarks":
        assert not tops & {"pipelines", "scripts", "cv2", "grain", "tensorflow_datasets", "array_record"}
    if room == "pipelines":
        assert not tops & {"scripts", "flax", "optax"}
        writers = {"jaxmarks.checkpoint", "jaxmarks.runlog", "jaxmarks.session", "jaxmarks.train"}
        assert not names & writers or path.name == "trained.py"
    assert "pickle" not in tops and ("torch" not in tops or path.parent.name in ("bench", "probes"))


@pytest.mark.parametrize(
    ("package", "home"),
    [
        ("orbax", "jaxmarks/checkpoint.py"),
        ("tensorboardX", "jaxmarks/runlog.py"),
        ("grain", "pipelines/loader.py"),
        ("tensorflow_datasets", "pipelines/dataset.py"),
        ("imagehash", "pipelines/duplicates.py"),
        ("matplotlib", "pipelines/pages/plots.py"),
        ("safetensors", "pipelines/pretrained.py"),
        ("pillow_heif", "pipelines/heic.py"),
    ],
)
def test_a_library_has_one_file(package, home):
    users = {str(p.relative_to(ROOT)) for p in FILES if package in {n.split(".")[0] for n in _imports(p)}}
    assert users == {home}


def test_flax_stays_in_its_folder():
    users = {p for p in FILES if "flax" in {n.split(".")[0] for n in _imports(p)}}
    assert users and all(p.parent.name == "models" for p in users)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_public_functions_and_modules_say_what_they_do(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    if path.relative_to(ROOT).parts[0] == "scripts":
        return
    public = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_")]
    assert all(ast.get_docstring(n) for n in public), [n.name for n in public if not ast.get_docstring(n)]
