"""Overview page of a packed data set, from its own files."""

from pathlib import Path

import numpy as np

from pipelines.io import files
from pipelines.packing import card, record_table, report, seal
from pipelines.packing.dataset import Packed
from pipelines.reports import card_section, data_page
from pipelines.sources.tables import Rejected


def write(folder: Path, title: str, thumbnails: dict[str, np.ndarray]) -> list[str]:
    """Write folder/look.html for the training split and look-test.html for a test split; return their paths.

    thumbnails: of rejected files, by file. Raises ValueError if the set is not complete, or its card has another
    form.
    """
    sealed, written = seal.read(folder), []
    summary, about = report.read(folder / seal.REPORT, sealed.parts), card.read(folder)
    for part in sealed.parts:
        source = Packed(folder, part, sealed)
        records = record_table.read(folder, part, source.num_points)
        first = {}
        for index, record in enumerate(records):
            first.setdefault(record.group or record.name, index)
        facts = data_page.Facts(
            title=f"{title}: {part}",
            source=source,
            listed=summary["parts"][part]["listed"],
            rejected=[Rejected(r["file"], r["line"], r["reason"]) for r in summary["refused"] if r["part"] == part],
            thumbnails=thumbnails,
            sizes=np.array([[r.width, r.height] for r in records]),
            spread=np.array([float(r.spread or "nan") for r in records]),
            groups=np.array([first[r.group or r.name] for r in records]),
            lines=[int(r.line) if r.line else None for r in records],
            card=card_section.section(about, part) if about and part in about["splits"] else None,
        )
        path = folder / ("look.html" if part == "train" else f"look-{part}.html")
        with files.whole(path) as file:
            file.write(data_page.page(facts).encode())
        written.append(str(path))
    return written
