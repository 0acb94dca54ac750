"""Scene of a person: backdrop, clothes, the head's surfaces, hair in strands, glasses.

A sheet is a grid of points in camera space with a painted image on it. Its points, closer together than
canvas pixels, are written farthest first, so the nearest stays: hidden features are hidden without any
test.
"""

import numpy as np

from pipelines.synthetic import head, paint, raster
from pipelines.synthetic.camera import Camera, shown
from pipelines.synthetic.draws import Moment, Person

_GROUND = np.array(
    [
        (168, 196, 214),
        (222, 206, 180),
        (186, 204, 172),
        (214, 180, 172),
        (120, 130, 150),
        (236, 232, 224),
        (90, 104, 96),
    ]
)


class Canvas:
    """The pixels so far, and the points of the sheets waiting to be written."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels
        self.depth = np.full(pixels.shape[:2], -9.0, np.float32)
        self._waiting: list[tuple[np.ndarray, ...]] = []

    def drape(self, grid: np.ndarray, colours: np.ndarray) -> None:
        """Add a sheet: coarse f32[r, c, 4] (canvas x, y, camera z, facing: seen above 0), u8[R, C, 3]."""
        height, width = self.pixels.shape[:2]
        seen = np.flatnonzero(raster.enlarge(np.ascontiguousarray(grid[..., 3]), paint.FINE) > 0)
        x, y, z = (raster.enlarge(np.ascontiguousarray(grid[..., k]), paint.FINE).ravel()[seen] for k in range(3))
        x, y = np.rint(x).astype(np.int32), np.rint(y).astype(np.int32)
        kept = np.flatnonzero((x >= 0) & (x < width) & (y >= 0) & (y < height))
        self._waiting.append(((y * width + x)[kept], z[kept], seen[kept], colours.reshape(-1, 3)))

    def write(self) -> None:
        """Write the waiting sheets, far to near; pin-holes, where far shows between near, are closed."""
        starts = np.cumsum([0] + [len(sheet[3]) for sheet in self._waiting])
        source = np.concatenate([sheet[2] + start for sheet, start in zip(self._waiting, starts, strict=False)])
        place, z, _, colours = (np.concatenate(parts) for parts in zip(*self._waiting, strict=True))
        order = np.argsort(((z + 3) * 10000).astype(np.uint16), kind="stable")
        rank = np.zeros(self.depth.size, np.float32)
        rank[place[order]] = np.arange(1, len(z) + 1, dtype=np.float32)
        over = raster.closed(rank.reshape(self.depth.shape)).ravel()
        hit = np.flatnonzero(over)
        rank, over = rank[hit].astype(np.int32), over[hit].astype(np.int32)
        z = np.concatenate([np.array([-9.0], np.float32), z[order]])
        rank = np.where(z[over] - z[rank] > 0.04, over, rank)
        hit, rank = hit[rank > 0], rank[rank > 0]
        self.pixels.reshape(-1, 3)[hit] = colours.take(source[order[rank - 1]], axis=0)
        self.depth.reshape(-1)[hit] = z[rank]
        self._waiting = []

    def sees(self, spots: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return whether points at canvas (x, y) f[n, 2] and camera depth z f[n] lie before what is written."""
        limit = np.array(self.depth.shape[::-1]) - 1
        column, row = np.clip(np.rint(spots), 0, limit).astype(int).T
        return z > self.depth[row, column] - 0.03


def _normals(grid: np.ndarray) -> np.ndarray:
    """Unit normals f32[r, c, 3] of a grid whose columns run right and rows down as seen from outside."""
    padded = np.pad(grid, ((1, 1), (1, 1), (0, 0)), mode="edge")
    a, b = padded[1:-1, 2:] - padded[1:-1, :-2], padded[2:, 1:-1] - padded[:-2, 1:-1]
    ax, ay, az, bx, by, bz = a[..., 0], a[..., 1], a[..., 2], b[..., 0], b[..., 1], b[..., 2]
    out = np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], -1)
    return out / (np.sqrt((out * out).sum(-1, keepdims=True)) + 1e-9)


