"""List or prune the cache (${JAXMARKS_CACHE:-~/.cache/jaxmarks}): packed data sets, canvases, compiled JAX code.

    python scripts/cache.py
    python scripts/cache.py --prune 30

Every command stores the code it compiles, at most 2 GB; JAX_ENABLE_COMPILATION_CACHE=false stores none. What is deleted
is packed, or compiled, again when it is needed.
"""

import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # outside the environment, `begin` says what is missing

from jaxmarks import words
from pipelines.io import console


def arguments() -> console.Parser:
    """The command line."""
    parser = console.Parser(__doc__)
    parser.add_argument(
        "--prune", type=float, metavar="DAYS", help="delete what was not used for this many days; 0: everything"
    )
    return parser


console.begin(__name__, arguments)

from pipelines.images import canvas_file
from pipelines.io import compilation, files
from pipelines.packing import cache


def main() -> int:
    flags = arguments().parse_args()
    if flags.prune is not None and not flags.prune >= 0:
        raise ValueError(f"--prune must be 0 or more days, got {flags.prune}")
    days: float | None = flags.prune
    listed = days is None
    shown = cache.listing() if days is None else cache.prune(days)
    kept = canvas_file.listing() if days is None else canvas_file.prune(days)
    code = compilation.listing() if days is None else compilation.prune(days)
    for c in shown:
        ago = (time.time() - c.used) / 86400
        print(f"{words.size(c.bytes):>10}  used {ago:5.1f} days ago  {c.folder.name}  {c.data or 'not whole'}")
    for k in kept:
        ago = (time.time() - k.used) / 86400
        print(f"{words.size(k.bytes):>10}  used {ago:5.1f} days ago  canvases, {k.path.name}")
    if code:
        ago = (time.time() - code[-1].used) / 86400
        print(
            f"{words.size(sum(k.bytes for k in code)):>10}  used {ago:5.1f} days ago  compiled code,"
            f" {words.counted(len(code), 'file')}"
        )
    where, taken = "in" if listed else "deleted from", sum(k.bytes for k in [*shown, *kept, *code])
    print(f"{words.counted(len(shown), 'set')}, {words.size(taken)}, {where} {files.cache_root()}")
    return 0


if __name__ == "__main__":
    console.run(main)
