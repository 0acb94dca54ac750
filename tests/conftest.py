"""A strict house: four fake CPU devices, typed keys that may not be used twice, no broadcasting to more axes, warnings are
errors (pyproject.toml)."""

import os
import shutil
import tempfile
import time
from pathlib import Path

from pipelines.io import compilation

os.environ["JAXMARKS_CACHE"] = tempfile.mkdtemp(prefix="jaxmarks-")  # for the tests, and the commands they start
if "PYTEST_XDIST_WORKER" not in os.environ:  # a worker inherits these
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    # Half of the suite's time is compiling. What is not about bits or numbers (mark `bits`) may run as code that compiles
    # in half the time; the Makefile asks for that.
    if os.environ.get("JAXMARKS_TESTS") == "light":
        os.environ["XLA_FLAGS"] += " --xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
    # What one test compiled another need not, nor a command that a test starts, nor the suite when it is run again.
    _KEPT = Path(__file__).parents[1] / "build" / "tests" / os.environ.get("JAXMARKS_TESTS", "bits")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(_KEPT / compilation.folder().name)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"
    for _path in _KEPT.rglob("*-*"):  # of jaxmarks that is long gone
        if _path.is_file() and time.time() - _path.stat().st_mtime > 7 * 86400:
            _path.unlink(missing_ok=True)

import jax
import numpy as np
import pytest

jax.config.update("jax_debug_key_reuse", True)
jax.config.update("jax_legacy_prng_key", "error")
jax.config.update("jax_numpy_rank_promotion", "raise")  # an axis that broadcasts is written

pytest.register_assert_rewrite("tests.commands")
from tests.commands import command, rejected, trained  # noqa: E402, F401  fixtures

FACES68 = Path(__file__).parents[2] / "shared" / "faces68"


# Files that take minutes, the longest first: begun last, one would keep one of two workers waiting for the other.
LONG = [
    "geometry",
    "killed",
    "gpu_bench",
    "inception",
    "precision",
    "devices",
    "step",
    "scripts",
    "cache",
    "predictor",
]


@pytest.hookimpl(tryfirst=True)  # before what is marked is chosen
def pytest_collection_modifyitems(items: list[pytest.Item]):
    for item in items:
        if "trained" in getattr(item, "fixturenames", ()):  # a training by its command takes a minute in each worker
            item.add_marker("slow")
    rank = {f"test_{name}": place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(LONG)))


def pytest_sessionfinish():
    shutil.rmtree(os.environ["JAXMARKS_CACHE"], ignore_errors=True)


@pytest.fixture(scope="session")
def faces68() -> Path:
    """The real faces, which are not part of the project."""
    if not FACES68.is_dir():
        pytest.skip("no folder of real faces beside the project")
    return FACES68


@pytest.fixture
def random() -> np.random.RandomState:
    return np.random.RandomState(0)


@pytest.fixture(scope="module", autouse=True)
def forget_what_was_compiled():
    """Compiled steps of real networks hold gigabytes by the end of the suite; what is needed again is read from the cache."""
    yield
    jax.clear_caches()
