"""Numbers as a person reads them."""

import numpy as np
import pytest

from jaxmarks import words


@pytest.mark.parametrize(("count", "told"), [(0, "0 steps"), (1, "1 step"), (2, "2 steps"), (np.int64(1), "1 step")])
def test_counts_have_their_noun(count, told):
    assert words.counted(count, "step") == told


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (1350.2, "1350"), (999.7, "1000"), (12.345, "12.3"), (12.0, "12"), (0.0123456, "0.0123"), (-0.5, "-0.5"), (0, "0"),
        (1.5e-7, "0.00000015"), (2.5e9, "2500000000"), (float("nan"), "nan"), (float("inf"), "inf"),
    ],
)  # fmt: skip
def test_numbers_have_no_exponent(value, told):
    assert words.number(value) == told


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (0, "0 bytes"), (1, "1 bytes"), (999, "999 bytes"), (1000, "1 kB"), (4_130_000, "4.1 MB"), (41_300_000, "41.3 MB"),
        (64e9, "64 GB"), (2.5e15, "2500 TB"),
    ],
)  # fmt: skip
def test_bytes_have_a_unit_that_fits(count, told):
    assert words.size(count) == told


def test_bytes_never_read_as_none_of_a_unit():
    for power in range(1, 15):
        for share in (1, 1.04, 9.99, 9.994):
            assert float(words.size(share * 10**power).split()[0]) >= 1
