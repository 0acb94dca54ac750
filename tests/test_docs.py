"""The examples of docs/jax.md run, from top to bottom, and give what the page says of them; tables name what there is."""

import re
from pathlib import Path

import numpy as np
import pytest

from jaxmarks import choices

PAGE = Path(__file__).parents[1] / "docs" / "jax.md"


def test_every_format_has_a_row_in_its_page():
    rows = re.findall(r"^\| `(\w+)` \|", PAGE.with_name("formats.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(choices.FORMATS)


@pytest.mark.slow
def test_every_example_for_users_of_jax_runs_and_gives_what_is_said():
    known: dict = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), known)
    assert known["pixels"].shape == (64, 64, 3) and known["batch"].shape == (8, 64, 64, 3)
    assert np.abs(known["back"] - known["points"]).max() < 1e-4
    difference = np.abs(known["before"] - known["image"])[known["known"]]
    assert known["known"].mean() > 0.3 and np.isfinite(difference).all()
    assert known["inputs"].shape == (4, 64, 64, 3) and known["swapped"].shape == (68, 2)
    count = np.sum(known["some"].mask) * 2
    assert np.allclose(known["slope"], np.tanh(1) / count, rtol=1e-3)
