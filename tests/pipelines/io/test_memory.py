"""Free memory as the system and the control group have it."""

import pytest

from pipelines.io import memory

GROUP = "/sys/fs/cgroup/memory."


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        ({"/proc/meminfo": "MemTotal: 9 kB\nMemAvailable:   3000 kB\n"}, 3000 * 1024),
        ({"/proc/meminfo": "MemAvailable: 3000 kB\n", f"{GROUP}max": "max\n", f"{GROUP}current": "5\n"}, 3000 * 1024),
        ({"/proc/meminfo": "MemAvailable: 3000 kB\n", f"{GROUP}max": "9000\n", f"{GROUP}current": "5000\n"}, 4000),
        ({f"{GROUP}max": "9000\n", f"{GROUP}current": "9500\n"}, 0),
    ],
)
def test_the_least_of_what_is_said(monkeypatch, texts, found):
    monkeypatch.setattr(memory, "_text", lambda path: texts.get(path, ""))
    assert memory.free() == found


def test_this_machine_says_something():
    assert 1 << 20 < memory.free() < 1 << 46
