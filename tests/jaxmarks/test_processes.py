"""Two processes on this machine: what they gather, agree on, and how one that fails makes the other fail."""

import socket
import subprocess
import sys

import numpy as np
import pytest

from jaxmarks import processes

PROGRAM = """
import sys
import numpy as np
from jaxmarks import processes

index = int(sys.argv[2])
processes.start(sys.argv[1], 2, index, lost_after=20)
assert (processes.count(), processes.index(), processes.is_first()) == (2, index, index == 0)
assert processes.gather(b"x" * index) == [b"", b"x"]
assert processes.agree(3 * index) == 3
assert [list(processes.share(n)) for n in (1, 5)] == ([[], [0, 1]] if index == 0 else [[0], [2, 3, 4]])
[(only,)] = processes.gather_arrays([np.arange(3.0)] if index else None)
assert only.tolist() == [0, 1, 2] and only.dtype == np.float64
assert processes.gather_lines([f"line of {index}", "both"]) == ["both", "line of 0", "line of 1"]
assert processes.on_this_host() == 2
assert processes.first_then(lambda: index) == index
assert processes.in_first(lambda: "done") == (None if index else "done")
processes.same("the data", "equal")
try:
    processes.same("the data", str(index))
except ValueError as error:
    assert "the data of process 1 is not that of process 0" in str(error)
else:
    raise AssertionError

def fails():
    if index:
        raise OSError("no room")

try:
    processes.together(fails)
except ValueError as error:
    assert index == 0 and str(error) == "process 1 of 2: no room"
except OSError as error:
    assert index == 1 and str(error) == "no room"
else:
    raise AssertionError
print("well")
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_two_processes_gather_agree_and_fail_together():
    address = f"127.0.0.1:{free_port()}"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, address, str(n)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for n in range(2)
    ]
    for process in started:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0 and out.endswith("well\n"), err  # Gloo prints lines of its own before


def test_one_process_agrees_with_itself_and_sends_nothing():
    assert (processes.count(), processes.index(), processes.is_first()) == (1, 0, True)
    assert processes.gather(b"data") == [b"data"] and processes.agree(2) == 2
    assert processes.share(7) == range(7)
    assert [a.tolist() for (a,) in processes.gather_arrays([np.arange(2)])] == [[0, 1]]
    assert processes.gather_arrays(None) == []
    assert processes.first_then(lambda: 5) == processes.in_first(lambda: 5) == 5
    with pytest.raises(ValueError, match="own words"):
        processes.together(lambda: int("own words"))


@pytest.mark.parametrize(
    ("coordinator", "count", "index", "said"),
    [
        ("", 2, 0, "expected HOST:PORT"),
        ("node0", 2, 0, "expected HOST:PORT"),
        ("node0:99999", 2, 0, "expected HOST:PORT"),
        ("node0:1234", 2, 2, "expected 0 to 1"),
        ("node0:1234", 0, -1, "expected 0 to 0"),
    ],
)
def test_flags_that_do_not_fit_are_named(coordinator, count, index, said):
    with pytest.raises(ValueError, match=said):
        processes.start(coordinator, count, index)


def test_the_scheduler_is_recognised_by_what_srun_and_mpirun_set(monkeypatch):
    for name in ("SLURM_STEP_NODELIST", "SLURM_PROCID", "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert processes.scheduled() == 1
    monkeypatch.setenv("SLURM_NTASKS", "4")
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert processes.scheduled() == 1  # the script of sbatch itself
    monkeypatch.setenv("SLURM_STEP_NODELIST", "node[0-3]")
    assert processes.scheduled() == 4
    monkeypatch.delenv("SLURM_STEP_NODELIST")
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    assert processes.scheduled() == 2
