"""Random parameters of a synthetic face: person, moment, faults, all drawn before anything is rendered.

Each subject has its own stream, derived from a stable hash of the generator's version, the part, the
subject and a number. RandomState is frozen by numpy's policy, so a face is the same on every machine and in
every later release.
"""

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

GENERATOR_VERSION = 1  # part of every seed: raise it when any face changes
_BLOCK, _PEOPLE = 48, 12  # of 48 consecutive faces, 12 people: about four faces a person
_SKIN = np.array(
    [
        (248, 214, 188),
        (243, 202, 170),
        (232, 184, 146),
        (208, 152, 108),
        (168, 112, 74),
        (120, 76, 50),
        (84, 54, 40),
    ]
)
_IRIS = np.array([(92, 60, 36), (70, 44, 28), (120, 88, 48), (96, 122, 74), (84, 128, 168), (120, 140, 150)])
_HAIR = np.array([(28, 22, 20), (54, 36, 26), (92, 60, 36), (150, 106, 60), (214, 176, 112), (160, 74, 36)])
_CLOTH = np.array(
    [
        (46, 84, 140),
        (188, 62, 58),
        (62, 128, 92),
        (236, 196, 92),
        (90, 76, 132),
        (60, 62, 70),
        (228, 226, 218),
    ]
)
STYLES = ("bald", "crop", "short", "quiff", "fringe", "curls", "bob", "long", "crown", "beanie")
BEARDS = ("none", "stubble", "moustache", "goatee", "full")


@dataclass(frozen=True)
class Person:
    """Parameters shared by the faces of one person. Shape numbers are about 1, or about 0 where they add."""

    skin: np.ndarray
    hair: np.ndarray
    iris: np.ndarray
    style: str
    beard: str
    age: float = 0.3
    rouge: float = 0.0
    freckles: int = 0
    forehead: float = 1.0
    cheek: float = 1.0
    jaw: float = 1.0
    length: float = 1.0
    chin: float = 1.0
    nose_long: float = 1.0
    nose_wide: float = 1.0
    nose_high: float = 1.0
    eye_gap: float = 1.0
    eye_size: float = 1.0
    eye_cant: float = 0.0
    brow_thick: float = 1.0
    brow_arch: float = 1.0
    brow_high: float = 0.0
    mouth_wide: float = 1.0
    lip_full: float = 1.0
    ear: float = 1.0


