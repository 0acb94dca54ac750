"""Network units: (x - (size - 1) / 2) / (size / 2), about -1..1 over the frame."""

LOSS_SCALE = 64.0  # residuals times this are pixels of a 128-pixel crop, whatever the size


def from_pixels(points, size: int):
    """Return input pixels in head units.

    Args:
        points: f[...], coordinates in pixels of the input.
        size: side of the input in pixels.

    Returns:
        f[...], about -1..1 over the frame.
    """
    return (points - (size - 1) / 2) / (size / 2)


def to_pixels(points, size: int):
    """Return head units in input pixels.

    Args:
        points: f[...], coordinates in head units.
        size: side of the input in pixels.

    Returns:
        f[...], coordinates in pixels of the input.
    """
    return points * (size / 2) + (size - 1) / 2