def _light(normals: np.ndarray, moment: Moment, gloss: float) -> tuple[np.ndarray, np.ndarray]:
    """Shade u8[r, c, 3] (128 keeps a colour) and highlight u8[r, c, 3] at these unit normals."""
    light = np.array(moment.light, np.float32)
    halfway = light + (0, 0, 1)
    straight = np.clip(normals @ light * 0.78 + 0.22, 0, 1)
    soft = moment.ambient * (0.84 - 0.14 * normals[..., 1]) * (0.82 + 0.18 * np.clip(normals[..., 2], 0, 1))
    shade = (soft + (1.16 - moment.ambient) * straight)[..., None] * moment.warm.astype(np.float32) * 128
    shine = np.clip(normals @ (halfway / np.linalg.norm(halfway)).astype(np.float32), 0, 1) ** 24 * gloss
    return np.clip(shade, 0, 255).astype(np.uint8), np.repeat(shine[..., None], 3, -1).astype(np.uint8)


def _drape(canvas: Canvas, camera: Camera, placed: np.ndarray, colours: np.ndarray, moment: Moment, both: bool) -> None:
    """Lights a sheet f[r, c, 3] in camera space with its fine u8 image and hands it to the canvas."""
    placed = placed.astype(np.float32)
    normals = _normals(placed)
    view = np.array([0, 0, camera.distance], np.float32) - placed
    facing = (normals * view).sum(-1, keepdims=True)
    if both:
        normals, facing = normals * np.sign(facing), np.abs(facing)
    shade, shine = _light(normals, moment, 34.0)
    lit = raster.lit(colours, raster.enlarge(shade, paint.FINE), 128)
    lit = raster.added(lit, raster.enlarge(shine, paint.FINE))
    grid = np.concatenate([camera.project(placed).astype(np.float32), placed[..., 2:], facing], -1)
    canvas.drape(grid.astype(np.float32), lit)


def draw_head(canvas: Canvas, camera: Camera, person: Person, moment: Moment, rs: np.random.RandomState) -> None:
    """The head and neck with everything that is painted on them."""
    first, last = shown(camera, moment.pitch)
    part = np.s_[:, first:last]
    turn, ring, smooth, _ = (field[part] for field in paint.ground())
    shape = head.shaped(smooth, turn, ring, person, moment)
    outward = shape - np.array([0.0, 0.0, head.AXIS], np.float32)
    outward[..., 1] = np.minimum(shape[..., 1] + 0.1, 0) + np.maximum(shape[..., 1] - 0.9, 0)
    outward /= np.linalg.norm(outward, axis=-1, keepdims=True) + 1e-9
    shape = shape + outward * paint.thickness(person)[part][..., None].astype(np.float32)
    colours = np.clip(paint.skin(person, moment, part), 0, 255).astype(np.uint8)
    colours = paint.grained(raster.enlarge(colours, paint.FINE), person, part, rs)
    colours = paint.features(colours, camera.curves, person, moment, first * paint.FINE, rs)
    _drape(canvas, camera, camera.place(shape, ring), colours, moment, False)


def draw_ears(canvas: Canvas, camera: Camera, person: Person, moment: Moment) -> None:
    """Both ears: shells that stand off the head behind the jaw."""
    around = np.linspace(0, 2 * np.pi * 1.04, 24)
    out = np.linspace(0, 1, 13)[:, None]
    wide, high = 0.13 * person.ear, 0.235 * person.ear
    back, down = out * np.cos(around) * wide, out * np.sin(around) * high * (1 - 0.12 * np.cos(around))
    rim = 0.03 + 0.07 * out**2 * (0.75 + 0.6 * np.cos(around)) - 0.025 * np.exp(-(((out - 0.72) / 0.14) ** 2))
    dark = np.clip(1 - 0.42 * np.exp(-((out / 0.4) ** 2)) - 0.2 * np.exp(-(((out - 0.7) / 0.12) ** 2)), 0, 1)
    tone = (person.skin * (1.0, 0.88, 0.86) * (dark + 0 * around)[..., None]).astype(np.float32)
    colours = np.clip(raster.enlarge(tone, paint.FINE), 0, 255).astype(np.uint8)
    for sign in (-1.0, 1.0):
        shape = np.stack(
            [sign * (0.735 * person.cheek + rim + 0.35 * back), down + 0.15 + 0.12 * back, -0.1 - back], -1
        )
        _drape(canvas, camera, camera.place(shape), colours, moment, True)


