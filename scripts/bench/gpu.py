"""Check correctness and measure speed on an NVIDIA GPU, in five minutes, beside PyTorch if it is installed.

    python scripts/bench/gpu.py
    python scripts/bench/gpu.py --minutes 20 --out out/h100.json
    python scripts/bench/gpu.py --on-cpu        tests the script itself at toy sizes; its numbers mean nothing

Checks: the audit's probes on the device; rendering under vmap beside a loop; float32 products beside float64, so that none
is TF32 unasked; training steps under --deterministic taken again, bit for bit. Exits 1 where one fails.

Rows, the most important first, each begun only where the time left allows it (what is left out is named): training with its
rendering, of a batch that lies on the card, beside PyTorch with channels_last, AMP and torch.compile (its batch is rendered
already; TF32 only where both have it); rendering alone; training from JPEG files; prediction. Both sides take turns, and
either may take 45 % of the card's memory: a ratio over 1 says that ours is faster. Memory is, of ours, what the compiler
plans for a step, of PyTorch the most that it held.
"""

import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import gpu_checks
import gpu_rows
import jax
from gpu_rows import Peer, Row

from pipelines.io import console, files
from pipelines.packing import overwrites


def main() -> int:
    parser = console.Parser(__doc__)
    parser.add_argument("--minutes", type=float, default=5, help="no row starts after these (default: %(default)s)")
    parser.add_argument("--out", default="out/gpu.json", help="JSON file for checks and rows (default: %(default)s)")
    parser.add_argument("--on-cpu", action="store_true", help="test the script itself on a CPU, at toy sizes")
    flags = parser.parse_args()
    if not 0 < flags.minutes <= 1440:
        raise ValueError(f"--minutes must lie in 0..1440, got {flags.minutes:g}")
    files.check_out("--out", flags.out)
    overwrites.check({"--out": [flags.out]})
    began, toy, out = time.monotonic(), flags.on_cpu, Path(flags.out)
    # read when JAX first asks for a device, and by the processes that are begun here
    os.environ |= {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "XLA_PYTHON_CLIENT_MEM_FRACTION": str(gpu_rows.SHARE)}
    if jax.default_backend() != ("cpu" if toy else "gpu"):
        where = 'no GPU here: pip install "jax[cuda12]" on a machine with an NVIDIA card, or --on-cpu to try the script'
        raise ValueError("--on-cpu on a machine with a GPU: set JAX_PLATFORMS=cpu as well" if toy else where)
    report = {"on_cpu": toy, **machine(), "checks": (checks := checked(toy)), "rows": [], "left_out": []}
    files.write_json(out, report)
    peer = Peer("cpu" if toy else "cuda")
    rows = gpu_rows.planned(peer, out.parent, toy)
    print(f"\n{'':44s}{'ours':>9s}{'other':>9s}{'ratio':>7s}  {'spread':11s}{'MB':>7s}{'MB':>7s}")
    try:
        for name, row in measured(rows, lambda: 60 * flags.minutes - (time.monotonic() - began)):
            report["rows" if row else "left_out"].append({"name": name, **row} if row else name)
            print(line(name, row) if row else f"{name}: left out, no time", flush=True)
            files.write_json(out, report)
    finally:
        peer.close()
    report |= {"torch": peer.version, "peak_memory_mb": peak(), "seconds": time.monotonic() - began}
    files.write_json(out, report)
    failed = [c["name"] for c in checks if not c["ok"]]
    print(f"\n{len(checks)} checks, {len(failed)} beyond their bound; {report['seconds']:.0f} s; {out}")
    return int(bool(failed))


def checked(toy: bool) -> list[dict]:
    """Every check, printed as it ends; the replay runs beside the others, in processes of its own."""
    found = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as pool:
        replay = pool.submit(gpu_checks.replayed, Path(folder), toy)
        groups = {**gpu_checks.groups(toy), "the replay": lambda: iter([replay.result()])}
        for c in (c for name, group in groups.items() for c in gpu_checks.run(group, name)):
            shown = f"{c['name']}: {c['value']:.2g} of {c['bound']:g} {c['unit']}"
            print(f"{'ok' if c['ok'] else 'FAILED':8s}{shown}", flush=True)
            found.append(c)
    return found


def measured(rows: Iterable[Row], left: Callable[[], float]) -> Iterable[tuple[str, dict]]:
    """(name, values) of each row in order, {} where the time left does not allow it.

    A row is taken to last as long as the longest of its kind so far, its own `cost` before any. What it raises is its outcome.
    """
    longest: dict[str, float] = {}
    for row in rows:
        time_left = left()
        if not fits(row, longest, time_left):
            yield row.name, {}
            continue
        try:
            values = row.run(time_left)
            longest[row.kind] = max(longest.get(row.kind, 0), time_left - left())
        except (ValueError, RuntimeError, OSError) as error:  # of JAX out of memory, among others
            outcome = gpu_rows.outcome_of(str(error), batch_of(row.name))
            values = {"ours": None, "peer": None, "ratio": None, "outcome": outcome}
            gpu_rows.training.cache_clear()
        yield row.name, values


def fits(row: Row, longest: dict[str, float], left: float) -> bool:
    """Return whether a row may be begun with so many seconds left; longest: what a row of each kind took at most."""
    return longest.get(row.kind, row.cost) <= left


def batch_of(name: str) -> int:
    """The batch that a row's name ends with."""
    return int(name.rpartition(" ")[2])


def line(name: str, row: dict) -> str:
    """A row of the table."""
    rates = "".join(f"{row[side]:9.0f}" if row[side] else f"{'-':>9s}" for side in ("ours", "peer"))
    ratio = f"{row['ratio']:7.2f}" if row["ratio"] else f"{'-':>7s}"
    spread = "{:.2f}-{:.2f}".format(*row["spread"]) if row.get("spread") else ""
    memory = [row.get(f"{side}_memory_mb") for side in ("ours", "peer")]
    held = "".join(f"{mb:7.0f}" if mb else f"{'':7s}" for mb in memory)
    return f"{name:44s}{rates}{ratio}  {spread:11s}{held}  {row['outcome']}".rstrip()


def machine() -> dict:
    """Device, driver and versions."""
    driver = None
    try:
        command = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
        driver = subprocess.run(command, capture_output=True, text=True, timeout=20).stdout.strip() or None
    except (OSError, subprocess.TimeoutExpired):
        pass  # a container without it can run the rest
    versions = {"jax": jax.__version__, "jaxlib": metadata.version("jaxlib"), "python": platform.python_version()}
    cuda = jax.devices()[0].client.platform_version
    return {"device": jax.devices()[0].device_kind, "driver": driver, "versions": versions, "platform": cuda}


def peak() -> float | None:
    """MB that this process held on the device at its most; None where the device does not count."""
    stats = jax.devices()[0].memory_stats()
    return stats["peak_bytes_in_use"] / 1e6 if stats else None


if __name__ == "__main__":
    console.run(main)
