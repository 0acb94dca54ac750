"""What is fitted for several runs at once, and why it cannot be."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipelines import example
from pipelines.inference import fitting, settings
from pipelines.inference.fitted import Fitted
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


def _ensemble(*identities: str) -> Any:
    """What weights are decided by: members of two views each, on some data."""
    scheme = SimpleNamespace(num_points=5, mirror=None)
    runs = [SimpleNamespace(data_identity=i, config=SimpleNamespace(data=i), scheme=scheme) for i in identities]
    members = [SimpleNamespace(count=2) for _ in runs]
    return SimpleNamespace(runs=[SimpleNamespace(run=r) for r in runs], members=members, views=2 * len(runs))


def test_members_with_different_data_count_alike_unless_a_fit_is_asked_for_and_it_is_said_which_data_that_is():
    asked, mixed = settings.Settings(), _ensemble("faces", "drawn")
    assert settings.given_weights(_ensemble("faces", "faces"), asked) is None
    equal = settings.given_weights(mixed, asked)
    assert equal is not None and equal.tolist() == [0.25] * 4
    assert settings.given_weights(mixed, asked._replace(view_weights="fitted")) is None
    lines = fitting._remarks(mixed, asked, Fitted(equal, 0, None, None, "too few"))
    assert "different data" in lines[1] and "faces" in lines[1]
    [line] = fitting._remarks(
        mixed, asked._replace(view_weights="fitted"), Fitted(np.ones(4), 21, None, None, "too few")
    )
    assert "21 images of the validation split of faces" in line
