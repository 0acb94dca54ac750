"""A strict house: four fake CPU devices, typed keys that may not be used twice, warnings are errors (pyproject.toml)."""

import os
import shutil
import tempfile
from pathlib import Path

os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["JAXMARKS_CACHE"] = tempfile.mkdtemp(prefix="jaxmarks-")  # for the tests, and the commands they start

import jax
import numpy as np
import pytest

jax.config.update("jax_debug_key_reuse", True)
jax.config.update("jax_legacy_prng_key", "error")

FACES68 = Path(__file__).parents[2] / "shared" / "faces68"


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