def hair_strands(camera: Camera, person: Person, moment: Moment, rs: np.random.RandomState) -> tuple[np.ndarray, ...]:
    """Long hair: canvas paths f[s, 16, 2], how far in front f[s], how bright f[s]; far first."""
    count, low = (110, 1.75) if person.style == "long" else (90, 0.86)
    turn = np.radians(np.linspace(66, 294, count) + rs.uniform(-2, 2, count))[:, None]
    scalp = head.base(turn, np.linspace(1.0, 5.6, 7) + 0 * turn)
    scalp[..., 2] -= head.AXIS
    fall = np.linspace(0, 1, 10)
    last, ends = scalp[:, -1:], low * (1 + 0.08 * rs.rand(count, 1))
    radius = 1 + 0.1 * np.sin(fall * 2.2) - (0.24 if person.style == "bob" else 0.1) * fall**3
    wave = rs.choice([0.0, 0.02, 0.045]) * np.sin(fall * rs.uniform(12, 20) + 6 * np.sin(turn * 2)) * fall
    radius = radius + wave + 0.03 * rs.randn(count, 1) * fall
    hang = np.stack(
        [
            last[..., 0] * radius,
            last[..., 1] + (ends - last[..., 1]) * fall,
            last[..., 2] * radius * (1 - 0.15 * fall),
        ],
        -1,
    )
    shape = np.concatenate([scalp, hang[:, 1:]], 1) * np.array([1.13, 1, 1.1]) + (0, -0.05, head.AXIS)
    placed = camera.place(shape, 12.8 + 2.0 * np.concatenate([np.zeros(7), np.clip(fall[1:] - 0.3, 0, 1)]) + 0 * turn)
    ahead = placed[:, 5:11, 2].mean(1)
    order = np.argsort(ahead, kind="stable")
    side = np.sin(turn[:, 0]) * np.sign(moment.light[0])
    glow = 0.66 + 0.26 * np.clip(ahead + 0.6, 0, 1) + 0.12 * side + 0.09 * rs.randn(count)
    return camera.project(placed)[order], ahead[order], glow[order]


def draw_strands(canvas: Canvas, camera: Camera, person: Person, strands: tuple[np.ndarray, ...], front: bool) -> None:
    """The strands before the head, or those behind it."""
    for path, ahead, glow in zip(*strands, strict=True):
        if (ahead > -0.1) == front:
            raster.stroke(canvas.pixels, path, person.hair * glow, camera.scale * 0.075)


def draw_clothes(canvas: Canvas, camera: Camera, person: Person, moment: Moment, rs: np.random.RandomState) -> None:
    """Shoulders and chest, lit from the light's side."""
    right = np.array([(0.36, 1.36), (0.5, 1.5), (1.0, 1.68), (1.36, 1.9), (1.55, 2.3), (1.7, 4.5), (0, 4.5)])
    outline = np.concatenate([right, right[::-1] * (-1, 1)])
    base = camera.place(np.array([[0.0, 1.5, -0.2]]), 16.0)
    striped = rs.rand() < 0.3

    def spot(path: np.ndarray) -> np.ndarray:
        return camera.project(np.concatenate([path - (0, 1.5), np.zeros((len(path), 1))], 1) + base)

    def cloth(layer: np.ndarray, origin: np.ndarray) -> None:
        layer[:] = np.clip(moment.cloth, 0, 250)
        for row in np.arange(1.75, 4, 0.3) if striped else ():
            path = spot(np.array([(-1.7, row), (0, row + 0.12), (1.7, row)])) - origin
            raster.stroke(layer, path, moment.cloth * 0.5 + 110, camera.scale * 0.09)
        across = (np.arange(layer.shape[1]) + origin[0] - spot(np.zeros((1, 2)))[0, 0]) / camera.scale
        bright = 0.86 + 0.14 * np.cos(across * 1.5) + 0.16 * np.clip(across * moment.light[0], -1, 1)
        layer[:] = layer * np.clip(bright - 0.12, 0.4, 1)[None, :, None]

    raster.inside(canvas.pixels, spot(outline), cloth)
    t = np.linspace(-np.pi / 2, np.pi / 2, 20)
    ring = np.stack([0.5 * np.sin(t), 1.5 + 0.16 * np.cos(t)], 1)
    raster.stroke(canvas.pixels, spot(ring), moment.cloth * 0.7, camera.scale * 0.1)


