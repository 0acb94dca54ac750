"""What is fitted for several runs at once, and why it cannot be."""

from typing import Any

import pytest

from pipelines import example
from pipelines.inference import fitting
from pipelines.runs import halves
from pipelines.synthetic.drawn import DrawnSource


@pytest.mark.parametrize(("held_out", "named"), [([0, 1], "split_seed"), ([], "val_fraction")])
def test_runs_that_share_no_held_out_image_name_the_split_and_one_that_holds_none_out_its_share(
    monkeypatch, held_out, named
):
    part = example.Subset(DrawnSource("drawn:6:5", "train"), held_out)
    monkeypatch.setattr(fitting, "_unseen", lambda over, half: example.Subset(half, []))
    nothing: Any = None
    with pytest.raises(ValueError, match=named):
        fitting._fit(nothing, nothing, None, halves.Held(part, part, part, {}), lambda *_: None)
