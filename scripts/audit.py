"""Audit the geometry: every augmenter, crop, resize, view and preset against independent references.

    python scripts/audit.py
    python scripts/audit.py --augment contest,crop --sizes 128 --keys 1000
    python scripts/audit.py --data /data/contest --out out/mine
    python scripts/audit.py --sizes 128 --peers

Prints, for each probe and size, the worst case over all keys, its bound, and where it occurred; writes audit.json (every
row) and audit.png (before, after, restored, mask) to --out. Exits with 1 if a bound fails. --data uses your images in the
sheet, --peers runs kornia and albumentations under the same probes if they are installed.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # outside the environment, `begin` says what is missing

from pipelines.io import console


def arguments() -> console.Parser:
    """The command line."""
    parser = console.Parser(__doc__)
    parser.add_argument(
        "--sizes",
        default="96,128,224",
        help="sides of the input in pixels, 64 to 1024, comma-separated (default: %(default)s)",
    )
    parser.add_argument("--keys", type=int, default=200, help="draws of each case, 8 or more (default: %(default)s)")
    parser.add_argument("--out", default="out/audit", help="folder to write to (default: %(default)s)")
    parser.add_argument(
        "--augment", default="", help="only these presets, samplers and views, comma-separated: contest,crop"
    )
    parser.add_argument("--data", help="a contest folder, a folder of images, or drawn:COUNT (default: drawn faces)")
    parser.add_argument("--peers", action="store_true", help="also kornia and albumentations, if installed")
    return parser


console.begin(__name__, arguments)

from pipelines.certificate import cases, peers, sheet, table
from pipelines.images import decode
from pipelines.io import files
from pipelines.packing import overwrites


def main() -> int:
    flags = arguments().parse_args()
    sizes, chosen, out = table.parse_sizes(flags.sizes), cases.choose(flags.augment), Path(flags.out)
    if flags.keys < 8:
        raise ValueError(f"--keys must be 8 or more, got {flags.keys}")
    files.check_out("--out", out, folder=True)
    overwrites.check({"--out": [out / "audit.json", out / "audit.png"]}, inputs=[flags.data])
    images = sheet.images(flags.data)
    rows, total = [], table.count(sizes, chosen)
    progress = console.Progress(total, "probe")
    for row in table.measure(sizes, flags.keys, chosen, [image for image, _ in images]):
        rows.append(row)
        progress.show(len(rows), f"{row.probe}, {row.case}"[:60])
    progress.close()
    print("\n".join(table.lines(rows)))
    failed = sum(not row.ok for row in rows)
    report: dict = {"rows": [row.to_dict() for row in rows]}
    if flags.peers:
        console.say("the same probes with the peers")
        report["peers"] = peers.compare(sizes[0])
        print("\n" + "\n".join(peers.lines(report["peers"])))
        failed += len(peers.beyond(report["peers"]))
    report["ok"] = not failed
    files.write_json(out / "audit.json", report)
    console.say("drawing the sheet")
    with files.whole(out / "audit.png") as file:
        file.write(decode.encode_png(sheet.draw(chosen, 128, flags.keys, images)))
    count = len(rows) + len(report.get("peers", []))
    print(f"\n{count} values of ours, {failed} beyond their bound; {out}/audit.json, {out}/audit.png")
    return int(failed > 0)


if __name__ == "__main__":
    console.run(main)
