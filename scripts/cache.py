"""What was packed into the cache (${JAXMARKS_CACHE:-~/.cache/jaxmarks}), and taking away what is no longer used.

python scripts/cache.py
python scripts/cache.py --prune 30
"""

import time

from pipelines import cache, console


def main() -> int:
    parser = console.Parser(__doc__)
    parser.add_argument("--prune", type=float, metavar="DAYS", help="delete what was not used for so many days; 0: all")
    flags = parser.parse_args()
    if flags.prune is not None and not flags.prune >= 0:
        raise ValueError(f"--prune must be 0 or more days, got {flags.prune}")
    shown = cache.listing() if flags.prune is None else cache.prune(flags.prune)
    for c in shown:
        ago = (time.time() - c.used) / 86400
        print(f"{c.bytes / 1e9:8.2f} GB  used {ago:5.1f} days ago  {c.folder.name}  {c.data or 'not whole'}")
    words = "in" if flags.prune is None else "deleted from"
    print(f"{len(shown)} sets, {sum(c.bytes for c in shown) / 1e9:.2f} GB, {words} {cache.root()}")
    return 0


if __name__ == "__main__":
    console.run(main)
