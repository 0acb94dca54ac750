"""Batches ready for the device, ours beside torch.utils.data.DataLoader with OpenCV and two workers, on the same files.

    python scripts/bench/loader.py
    python scripts/bench/loader.py --step      also: how many of them the ResNet50 training step takes

JPEGs of 500 px onto 128 px in batches of 32: photographs a second, medians of rounds in which both take their turn over
all files; a ratio over 1 says that ours is faster. Then five epochs of ours, with resident memory after each. Ours are
canvases of 160 px in frames (what augmentation may show), the peer's crops of 128 px, as a plain script makes them. The
rows `packed` read the same photographs as prepare.py packs them, and as it packs them at 160 px.
Without PyTorch only ours is measured.
"""

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import jax
from made import POINTS, packed, photographs

from jaxmarks import assemble, keys, landmarks
from jaxmarks.config import Config
from pipelines import console, files, loader, sources

BATCH, SIZE, WORKING = 32, 128, 160


def main() -> int:
    parser = console.Parser(__doc__)
    parser.add_argument("--out", default="out/bench_loader.json", help="where the rows go (default: %(default)s)")
    parser.add_argument(
        "--files", default="out/bench_photographs", help="where the photographs go (default: %(default)s)"
    )
    parser.add_argument("--count", type=int, default=960, help="how many photographs (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="how often each takes its turn (default: %(default)s)")
    parser.add_argument("--step", action="store_true", help="measure the ResNet50 step as well")
    flags = parser.parse_args()
    source = photographs(Path(flags.files), flags.count)
    config = Config(size=SIZE, batch=BATCH, workers=2)
    steps, peer = flags.count // BATCH, by_torch(source)
    ours = {"loader": source, **{f"packed{f' {n} px' * (n > 0)}": packed(Path(flags.files), n) for n in (0, WORKING)}}
    times = {name: {"ours": [], "peer": []} for name in ours}
    for _ in range(flags.rounds):
        for name, one in ours.items():
            times[name]["ours"].append(clocked(loader.batches(one, config, keys.root(0)), steps))
            if peer is not None:
                times[name]["peer"].append(clocked(iter(peer), steps))
    rows = [row(name, times[name], steps * BATCH) for name in ours]
    if flags.step:
        rate = step_rate(source, config)
        rows.append({"name": "ResNet50 step", "ours": rows[0]["ours"], "peer": rate, "ratio": rows[0]["ours"] / rate})
    for r in rows:
        print(
            f"{r['name']:14s} ours {r['ours']:7.0f}   other {r['peer'] or 0:7.0f}   ratio {r['ratio'] or 0:6.2f}   a second"
        )
    memory, feed = [], loader.batches(source, config, keys.root(0))
    for _ in range(5):
        clocked(feed, steps)
        memory.append(resident())
    print(f"resident after each of five epochs: {', '.join(f'{m:.0f}' for m in memory)} MB")
    files.write_json(flags.out, {"device": jax.devices()[0].device_kind, "rows": rows, "resident_mb": memory})
    print(flags.out)
    return 0


def row(name: str, times: dict[str, list[float]], count: int) -> dict:
    """Medians, and the median of the ratios of neighbouring turns."""
    speed = {side: count / statistics.median(t) if t else None for side, t in times.items()}
    ratios = [b / a for a, b in zip(times["ours"], times["peer"], strict=False)]
    return {"name": name, **speed, "ratio": statistics.median(ratios) if ratios else None}


def by_torch(source: sources.Source):
    """The peer: as its users write it. None without PyTorch."""
    try:
        from peers import loader as made
    except ImportError:
        print("no PyTorch here: ours only (pip install torch)")
        return None
    return made(source, BATCH, SIZE)


def clocked(feed: Iterator, steps: int) -> float:
    """Seconds for so many batches, the first one's wait included."""
    began = time.perf_counter()
    for _ in range(steps):
        next(feed)
    return time.perf_counter() - began


def resident() -> float:
    """MB of this process in memory now."""
    text = Path("/proc/self/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1e3


def step_rate(source: sources.Source, config: Config) -> float:
    """Photographs a second of the training step alone: ResNet50, median of five steps."""
    plan = assemble.assemble(config, keys.root(0), landmarks.scheme(POINTS), len(source))
    take, state = assemble.training_step(plan), assemble.initial_state(plan)
    batch, seconds = plan.split(next(loader.batches(source, config, plan.key))), []
    for _ in range(6):
        began = time.perf_counter()
        state, record = take(state, batch)
        jax.block_until_ready(record)
        seconds.append(time.perf_counter() - began)
    return BATCH / statistics.median(seconds[1:])


if __name__ == "__main__":
    console.run(main)
