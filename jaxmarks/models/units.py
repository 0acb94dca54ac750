"""Network units: (x - (size - 1) / 2) / (size / 2), about -1..1 over the frame."""

LOSS_SCALE = 64.0  # residuals times this are pixels of a 128-pixel crop, whatever the size


def from_pixels(points, size: int):
    """Input pixels -> head units."""
    return (points - (size - 1) / 2) / (size / 2)


def to_pixels(points, size: int):
    """Head units -> input pixels."""
    return points * (size / 2) + (size - 1) / 2