@dataclass(frozen=True)
class Moment:
    """Parameters of one image: pose (radians), expression (0..1), light, frame (pixels)."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    distance: float = 8.0
    smile: float = 0.0
    gap: float = 0.0
    brow: float = 0.0
    lids: tuple[float, float] = (1.0, 1.0)
    gaze: tuple[float, float] = (0.0, 0.0)
    glasses: str = ""
    light: tuple[float, float, float] = (0.0, -0.5, 0.87)
    warm: np.ndarray = field(default_factory=lambda: np.ones(3))
    ambient: float = 0.5
    cloth: np.ndarray = field(default_factory=lambda: np.array([60.0, 62.0, 70.0]))
    frame: tuple[int, int] = (240, 240)
    fill: float = 0.6
    offset: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Faults:
    """Faults of one image; without any by default."""

    bars: tuple[float, float, float, float] = (
        0.0,
        0.0,
        0.0,
        0.0,
    )  # top, bottom, left, right: parts of the side
    caption: str = ""
    grey: bool = False
    gain: float = 1.0
    stretch: tuple[float, float] = (1.0, 1.0)
    mirror: bool = False
    zoom: float = 1.0
    blur: float = 0.0  # pixels of the image
    motion: float = -1.0  # direction in radians; negative: out of focus instead
    quality: int = 0  # of JPEG; 0: not coded


@dataclass(frozen=True)
class Slip:
    """Error of a label: a shift in shares of the face, or the face whose points it carries."""

    shift: tuple[float, float] = (0.0, 0.0)
    other: int = -1


def stream(part: str, subject: str, number: int) -> np.random.RandomState:
    """The random stream of one subject: the same for the same arguments, for ever."""
    digest = hashlib.sha256(f"{GENERATOR_VERSION}/{part}/{subject}/{number}".encode()).digest()
    return np.random.RandomState(int.from_bytes(digest[:4], "big"))


def person_of(part: str, index: int) -> int:
    """The number of the person on face `index`: unique within the part."""
    return index // _BLOCK * _PEOPLE + int(stream(part, "who", index).randint(_PEOPLE))


def _hair(rs: np.random.RandomState, melanin: float, age: float) -> np.ndarray:
    """A hair colour f[3]: dark with dark skin, any with light, grey with age, at times dyed."""
    chances = np.array([0.2, 0.25, 0.2, 0.15, 0.12, 0.08]) if melanin < 0.4 else np.array([0.7, 0.25, 0.05, 0, 0, 0])
    colour = _HAIR[rs.choice(len(_HAIR), p=chances)] * rs.uniform(0.85, 1.15)
    dyed = np.array([(196, 70, 130), (70, 130, 190), (120, 80, 170)])[rs.randint(3)]
    grey = np.clip((age - 0.62) / 0.25, 0, 1) * rs.uniform(0.5, 1)
    colour = colour + (np.array([205, 204, 202]) - colour) * grey
    return dyed if rs.rand() < 0.04 else np.clip(colour, 12, 240)


@lru_cache(maxsize=64)
def person(part: str, number: int) -> Person:
    """The person of that number."""
    rs = stream(part, "person", number)
    melanin, age, soft = rs.rand(), rs.beta(1.6, 2.2), rs.rand()
    tone = melanin * (len(_SKIN) - 1)
    skin = np.stack([np.interp(tone, np.arange(len(_SKIN)), _SKIN[:, c]) for c in range(3)])
    iris = _IRIS[rs.randint(2 if melanin > 0.5 else len(_IRIS))] * rs.uniform(0.85, 1.15)
    chances = np.array([0.02, 0.04, 0.06, 0.04, 0.16, 0.14, 0.2, 0.3, 0.0, 0.04])
    if soft < 0.5:
        chances = np.array([0.1, 0.2, 0.24, 0.18, 0.07, 0.08, 0.01, 0.03, 0.05 if age > 0.5 else 0.0, 0.05])
    style = STYLES[rs.choice(len(STYLES), p=chances / chances.sum())]
    beard = BEARDS[rs.choice(len(BEARDS), p=[0.46, 0.2, 0.08, 0.1, 0.16])] if soft < 0.5 and age > 0.12 else "none"
    firm = (0.5 - soft) * 0.12

    def near(spread: float) -> float:
        return float(1 + np.clip(rs.randn(), -2, 2) * spread)

    return Person(
        skin=skin * rs.uniform(0.97, 1.03), hair=_hair(rs, melanin, age), iris=iris, style=style, beard=beard,
        age=age, rouge=float(soft > 0.5) * rs.rand(), freckles=int(rs.rand() < 0.14 and melanin < 0.45) * 60,
        forehead=near(0.03), cheek=near(0.035), jaw=near(0.05) + firm, length=near(0.035), chin=near(0.3),
        nose_long=near(0.06), nose_wide=near(0.1) + 0.12 * melanin, nose_high=near(0.13),
        eye_gap=near(0.035), eye_size=near(0.06) - firm / 2, eye_cant=rs.randn() * 0.012 + 0.012,
        brow_thick=near(0.2) + 2 * firm, brow_arch=near(0.3) - firm, brow_high=rs.randn() * 0.012,
        mouth_wide=near(0.06), lip_full=near(0.15) + 0.15 * melanin - firm, ear=near(0.08),
    )  # fmt: skip


def _expression(rs: np.random.RandomState) -> dict[str, Any]:
    """smile, gap, brow, lids, gaze of a smile, laugh, surprise, neutral or sad face; a blink or a wink."""
    kind = rs.choice(5, p=[0.4, 0.28, 0.07, 0.2, 0.05])
    smile = (
        rs.uniform(0.4, 0.9),
        rs.uniform(0.7, 1),
        rs.uniform(-0.1, 0.2),
        rs.uniform(0.1, 0.35),
        -rs.uniform(0.2, 0.5),
    )
    gap = (rs.rand() * 0.12, rs.uniform(0.25, 0.75), rs.uniform(0.5, 1), rs.rand() * 0.06, 0.0)
    brow = (rs.rand() * 0.3, rs.rand() * 0.5, rs.uniform(0.7, 1), rs.rand() * 0.2, -0.3)
    lid = (1.0, 0.85, 1.3, 1.0, 0.85)[kind] * rs.uniform(0.85, 1.1)
    closed, draw = rs.uniform(0, 0.08), rs.rand()
    lids = (closed, closed) if draw < 0.04 else (lid, closed) if draw < 0.055 else (lid, lid)
    gaze = tuple(np.clip(rs.randn(2), -2, 2) * (0.2, 0.12))
    return {"smile": smile[kind], "gap": gap[kind], "brow": brow[kind], "lids": lids, "gaze": gaze}


def moment(part: str, index: int) -> Moment:
    """Draw the parameters of image `index`."""
    rs = stream(part, "moment", index)
    turn = np.radians(np.clip(
        (rs.uniform(-90, 90) if rs.rand() < 0.18 else np.clip(rs.randn() * 19, -45, 45), *(rs.randn(2) * 9)),
        (-90, -25, -25), (90, 25, 25),
    ))  # fmt: skip
    short = int(np.clip(np.exp(rs.randn() * 0.38 + np.log(245)), 80, 500))
    aspect = rs.choice([1.0, 1.2, 1.33, 1.5]) * rs.uniform(1, 1.06)
    frame = (short, int(short * aspect)) if rs.rand() < 0.6 else (int(short * aspect), short)
    across, up = np.radians(rs.uniform(-65, 65)), np.radians(rs.uniform(0, 60))
    light = (np.sin(across) * np.cos(up), -np.sin(up), np.cos(across) * np.cos(up))
    glasses = ("", "thin", "thick", "sun")[rs.choice(4, p=[0.76, 0.11, 0.09, 0.04])]
    warm = 1 + np.array([0.045, 0.01, -0.05]) * np.clip(rs.randn() + 0.3, -0.8, 2)
    return Moment(
        yaw=turn[0], pitch=turn[1], roll=turn[2], distance=rs.uniform(5.5, 12), glasses=glasses,
        light=light, warm=warm, ambient=rs.uniform(0.42, 0.62),
        cloth=_CLOTH[rs.randint(len(_CLOTH))] * rs.uniform(0.8, 1.1),
        frame=frame, fill=rs.uniform(0.45, 0.75), offset=tuple(rs.uniform(-0.07, 0.07, 2)), **_expression(rs),
    )  # fmt: skip


def _bars(rs: np.random.RandomState) -> tuple[float, float, float, float]:
    """Widths of the black bars: above and below, beside, or on one side; never quite equal."""
    sides = ((1, 1, 0, 0), (0, 0, 1, 1), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (1, 1, 1, 1))
    return tuple(np.array(sides[rs.randint(len(sides))]) * rs.uniform(0.03, 0.15, 4))


def faults(part: str, index: int) -> Faults:
    """Draw the faults of image `index`."""
    rs = stream(part, "faults", index)
    hits = rs.rand(10) < (0.06, 0.04, 0.10, 0.06, 0.06, 0.06, 0.05, 0.05, 0.5, 0.2)
    bars, words, stretch = (
        _bars(rs),
        ("HELLO", "smile please", "No. 42", "HAPPY DAY", "2019-07-04")[rs.randint(5)],
        rs.uniform(1.08, 1.3),
    )
    gain, zoom, blur = (
        rs.choice([rs.uniform(0.12, 0.35), rs.uniform(1.7, 2.6)]),
        rs.uniform(1.6, 2.2),
        rs.uniform(0.006, 0.016),
    )
    angle, quality = rs.uniform(0, np.pi), rs.randint(18, 60)
    return Faults(
        bars=bars if hits[0] else Faults.bars, caption=words if hits[1] else "", grey=bool(hits[2]),
        gain=gain if hits[3] else 1.0,
        stretch=((stretch, 1.0), (1.0, stretch))[rs.randint(2)] if hits[4] else (1.0, 1.0),
        mirror=bool(hits[5]), zoom=zoom if hits[6] else 1.0, blur=blur if hits[7] else 0.0,
        motion=angle if hits[8] else -1.0, quality=int(quality) if hits[9] else 0,
    )  # fmt: skip


def slip(part: str, index: int) -> Slip | None:
    """Draw the label error of face `index`; None for the 99 % that are right."""
    rs = stream(part, "slip", index)
    if rs.rand() >= 0.01:
        return None
    far, angle = rs.uniform(0.1, 0.2), rs.uniform(0, 2 * np.pi)
    other = index + int(rs.randint(1, 1000))
    return Slip(other=other) if rs.rand() < 0.3 else Slip(shift=(far * np.cos(angle), far * np.sin(angle)))
