"""A folder in which each read takes long, as one mounted from object storage: reads are few, and of whole files."""

import time
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from jaxmarks import keys
from jaxmarks.config import Config
from pipelines import loader
from pipelines.images import decode
from pipelines.images.store import Host
from pipelines.io import files, ranges
from pipelines.packing import cache

COUNT = 24


@pytest.fixture
def slow(tmp_path, monkeypatch):
    """(path of a table, reads by file name so far); each read of an image takes 5 ms."""
    monkeypatch.setenv("JAXMARKS_CACHE", str(tmp_path / "cache"))
    folder, reads, read = tmp_path / "data" / "images", Counter(), files.read_bytes
    folder.mkdir(parents=True)
    rows = ["file_name,x_0,y_0,x_1,y_1,x_2,y_2"]
    for i in range(COUNT):
        image = np.random.default_rng(i).integers(0, 255, (40, 50, 3)).astype(np.uint8)
        (folder / f"{i:02d}.png").write_bytes(decode.encode_png(image))
        rows.append(f"{i:02d}.png,{i % 7 + 3}.5,9,20,{i + 2},30,31")
    (folder.parent / "t.csv").write_text("\n".join(rows) + "\n")

    def counted(path, *limits):
        if Path(path).is_relative_to(folder):
            reads[Path(path).name] += 1
            time.sleep(0.005)
        return read(path, *limits)

    monkeypatch.setattr(files, "read_bytes", counted)
    return str(folder.parent / "t.csv"), reads


@pytest.mark.parametrize("packed", [True, False])
def test_each_image_is_read_once_to_check_it_and_once_to_be_kept(slow, packed):
    path, reads = slow
    opened = ranges._opened.cache_info().misses
    source = cache.training_set(path, packed=packed, workers=2)
    assert reads == Counter({f"{i:02d}.png": 1 for i in range(COUNT)})
    store = Host(COUNT, 40, 3)
    feed = loader.batches(source, Config(size=32, batch=8, workers=1), keys.root(0), store=store)
    assert len({int(i) for batch in islice(feed, 9) for i in batch.index}) == COUNT
    assert reads.total() <= COUNT + (0 if packed else COUNT)
    assert ranges._opened.cache_info().misses <= opened + 1  # the table
