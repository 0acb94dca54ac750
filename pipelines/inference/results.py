"""Prediction files: the submission, every point in any format, expected errors of points and images."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from jaxmarks.inference import Predicted
from pipelines import example
from pipelines.example import Source
from pipelines.images import decode
from pipelines.inference.resume import Kept
from pipelines.io import csv_text, files
from pipelines.predictor import Predictor
from pipelines.sources import formats
from pipelines.sources.formats import coco, contest, plain
from pipelines.sources.mixed import Reordered
from pipelines.sources.tables import Images, Row


def layout(source: Source, data: str | None) -> str:
    """Return the name of the format that every predicted point is written in where none is asked for.

    Args:
        source: the data set.
        data: the path that it was opened from; None for plain images.

    Returns:
        that of the contest where its points are asked for or its folder is given, so that what reads a landmarks.csv
        reads the predictions; else the comma-separated table with named columns, which spreadsheets and pandas open as
        it is.
    """
    if data is None:
        return plain.NAME
    asked = source.asked is not None
    return contest.NAME if asked or contest.recognises(Path(data).expanduser()) else plain.NAME


def write_points(out: Path, kind: str, source: Source, found: Iterable[Predicted], data: str | None) -> None:
    """Write every predicted point, in the files of a format.

    For COCO annotations as its results, under their own numbers.

    Args:
        out: the file or folder.
        kind: the name of the format.
        source: the data set.
        found: predictions in pixels of the images.
        data: the path that `source` was opened from; None for plain images.

    Raises:
        ValueError: where the format cannot say it.
        OSError: where it cannot be written.
    """

    def sized(index: int) -> tuple[int, int]:  # for formats that say how large the images are
        return decode.image_size(source[index]) if formats.sized(kind) else (0, 0)

    path = Path(data) if data and not data.startswith("drawn:") else None
    as_results = kind == coco.NAME and path is not None and coco.recognises(path)
    own = source.source if isinstance(source, Reordered) else source  # whose order results of COCO have
    order = source.inverse if isinstance(source, Reordered) and as_results else slice(None)
    rows = (
        Row(source.names[int(i)], points[order], np.ones(len(points), bool), sized(int(i)))
        for some in found
        for i, points in zip(some.index, some.points, strict=True)
    )
    if as_results and path:
        category = own.table.category if isinstance(own, Images) else ""
        coco.write_results(out, rows, source.num_points, path, category)
    else:
        formats.write(kind, out, rows, source, images=own.table.root if isinstance(own, Images) else None)


def write_submission(out: Path, source: Source, asked: Sequence[np.ndarray], found: Kept) -> None:
    """Write the contest's file: the points asked of each image.

    Args:
        out: the file.
        source: the data set.
        asked: for each image of the source the points, i[count], as many for all.
        found: predictions in pixels of the images.

    Raises:
        ValueError: where a point is not finite, or images ask for different numbers of points.
        OSError: where it cannot be written.
    """
    index = found.index()
    points = (face for some in found for face in some.points)
    with files.whole(out) as file:
        contest.write_submission(file, example.names_at(source, index), points, [asked[i] for i in index])


def write_spread(out: Path, source: Source, found: Iterable[Predicted]) -> None:
    """Write the expected error of each point in pixels of its image, a comma-separated row an image.

    `error_3` is that of the scheme's point 3; a submission's `Point_M3_X` is the fourth point ASKED of its image.

    Args:
        out: the file.
        source: the data set.
        found: predictions in pixels of the images.

    Raises:
        OSError: where it cannot be written.
    """
    with files.whole(out) as file:
        file.write(csv_text.row(["file_name", *(f"error_{i}" for i in range(source.num_points))]))
        for some in found:
            for i, errors in zip(some.index, some.expected, strict=True):
                file.write(csv_text.row([source.names[int(i)], *(f"{v:.4g}" for v in errors)]))


def write_image_table(out: Path, source: Source, net: Predictor, found: Iterable[Predicted], limit: float) -> list[str]:
    """Write what to expect of each image, a comma-separated row an image.

    Mean expected error in its pixels, expected NME, how likely its NME is `limit` at most, and at how many points no
    view gave a finite answer.

    Args:
        out: the file.
        source: the data set.
        net: the predictor.
        found: predictions in pixels of the images.
        limit: the NME that the confidence is of.

    Returns:
        the names of the least certain, at most three.

    Raises:
        OSError: where it cannot be written.
    """
    worst: list[tuple[float, str]] = []
    with files.whole(out) as file:
        file.write(csv_text.row(["file_name", "expected_error", "expected_nme", "confidence", "unseen_points"]))
        for some in found:
            columns = some.expected.mean(1), net.expected_nme(some), net.confidence(some, limit)
            unseen = np.isnan(some.spread).sum(1)
            for i, error, nme, sure, gone in zip(some.index, *columns, unseen, strict=True):
                name = source.names[int(i)]
                file.write(csv_text.row([name, f"{error:.4g}", f"{nme:.4g}", f"{sure:.4g}", gone]))
                worst.append((-float(np.nan_to_num(nme, nan=np.inf)), name))
            worst = sorted(worst)[:3]
    return [name for _, name in worst]
