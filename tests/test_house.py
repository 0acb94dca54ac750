"""The house: which module may import which, where tests lie, and what a public function must show."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from pipelines.io import flags

ROOT = Path(__file__).parents[1]
FILES = {p.relative_to(ROOT): p for top in ("jaxmarks", "pipelines", "scripts") for p in (ROOT / top).rglob("*.py")}
TREES = {path: ast.parse(file.read_text()) for path, file in sorted(FILES.items())}
MODULES = {".".join(p.with_suffix("").parts).removesuffix(".__init__"): p for p in TREES if p.parts[0] != "scripts"}

# Who imports whom goes downward: a module may import those of its own line and of the lines above it.
LAYERS = {
    "jaxmarks": [
        "affine backend choices data_sets keys landmarks processes types words",
        "image losses models",
        "transform",
        "augment",
        "config tta",
        "evaluation",
        "training",
        "inference",
        "evaluation.summary experiment",
        "training.session",
    ],
    "pipelines": [
        "io",
        "example",
        "images synthetic weights",
        "shapes sources",
        "label_checks",
        "packing",
        "open",
        "packing.cache loader reports",
        "runs",
        "inference",
        "predictor",
        "inference.overlays inference.results evaluation label_review export",
        "certificate",
    ],
}


def _imported(tree: ast.Module) -> set[str]:
    """All names that a module imports, wherever in it."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


IMPORTED = {path: _imported(tree) for path, tree in TREES.items()}
TOPS = {path: {name.split(".")[0] for name in names} for path, names in IMPORTED.items()}


def _own(path: Path) -> set[str]:
    """The modules of ours that a module imports; of a package its `__init__` only where nothing else of it is meant."""
    found = {name for name in IMPORTED[path] if name in MODULES}
    return {name for name in found if not any(other.startswith(f"{name}.") for other in found)}


def _layer(module: str) -> int:
    top, _, rest = module.partition(".")
    fitting = [
        (len(prefix), place)
        for place, line in enumerate(LAYERS[top])
        for prefix in line.split()
        if rest == prefix or rest.startswith(f"{prefix}.")
    ]
    assert fitting or not rest, f"{module} has no layer"
    return max(fitting)[1] if fitting else 0


def test_imports_go_one_way():
    for module, path in MODULES.items():
        for name in _own(path):
            if name.split(".")[0] == module.split(".")[0]:
                assert _layer(name) <= _layer(module) or not module.count("."), f"{module} imports {name}"
            else:
                assert module.startswith("pipelines"), f"{module} imports {name}"
    assert all("scripts" not in TOPS[path] for path in MODULES.values())


def test_no_import_cycle_even_inside_functions():
    TopologicalSorter({module: _own(path) - {module} for module, path in MODULES.items()}).prepare()


def test_the_core_knows_no_files_and_pipelines_no_optimizer():
    for module, path in MODULES.items():
        outside = (
            {"cv2", "grain", "tensorflow_datasets", "array_record"}
            if module.startswith("jaxmarks")
            else {"flax", "optax"}
        )
        assert not TOPS[path] & outside, module
        assert "pickle" not in TOPS[path] and ("torch" not in TOPS[path] or module == "pipelines.certificate.peers")
    writers = {f"jaxmarks.training.{name}" for name in ("checkpoint", "log", "session", "loop")}
    users = {
        path.name for module, path in MODULES.items() if module.startswith("pipelines") and IMPORTED[path] & writers
    }
    assert users == {"restore.py"}


@pytest.mark.parametrize(
    ("package", "home"),
    [
        ("orbax", "jaxmarks/training/checkpoint.py"),
        ("tensorboardX", "jaxmarks/training/log.py"),
        ("grain", "pipelines/loader.py"),
        ("tensorflow_datasets", "pipelines/packing/dataset.py"),
        ("imagehash", "pipelines/images/duplicates.py"),
        ("matplotlib", "pipelines/reports/plots.py"),
        ("jinja2", "pipelines/reports/html.py"),
        ("safetensors", "pipelines/weights/state_dicts.py"),
        ("pillow_heif", "pipelines/images/heic.py"),
        ("yaml", "pipelines/sources/formats/yolo_config.py"),
        ("h5py", "pipelines/sources/formats/sleap.py"),
    ],
)
def test_a_library_has_one_file(package, home):
    assert {str(path) for path in TREES if package in TOPS[path]} == {home}


def test_flax_stays_in_its_folder():
    users = {path for path in TREES if "flax" in TOPS[path]}
    assert users and all(path.parent.name == "models" for path in users)


def test_a_package_has_few_entries():
    for top in ("jaxmarks", "pipelines"):
        entries = [p.name for p in (ROOT / top).iterdir() if p.name not in ("__init__.py", "__pycache__", "py.typed")]
        assert len(entries) <= 20, sorted(entries)


def test_nothing_below_scripts_prints():
    for module, path in MODULES.items():
        calls = [n.func.id for n in ast.walk(TREES[path]) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
        assert "print" not in calls or module == "pipelines.io.console", module


DEFINE_FLAGS = {
    "jaxmarks.backend",  # of XLA
    "pipelines.evaluation.experiments",  # makes command lines
    "pipelines.inference.prediction_flags",
    "pipelines.io.console",
    "pipelines.io.distributed",
}


def _strings(node: ast.AST) -> list[str]:
    """The source of each string that is not a docstring, an f-string whole."""
    if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        return [ast.unparse(node)]
    inner = list(ast.iter_child_nodes(node))
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
        inner.remove(node.body[0])
    return [text for child in inner for text in _strings(child)]


def test_messages_below_scripts_name_fields_and_flags_only_behind_a_command():
    for module, path in MODULES.items():
        for text in _strings(TREES[path]):
            alone = re.sub(r"\w+\.py [^;)]*", "", text)
            assert module in DEFINE_FLAGS or not re.search(r"(?<!\w)--[a-z]", alone), f"{module}: {text}"
            unknown = set(re.findall(r"`(\w+)`", text)) - set(flags.TABLE)
            assert unknown <= {"prediction"}, f"{module}: {unknown} is no field that a flag is known for"


def test_tests_lie_where_what_they_test_lies():
    for path in (ROOT / "tests").rglob("test_*.py"):
        folder = path.parent.relative_to(ROOT / "tests")
        assert (ROOT / folder).is_dir(), f"{path}: no folder {folder}"


def test_public_functions_and_modules_say_what_they_do():
    for path, tree in TREES.items():
        assert ast.get_docstring(tree), path
        if path.parts[0] != "scripts":
            public = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name[0] != "_"]
            assert all(ast.get_docstring(n) for n in public), (
                path,
                [n.name for n in public if not ast.get_docstring(n)],
            )
