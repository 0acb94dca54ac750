"""What the package declares, what its wheel holds, and the one command that stands for all."""

import ast
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]

# A module whose distribution has another name.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "google": "protobuf",
    "orbax": "orbax-checkpoint",
    "pillow_heif": "pillow-heif",
    "tensorflow_datasets": "tensorflow-datasets",
    "yaml": "pyyaml",
}
UNIMPORTED = {"flatbuffers", "importlib-resources"}  # what jax.export and tensorflow-datasets import
SCRIPTS = sorted(path.stem for path in (ROOT / "scripts").glob("[!_]*.py"))


def _name(requirement: str) -> str:
    return re.split(r"[\[<>=~!; ]", requirement)[0].lower().replace("_", "-")


def _imported(*tops: str) -> set[str]:
    """Distributions of all that the files of these folders import, wherever in them; benches bring their own."""
    files = [p for top in tops for p in (ROOT / top).rglob("*.py") if "bench" not in p.parts]
    nodes = [node for path in files for node in ast.walk(ast.parse(path.read_text()))]
    names = {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names}
    names |= {n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module and not n.level}
    tops_of = {name.split(".")[0] for name in names} - set(sys.stdlib_module_names)
    return {
        DISTRIBUTIONS.get(top, top).lower().replace("_", "-") for top in tops_of - {"jaxmarks", "pipelines", "tests"}
    }


@pytest.mark.slow
def test_what_is_imported_is_declared_and_nothing_else():
    declared, optional = ({_name(r) for r in group} for group in (PROJECT["dependencies"], sum(EXTRAS.values(), [])))
    imported = _imported("jaxmarks", "pipelines", "scripts")
    assert imported <= declared | optional
    assert declared <= imported | UNIMPORTED
    assert _imported("tests") <= declared | optional


def test_an_optional_library_is_imported_inside_a_function():
    optional = {_name(r) for group in EXTRAS.values() for r in group} - {_name(r) for r in PROJECT["dependencies"]}
    for path in [p for top in ("jaxmarks", "pipelines", "scripts") for p in (ROOT / top).glob("**/*.py")]:
        if "bench" in path.parts:
            continue
        for node in ast.parse(path.read_text()).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found = {DISTRIBUTIONS.get(n.split(".")[0], n.split(".")[0]) for n in names} & optional
            assert not found, f"{path} needs {found}"


def test_requirements_are_the_dependencies():
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and line[0] != "#"]
    assert lines == [*PROJECT["dependencies"], "-e ."]


def test_a_dependency_ends_where_its_next_major_version_begins():
    free = {
        "pillow",
        "protobuf",
        "flatbuffers",
        "importlib-resources",
    }  # versions that are dates, or rise for small things
    assert all("<" in r or "==" in r for r in PROJECT["dependencies"] if _name(r) not in free)


def test_the_installed_version_is_the_modules():
    import jaxmarks

    assert jaxmarks.__version__ == importlib.metadata.version("jaxmarks")


def _said(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "scripts", *arguments], cwd=ROOT, capture_output=True, text=True)


def test_one_command_lists_all_with_a_line_each():
    lines = _said("--help").stdout.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("    ")] == SCRIPTS
    assert all(len(line.split()) > 3 for line in lines if line.startswith("    "))


def test_a_command_by_name_is_the_script():
    by_name, script = _said("train", "--help"), [sys.executable, "scripts/train.py", "--help"]
    by_path = subprocess.run(script, cwd=ROOT, capture_output=True, text=True)
    assert "jaxmarks train --data PATH" in by_name.stdout and "scripts/" not in by_name.stdout
    assert "python scripts/train.py --data PATH" in by_path.stdout
    flags = [set(re.findall(r"--[a-z-]+", done.stdout)) for done in (by_name, by_path)]
    assert flags[0] == flags[1]


@pytest.mark.slow
def test_an_error_of_a_command_by_name_is_one_line():
    done = _said("train", "--data", "drawn:none")
    assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize(("typed", "meant"), [("trian", "train"), ("find-lr", "find_lr"), ("zzz", "")])
def test_an_unknown_command_is_an_error_with_a_guess(typed, meant):
    done = _said(typed)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert ("did you mean" in done.stderr) == bool(meant) and meant in done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel of a copy of the project: what an earlier one left in build/ would be packed as well."""
    root = tmp_path_factory.mktemp("wheel")
    for top in ("jaxmarks", "pipelines", "scripts"):
        shutil.copytree(ROOT / top, root / "source" / top, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, root / "source" / name)
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", root, root / "source"]
    subprocess.run(list(map(str, pip)), check=True, capture_output=True)
    return next(root.glob("jaxmarks-*.whl"))


@pytest.mark.slow
def test_a_wheel_holds_every_module_command_and_file_that_is_read(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    files = {p.relative_to(ROOT) for top in ("jaxmarks", "pipelines") for p in (ROOT / top).rglob("*") if p.is_file()}
    wanted = {str(path) for path in files if "__pycache__" not in path.parts}
    wanted |= {f"jaxmarks_commands/{path.name}" for path in (ROOT / "scripts").glob("*.py")}
    assert wanted == {name for name in held if ".dist-info/" not in name}
    assert {f"{top}/py.typed" for top in ("jaxmarks", "pipelines")} <= held


@pytest.mark.slow
def test_a_wheel_trains_evaluates_and_predicts_from_an_empty_folder(wheel, tmp_path):
    site, here = tmp_path / "site", tmp_path / "here"
    here.mkdir()
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(pip, check=True, capture_output=True)
    known = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"} | {"PYTHONPATH": str(site)}

    def said(*arguments: object) -> str:
        command = [sys.executable, str(site / "bin/jaxmarks"), *map(str, arguments)]
        done = subprocess.run(command, cwd=here, env=known, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert all(f"    {name} " in said("--help") for name in SCRIPTS)
    small = ("--model", "resnet18", "--size", 32, "--batch", 8, "--steps", 2)
    assert "jaxmarks evaluate --run runs/one" in said("train", "--data", "drawn:64:5", "--name", "one", *small)
    said("evaluate", "--run", "runs/one", "--data", "drawn:8:5", "--out", "scores.json")
    said("predict", "--run", "runs/one", "--data", "drawn:8:5", "--out", "points.csv")
    assert (here / "scores.json").exists() and (here / "points.csv").exists()
