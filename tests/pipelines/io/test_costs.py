"""Seconds of the loader's threads, by what they did."""

import threading

import pytest

from pipelines.io import costs
from pipelines.io.costs import Costs


def test_seconds_an_image_by_kind_since_the_last_call(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(costs.time, "perf_counter", lambda: now[0])
    found = Costs()
    assert found.take() == {} and found.rate(2) is None
    for kind, seconds in (("read", 1.0), ("decode", 4.0), ("decode", 2.0)):
        with found.of(kind):
            now[0] += seconds
    with pytest.raises(ValueError), found.of("read"):
        now[0] += 1
        raise ValueError
    found.add_images(4)
    assert found.rate(2) == 2 * 4 / 8
    assert found.take() == {"read": 0.5, "decode": 1.5, "keep": 0, "place": 0}
    assert found.take() == {} and found.rate(2) is None


def test_threads_share_it():
    found = Costs()

    def work():
        for _ in range(500):
            with found.of("keep"):
                pass
            found.add_images(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert found._images == 2000 and set(found.take()) == set(costs.KINDS)
