"""What is chosen for the backend changes the speed, not the values."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from jaxmarks import backend, models

pytestmark = pytest.mark.bits


@pytest.fixture
def unknown(monkeypatch):
    monkeypatch.setattr(backend, "_OPTIONS", {"xla_an_option_of_another_version": "1"})
    backend.compiler_options.cache_clear()
    yield
    backend.compiler_options.cache_clear()


def test_an_option_that_this_xla_does_not_know_is_left_out(unknown):
    assert backend.compiler_options() == {}


@pytest.mark.slow
def test_a_network_is_the_same_compiled_with_the_options(random):
    model = models.build("resnet18", 5)
    folded = model.fold(*jax.jit(model.init, static_argnums=1)(jax.random.key(0), 64))
    image = random.uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    found, plain = (jax.jit(model.predict, compiler_options=o)(folded, image) for o in (backend.compiler_options(), {}))
    assert np.abs(found - plain).max() <= 1e-5 * np.abs(plain).max()


def test_memory_is_released_after_a_long_compilation_alone(monkeypatch):
    released, listeners = [], []
    monkeypatch.setattr(backend.ctypes, "CDLL", lambda _: SimpleNamespace(malloc_trim=released.append))
    monkeypatch.setattr(jax.monitoring, "register_event_duration_secs_listener", listeners.append)
    backend.release_after_compilation.__wrapped__()
    (tell,) = listeners
    tell("/jax/core/compile/backend_compile_duration", 0.9)
    tell("/jax/core/compile/jaxpr_trace_duration", 5.0)
    assert not released
    tell("/jax/core/compile/backend_compile_duration", 5.0, fun_name="step")
    assert released == [0]


def test_where_the_c_library_cannot_release_memory_nothing_happens(monkeypatch):
    monkeypatch.setattr(backend.ctypes, "CDLL", lambda _: SimpleNamespace())
    monkeypatch.setattr(jax.monitoring, "register_event_duration_secs_listener", lambda _: pytest.fail("registered"))
    backend.release_after_compilation.__wrapped__()
