"""Re-creates a batch of a run from its saved key: the pictures as the network saw them, and their checksum.

    python scripts/replay.py --run runs/NAME --step 120

Step N (from 0) is the one that took the run from N to N + 1 steps. Writes a PNG sheet with the points drawn, and prints
the checksum of the re-created batch beside the one in the run's log; exits 1 where they differ.
"""

from pathlib import Path

import numpy as np

from jaxmarks import assemble, runlog, sharding, step
from pipelines import console, decode, files, loader, runs, sources
from pipelines.pages import sheets


def main() -> int:
    parser = console.Parser(__doc__)
    parser.add_argument("--run", required=True, help="a run folder")
    parser.add_argument("--step", required=True, type=int, help="which step, from 0")
    parser.add_argument("--data", help="where the run's data lies now; default: where it was")
    parser.add_argument("--out", help="the sheet to write (default: runs/NAME/replay/STEP.png)")
    flags = parser.parse_args()
    if flags.step < 0:
        raise ValueError(f"--step must be 0 or more, got {flags.step}")
    run, faults = runs.load(Path(flags.run)), loader.Faults()
    part = runs.part(run, runs.data_of(run, flags.data), "train")
    plan = assemble.assemble(run.config, run.key, run.scheme, len(part), sharding.mesh_dividing(run.config.batch))
    batch = next(loader.batches(part, run.config, run.key, flags.step, faults=faults, weights=runs.weights(run)))
    images, points = assemble.render(plan)(sharding.split(plan.mesh, batch))
    found = int(step.checksum(images, points))
    logged = runlog.read_examples(run.root, run.config.batch)
    row = logged[flags.step] if flags.step < len(logged) else None
    captions = [name[-20:] for name in sources.names_at(part, batch.index)]
    if row is not None:
        captions = [
            f"{c} {v:.2f}{'' if k else ' x'}" for c, v, k in zip(captions, row["each"], row["kept"], strict=True)
        ]
    out = Path(flags.out) if flags.out else run.root / "replay" / f"{flags.step:08d}.png"
    with files.whole(out) as file:
        file.write(decode.encode_png(sheets.batch_sheet(np.asarray(images), np.asarray(points), captions)))
    print(f"step {flags.step}: checksum {found:08x}", end="")
    print(
        f", the log has {row['checksum']:08x}: {'equal' if row['checksum'] == found else 'DIFFERENT'}"
        if row is not None
        else f", not in the log, which has {len(logged)} steps"
    )
    print(f"the batch as the network saw it{' (file, loss, x: trimmed)' if row is not None else ''}: {out}")
    console.faults(faults.report())
    return int(row is not None and row["checksum"] != found)


if __name__ == "__main__":
    console.run(main)
