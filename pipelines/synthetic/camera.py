"""Camera: from head units to pixels by rotation, perspective, and the frame around the face.

Camera space keeps the head's axes: x right, y down, z towards the viewer, in head units. The canvas is the
image before it gets its final size: about CLOSE pixels for a head unit, whatever the image's size.
"""

from dataclasses import dataclass

import numpy as np

from pipelines.synthetic import head, layout
from pipelines.synthetic.draws import Faults, Moment, Person

CLOSE = 100.0  # canvas pixels for a head unit at most: the grid of the head is made for it
_SHORT = 340.0  # canvas pixels of the short side at most
_PIVOT = np.array([0.0, 0.55, -0.2])


@dataclass(frozen=True)
class Camera:
    """camera = turn @ head (body: for the shoulders); canvas = centre + scale * (x, y in perspective)."""

    turn: np.ndarray
    body: np.ndarray
    distance: float
    scale: float
    centre: np.ndarray
    canvas: tuple[int, int]  # width, height
    size: tuple[int, int]  # width, height
    curves: layout.Curves  # what was sighted: the features as (theta, v)

    def place(self, points: np.ndarray, v: np.ndarray | float = 0.0) -> np.ndarray:
        """Head points f[..., 3] in camera space; from ring 12.8 on they follow the shoulders."""
        from_pivot = points - _PIVOT
        loose = np.clip((np.asarray(v) - 12.8) / 2.4, 0, 1)[..., None] * 0.9
        turned = from_pivot @ self.turn.T
        if loose.any():
            turned = turned + (from_pivot @ self.body.T - turned) * loose
        return turned + _PIVOT

    def project(self, placed: np.ndarray) -> np.ndarray:
        """Camera points f[..., 3] as canvas (x, y) f[..., 2]."""
        near = self.distance / (self.distance - placed[..., 2:])
        return self.centre + self.scale * near * placed[..., :2]

    def to_image(self, points: np.ndarray) -> np.ndarray:
        """Canvas (x, y) in pixels of the image."""
        return (points + 0.5) * (np.array(self.size) / self.canvas) - 0.5


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """f[3, 3]: positive yaw turns the face to the viewer's right, pitch down, roll clockwise (radians)."""
    (sy, sp, sr), (cy, cp, cr) = np.sin((yaw, pitch, roll)), np.cos((yaw, pitch, roll))
    about_y = np.array([(cy, 0, sy), (0, 1, 0), (-sy, 0, cy)])
    about_x = np.array([(1, 0, 0), (0, cp, sp), (0, -sp, cp)])
    about_z = np.array([(cr, -sr, 0), (sr, cr, 0), (0, 0, 1)])
    return about_z @ about_x @ about_y


def shoot(person: Person, moment: Moment, faults: Faults) -> tuple[Camera, np.ndarray]:
    """The camera of an image, and the 971 landmarks in its pixels before any mirroring, f64[971, 2].

    The landmarks' box fills `moment.fill * faults.zoom` of the short side; its middle is `moment.offset` off.
    """
    turn = rotation(moment.yaw, moment.pitch, moment.roll)
    body = rotation(moment.yaw * 0.35, 0.0, moment.roll * 0.15)
    width, height = moment.frame
    curves = layout.surface(layout.plan(person, moment))
    loose = Camera(turn, body, moment.distance, 1.0, np.zeros(2), (1, 1), (1, 1), curves)
    plain = loose.project(loose.place(layout.landmarks(curves, person, moment)))
    low, high = plain.min(0), plain.max(0)
    unit = moment.fill * faults.zoom * min(width, height) / (high - low).max()
    times = min(CLOSE / unit, _SHORT / min(width, height))
    canvas = (max(8, round(width * times)), max(8, round(height * times)))
    size = (round(width * faults.stretch[0]), round(height * faults.stretch[1]))
    middle = np.array(canvas) * (0.5 + np.array(moment.offset)) - 0.5
    centre = middle - unit * times * (low + high) / 2
    camera = Camera(turn, body, moment.distance, unit * times, centre, canvas, size, curves)
    return camera, camera.to_image(centre + unit * times * plain)


def shown(camera: Camera, pitch: float) -> tuple[int, int]:
    """The columns of the coarse head grid that the camera may see: first, and one past the last."""
    toward = camera.turn.T @ (0.0, 0.0, 1.0)
    facing, half = np.arctan2(toward[0], toward[2]), np.radians(103) + 1.6 * abs(pitch)
    theta, _ = head.grid()
    seen = np.flatnonzero((theta > facing - half) & (theta < facing + half))
    return int(seen[0]), int(seen[-1]) + 1