def draw_glasses(canvas: Canvas, camera: Camera, person: Person, moment: Moment) -> None:
    """Frames before the eyes, arms to the ears; dark glass for the sun. What the head hides is left out."""
    turn = np.linspace(0, 2 * np.pi, 33)
    eye, plane = 0.325 * person.eye_gap, 0.9
    width = {"thin": 0.018, "thick": 0.045, "sun": 0.03}[moment.glasses] * camera.scale
    colour = np.array([38.0, 34, 36]) if moment.glasses != "thin" else np.array([120.0, 104, 80])
    power = 0.8 if moment.glasses == "thin" else 0.62
    cosine, sine = (np.sign(f) * np.abs(f) ** power for f in (np.cos(turn), np.sin(turn)))
    lines = [np.array([(-0.09, -0.03, plane + 0.03), (0, -0.05, plane + 0.05), (0.09, -0.03, plane + 0.03)])]
    for sign in (-1, 1):
        x = sign * eye + 0.225 * cosine
        rim = np.stack([x, 0.02 + 0.175 * sine, plane + 0.03 - 0.35 * np.abs(x) ** 2], 1)
        arm = np.linspace((sign * (eye + 0.22), -0.05, plane - 0.07), (sign * 0.8, 0.0, -0.1), 14)
        placed = camera.place(rim)
        if moment.glasses == "sun" and canvas.sees(camera.project(placed), placed[:, 2]).mean() > 0.6:
            raster.inside(canvas.pixels, camera.project(placed), _tinted)
        lines += [rim, arm]
    for line in lines:
        placed = camera.place(line)
        spots = camera.project(placed)
        seen = canvas.sees(spots, placed[:, 2])
        for k in np.flatnonzero(seen[1:] & seen[:-1]):
            raster.stroke(canvas.pixels, spots[k : k + 2], colour, width)


def _tinted(layer: np.ndarray, _: np.ndarray) -> None:
    layer[:] = (layer * 0.16 + np.linspace(14, 44, len(layer))[:, None, None]).astype(np.uint8)


def backdrop(width: int, height: int, rs: np.random.RandomState) -> np.ndarray:
    """Draw the background, u8[height, width, 3]: a gradient, soft shapes, a little texture."""
    small = (max(8, width // 8), max(8, height // 8))
    one, two = _GROUND[rs.choice(len(_GROUND), 2, replace=False)] * rs.uniform(0.55, 1.08)
    angle = rs.uniform(0, 2 * np.pi)
    x, y = np.meshgrid(np.linspace(-1, 1, small[0]), np.linspace(-1, 1, small[1]))
    t = np.clip(0.5 + 0.5 * (x * np.cos(angle) + y * np.sin(angle)), 0, 1)[..., None]
    image = np.clip(one * (1 - t) + two * t, 0, 255).astype(np.uint8)
    for _ in range(rs.choice([0, 4, 9])):
        centre, size = rs.uniform(0, 1, 2) * small, rs.uniform(0.06, 0.3) * max(small)
        corner = rs.uniform(0, 2 * np.pi) + np.linspace(0, 2 * np.pi, rs.choice([4, 24]), endpoint=False)
        shape = centre + size * np.stack([np.cos(corner), np.sin(corner) * rs.uniform(0.5, 1.5)], 1)
        raster.fill(image, shape, np.clip(_GROUND[rs.randint(len(_GROUND))] * rs.uniform(0.5, 1.1), 0, 250))
    return raster.resample(raster.soften(image, rs.uniform(0.8, 2.5)), width, height)


def image(camera: Camera, person: Person, moment: Moment, rs: np.random.RandomState) -> np.ndarray:
    """The whole canvas, u8[height, width, 3]."""
    canvas = Canvas(backdrop(*camera.canvas, rs))
    strands = hair_strands(camera, person, moment, rs) if person.style in ("long", "bob") else ()
    if strands:
        draw_strands(canvas, camera, person, strands, False)
    draw_clothes(canvas, camera, person, moment, rs)
    draw_head(canvas, camera, person, moment, rs)
    draw_ears(canvas, camera, person, moment)
    canvas.write()
    if strands:
        draw_strands(canvas, camera, person, strands, True)
    if moment.glasses:
        draw_glasses(canvas, camera, person, moment)
    return raster.soften(canvas.pixels, 0.65)
