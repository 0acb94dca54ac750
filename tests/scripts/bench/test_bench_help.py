"""Every file of scripts/bench tells in one line or by its --help what it is, in an environment without the peers too."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[3] / "scripts" / "bench"
COMMANDS = {"baseline", "damaged", "gpu", "mislabel", "review", "run"}


@pytest.mark.parametrize("name", sorted({p.stem for p in BENCH.glob("*.py")} - COMMANDS))
def test_a_part_of_a_command_says_whose_it_is(name):
    bare = [sys.executable, "-S", "-E", str(BENCH / f"{name}.py"), "--help"]  # -S: no site-packages
    done = subprocess.run(bare, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode and done.stdout == "" and done.stderr.count("\n") == 1, done.stderr
    assert f"{name}.py" in done.stderr and any(f" {owner}.py" in done.stderr for owner in COMMANDS)
