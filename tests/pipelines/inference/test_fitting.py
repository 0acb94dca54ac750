"""What is fitted for several runs at once, and why it cannot be."""

from types import SimpleNamespace
from typing import Any

import pytest

from pipelines import example
from pipelines.inference import fitting
from pipelines.runs import halves
from pipelines.synthetic.drawn import DrawnSource


def test_runs_that_share_no_held_out_image_name_the_split_and_a_run_that_holds_none_out_its_share():
    source = DrawnSource("drawn:6:5", "train")

    def net(trained_on: list[str]) -> Any:
        run = SimpleNamespace(root="runs/one", parts={"train": trained_on})
        return SimpleNamespace(trained=SimpleNamespace(run=run))

    def why(held_out: list[int], *nets: Any) -> str:
        part = example.Subset(source, held_out)
        asked: Any = None
        with pytest.raises(ValueError) as caught:
            fitting._fit(nets, asked, None, halves.Held(part, part, part, {}), lambda *_: None)
        return str(caught.value)

    assert "--split-seed" in why([0, 1], net([]), net(list(source.names)))
    assert "--val-fraction" in why([], net(list(source.names)))
