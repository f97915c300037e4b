"""Draw cartoon faces with controllable action units.

They follow FACS geometry and serve tests, demos and learning curves.

Face coordinates have x to the right and y down, both about -1..1 over the frame, with the nose near (0, 0.1). Faces are
symmetric, so features are functions of u = |x|. The pose maps the pixels of each frame into these coordinates. All
distances below are in face units; at 64 pixels, one unit is 32 pixels. Edges are anti-aliased from signed distances.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...knowledge.facs import DISFA_AUS

FloatArray = NDArray[np.floating[Any]]
Actions = dict[str, FloatArray]  # "AU12" and so on, and "blink": fraction of the full movement, (T, 1, 1)

# Maps an intensity of 0..5 to a fraction of the full movement. It is steepest between 1 (labelled absent) and 2
# (labelled present), so that a change of the label is visible in the image.
RESPONSE = (0.0, 0.12, 0.65, 0.8, 0.92, 1.0)
FRAMES_AT_ONCE = 16  # a batch of 80-pixel frames then fits in the L2 cache
LONGEST_SIDE_HAIR = 0.14  # width of the hair that covers the side of the face; 0 = short hair
SKINS = ((0.96, 0.81, 0.71), (0.91, 0.73, 0.60), (0.80, 0.60, 0.46), (0.66, 0.47, 0.35), (0.52, 0.36, 0.27))
HAIRS = ((0.10, 0.08, 0.07), (0.25, 0.16, 0.10), (0.42, 0.27, 0.15), (0.78, 0.62, 0.36), (0.55, 0.24, 0.12), (0.6,) * 3)
EYES = ((0.25, 0.15, 0.08), (0.40, 0.28, 0.14), (0.25, 0.42, 0.58), (0.30, 0.45, 0.30))


def _within(low: float, high: float) -> Any:
    """Define a field that [`draw_identity`] draws uniformly."""
    return field(metadata={"range": (low, high)})


@dataclass(frozen=True, kw_only=True)
class FaceIdentity:
    """Hold the features that are constant within a video.

    Colours are RGB in 0..1, lengths in face units. The shapes of neutral brows, lids and lips vary by less than an
    intensity of 2 moves them. Colours vary freely.
    """

    skin: FloatArray
    hair: FloatArray
    brow: FloatArray
    iris: FloatArray
    lip: FloatArray
    background: FloatArray
    side_hair: float
    beard: float
    glasses: bool
    face_width: float = _within(0.80, 0.92)
    chin: float = _within(0.79, 0.83)
    taper: float = _within(0.05, 0.25)
    hairline: float = _within(-0.86, -0.78)
    parting: float = _within(-0.5, 0.5)
    brow_height: float = _within(-0.36, -0.33)
    brow_thickness: float = _within(0.035, 0.06)
    brow_arch: float = _within(0.03, 0.06)
    eye_distance: float = _within(0.37, 0.41)
    eye_width: float = _within(0.18, 0.21)
    eye_opening: float = _within(0.95, 1.1)
    nose_width: float = _within(0.12, 0.16)
    mouth_height: float = _within(0.45, 0.48)
    mouth_width: float = _within(0.27, 0.31)
    lip_thickness: float = _within(0.055, 0.085)
    light_right: float = _within(-0.25, 0.25)
    light_down: float = _within(-0.2, 0.05)
    gain: float = _within(0.9, 1.05)
    noise: float = _within(0.006, 0.018)


def draw_identity(rng: np.random.Generator) -> FaceIdentity:
    """Draw a random identity."""
    drawn = {part.name: rng.uniform(*part.metadata["range"]) for part in fields(FaceIdentity) if part.metadata}
    skin = np.clip(SKINS[rng.integers(len(SKINS))] + rng.normal(0, 0.02, 3), 0, 1)
    hair = np.clip(HAIRS[rng.integers(len(HAIRS))] + rng.normal(0, 0.02, 3), 0.03, 1)
    return FaceIdentity(
        skin=skin,
        hair=hair,
        brow=np.minimum(hair, 0.55) * rng.uniform(0.4, 0.6),
        iris=np.array(EYES[rng.integers(len(EYES))]),
        lip=0.5 * skin + np.array((0.36, 0.125, 0.135)) * rng.uniform(0.75, 1.1),
        background=(rng.uniform(0.25, 0.75) + rng.normal(0, 0.08, 3)).clip(0, 1),
        side_hair=float(rng.choice((0.0, 0.06, LONGEST_SIDE_HAIR))),
        beard=float(rng.choice((0.0, 0.35, 0.6), p=(0.75, 0.15, 0.10))),
        glasses=bool(rng.random() < 0.2),
        **drawn,
    )


@dataclass
class _Canvas:
    """Hold a window on a batch of frames and the face coordinates of its pixels.

    `rgb` is (3, T, h, w) in 0..1. The coordinates `x`, `y` and `u` are (T, h, w).
    """

    rgb: FloatArray
    x: FloatArray
    y: FloatArray
    u: FloatArray
    pixel: float

    def window(self, width: float, top: float, bottom: float) -> _Canvas:
        """Crop the canvas to the pixels with |x| < width and top < y < bottom in any pose.

        Most features are small, so drawing in a window saves time.
        """
        size, slack = self.x.shape[-1], 0.16
        edges = (np.array((top - slack, bottom + slack, -width - slack, width + slack)) + 1) / self.pixel
        y0, y1, x0, x1 = np.clip(np.rint(edges).astype(int), 0, size)
        part = (..., slice(y0, y1), slice(x0, x1))
        return _Canvas(self.rgb[part], self.x[part], self.y[part], self.u[part], self.pixel)

    def inside(self, distance: Any) -> FloatArray:
        """Convert the signed distance to an edge (negative = inside) to coverage, 0..1."""
        return np.clip(0.5 - distance / self.pixel, 0, 1)

    def between(self, value: FloatArray, low: Any, high: Any) -> FloatArray:
        """Compute the coverage of the band low < value < high."""
        return self.inside(low - value) * self.inside(value - high)

    def paint(self, alpha: FloatArray, color: Any, brightness: Any = 1.0) -> None:
        """Blend a colour times brightness into the image with opacity alpha (T, h, w)."""
        for channel, level in zip(self.rgb, np.asarray(color, np.float32), strict=True):
            channel += alpha * (level * brightness - channel)

    def shade(self, amount: FloatArray) -> None:
        """Darken by the factor 1 - amount, which keeps the colour of the skin."""
        self.rgb *= 1 - amount


def _line(distance: FloatArray, width: Any) -> FloatArray:
    """Draw a soft stroke that falls from 1 on the line to 0 at `width`."""
    return np.clip(1 - np.abs(distance) / width, 0, 1)


def _furrow(distance: FloatArray, width: float) -> FloatArray:
    """Draw a fold of skin as a dark stroke with a lit ridge on its negative side."""
    return _line(distance, width) - 0.35 * _line(distance + 1.4 * width, width)


def render_faces(
    face: FaceIdentity, intensities: NDArray[Any], motion: NDArray[Any], image_size: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Draw T frames of one face.

    Args:
        face: Identity to draw.
        intensities: Continuous intensities `(T, 8)` in 0..5, in the order of `DISFA_AUS`.
        motion: Motion `(T, 6)`: shift right and down (units), roll (radians), log scale, yaw (units of shift at the
            nose), and the upper lid in 0..1, 1 = shut.
        image_size: Height and width in pixels.
        rng: Generator of the sensor noise only.

    Returns:
        `uint8` RGB frames `(T, image_size, image_size, 3)`.
    """
    frames = np.empty((len(intensities), image_size, image_size, 3), np.uint8)
    action = np.interp(intensities, np.arange(6), RESPONSE).astype(np.float32)
    for start in range(0, len(frames), FRAMES_AT_ONCE):
        part = slice(start, start + FRAMES_AT_ONCE)
        au: Actions = {f"AU{number}": action[part, i, None, None] for i, number in enumerate(DISFA_AUS)}
        *pose, au["blink"] = np.asarray(motion[part], np.float32).T[:, :, None, None]
        canvas = _pose_canvas(pose, image_size)
        for draw in (_draw_head, _draw_forehead, _draw_eyes, _draw_nose, _draw_mouth, _draw_hair_and_glasses):
            draw(canvas, face, au)
        noise = rng.standard_normal(canvas.x.shape, np.float32) * face.noise
        frames[part] = np.moveaxis(np.clip((canvas.rgb * face.gain + noise) * 255, 0, 255), 0, -1)
    return frames


def _pose_canvas(pose: list[FloatArray], size: int) -> _Canvas:
    right, down, roll, log_scale, yaw = pose
    grid = (np.arange(size, dtype=np.float32) + 0.5) * 2 / size - 1
    scale = np.exp(-log_scale)
    gx, gy = grid[None, None, :] - right, grid[None, :, None] - down
    x = (gx * np.cos(roll) + gy * np.sin(roll)) * scale
    y = (gy * np.cos(roll) - gx * np.sin(roll)) * scale
    # the nose is nearer to the camera than the cheeks, so a turn of the head shifts it further
    x = x - yaw * np.clip(1 - x * x - y * y, 0, 1)
    return _Canvas(np.empty((3, *x.shape), np.float32), x, y, np.abs(x), 2 / size)


def _hair_outline(c: _Canvas, face: FaceIdentity) -> FloatArray:
    """Compute the coverage of the hair, including the part behind the face.

    Short hair ends above the ears, long hair hangs down.
    """
    closing = (1 - face.side_hair / LONGEST_SIDE_HAIR) ** 2 * np.clip(c.y + 0.35, 0, None) ** 2
    width = np.maximum(face.face_width + 0.12 - closing, 0.1)
    return c.inside(np.hypot(c.u / width, np.minimum(c.y + 0.05, 0) / 1.02) - 1)


def _draw_head(c: _Canvas, face: FaceIdentity, au: Actions) -> None:
    c.rgb[:] = face.background.astype(np.float32)[:, None, None, None] * (1 - 0.2 * c.y)
    c.paint(_hair_outline(c, face), 0.7 * face.hair)
    neck = c.window(0.6, 0.4, 1.1)
    neck.paint(neck.inside(neck.u - 0.5) * neck.inside(0.3 - neck.y), 0.5 * face.skin)
    chin = face.chin + 0.2 * au["AU26"]
    below = np.clip(c.y + 0.05, 0, None)
    height = np.where(c.y < -0.05, 1.1, chin + 0.05)
    radius = np.hypot(c.u / (face.face_width * (1 - face.taper * below**2)), (c.y + 0.05) / height)
    skin = c.inside((radius - 1) * 0.85)
    c.paint(skin, face.skin)
    if face.beard:
        c.paint(face.beard * skin * np.clip(4 * np.hypot(c.u / 0.62, below / 0.66) - 3.6, 0, 1), face.hair)
    c.rgb *= 1 + skin * np.clip(face.light_right * c.x + face.light_down * c.y - 0.3 * radius**4, -0.5, 0.3)
    # AU26: the crease of the chin moves down with the jaw, and the stretched cheeks hollow
    low = c.window(0.75, 0.1, 1.0)
    crease = _furrow(low.y - (chin - 0.10 - 0.5 * low.u**2), 0.04) * low.inside(low.u - 0.16)
    hollow = _line(low.u - 0.62 + 0.25 * (low.y - 0.4), 0.14) * _line(low.y - 0.42, 0.36)
    low.shade(0.25 * crease + 0.6 * au["AU26"] * hollow)


def _draw_forehead(c: _Canvas, face: FaceIdentity, au: Actions) -> None:
    c = c.window(0.85, -0.85, -0.05)
    inner, outer = 0.13 - 0.07 * au["AU4"], face.eye_distance + 0.29
    along = np.clip((c.u - inner) / (outer - inner), 0, 1)
    raised = 0.24 * (au["AU1"] * (1 - along) ** 1.3 + au["AU2"] * along)
    lowered = au["AU4"] * (0.13 - 0.05 * along)
    middle = face.brow_height - 4 * face.brow_arch * along * (1 - along) - raised + lowered
    # AU1 wrinkles the middle of the forehead, AU2 its sides; AU4 makes two vertical furrows between the brows
    level = np.where(c.u < 0.32, c.y + 0.66 - 0.08 * c.u, c.y + 0.62 - 0.25 * (c.u - 0.35))
    where = au["AU1"] * c.inside(c.u - 0.26) + au["AU2"] * c.between(c.u, 0.38, 0.74)
    folds = _furrow(level - 0.05, 0.04) + _furrow(level + 0.06, 0.04)
    upright = au["AU4"] * _furrow(c.u - 0.055, 0.045) * c.between(c.y, -0.44, -0.14)
    c.shade(0.5 * where * folds + 0.65 * upright)
    brow = c.inside(np.abs(c.y - middle) - face.brow_thickness * (1.1 - 0.6 * along)) * c.between(c.u, inner, outer)
    c.paint(0.92 * brow, face.brow)


def _draw_eyes(c: _Canvas, face: FaceIdentity, au: Actions) -> None:
    c = c.window(0.95, -0.3, 0.3)
    center_y, across = -0.07, (c.u - face.eye_distance) / face.eye_width
    profile = np.clip(1 - across**2, 0, 1)
    c.shade(0.2 * np.clip(1.3 - (across / 1.5) ** 2 - ((c.y - center_y) / 0.2) ** 2, 0, 1))
    low, high = (0.07 - 0.11 * au["AU6"]) * face.eye_opening, 0.098 * face.eye_opening
    upper = center_y - (high + au["blink"] * (0.012 - low - high)) * profile
    lower = center_y + low * profile
    within = c.inside((np.abs(across) - 1) * face.eye_width)
    eye = c.between(c.y, upper, lower) * within
    c.paint(eye, (0.93, 0.92, 0.90))
    distance = np.hypot(c.u - face.eye_distance, c.y - center_y + 0.01)
    c.paint(eye * c.inside(distance - 0.09), face.iris)
    c.paint(eye * c.inside(distance - 0.045), (0.03, 0.03, 0.03))
    c.paint(0.85 * _line(c.y - upper + 0.01, 0.04) * within, 0.4 * face.brow)
    # AU6: the lower lid rises, a fold curves under the raised cheek, and crow's feet fan out from the corner
    bow = 0.05 + 0.13 * np.clip(1 - (across / 1.5) ** 2, 0, 1)
    fold = _furrow(c.y - bow, 0.06) * c.inside((np.abs(across) - 1.3) * face.eye_width)
    beyond = c.u - face.eye_distance - face.eye_width
    slope = (c.y - center_y) / np.maximum(beyond + 0.14, 0.1)
    feet = (_line(np.abs(slope) - 0.62, 0.22) + _line(slope, 0.22)) * c.between(beyond, 0.03, 0.17)
    c.shade(0.2 * _line(c.y - lower - 0.012, 0.03) * within + au["AU6"] * np.clip(0.55 * fold + 0.5 * feet, -1, 0.6))


def _draw_nose(c: _Canvas, face: FaceIdentity, au: Actions) -> None:
    c = c.window(0.5, -0.25, 0.45)
    up, width = 0.09 * au["AU9"], face.nose_width * (1 + 0.25 * au["AU9"])
    lit = _line(c.u, 0.09) * c.between(c.y, -0.15, 0.2) + _line(np.hypot(c.u, c.y - 0.17 + up), 0.12)
    wing = _line(np.hypot(c.u - width, (c.y - 0.20 + up) * 0.9) - 0.05, 0.04) * c.inside(width - c.u)
    side = _line(c.u - 0.10 - 0.15 * np.clip(c.y, 0, 1), 0.05) * c.between(c.y, -0.14, 0.18)
    nostril = c.inside(np.hypot(c.u - 0.55 * width, (c.y - 0.255 + up) * 1.5) - 0.035)
    c.shade(0.4 * wing + 0.15 * side + 0.7 * nostril - 0.12 * lit)
    # AU9: wrinkles across the bridge, and the top of the nasolabial fold next to the wings
    slant = c.y + 0.35 * c.u
    waves = _furrow(slant + 0.09, 0.042) + _furrow(slant - 0.01, 0.042) + _furrow(slant - 0.11, 0.042)
    beside = _furrow(0.24 + 0.45 * (c.y - 0.1) - c.u, 0.06) * c.between(c.y, -0.02, 0.36)
    crumpled = (0.7 * waves + 0.25 * _line(c.y - 0.02, 0.2)) * c.inside((c.u - 0.18) * 0.5)
    c.shade(au["AU9"] * np.clip(crumpled + 0.6 * beside, -1, 0.75))


def _draw_mouth(c: _Canvas, face: FaceIdentity, au: Actions) -> None:
    c = c.window(0.65, 0.15, 1.0)
    parted = np.clip(1.6 * au["AU25"], 0, 1)
    corner_x = face.mouth_width + 0.15 * au["AU12"] - 0.04 * au["AU26"]
    corner_y = face.mouth_height - 0.19 * au["AU12"] + 0.06 * au["AU26"]
    profile = np.clip(1 - (c.u / corner_x) ** 2, 0, 1)
    line = corner_y + (face.mouth_height + 0.10 * au["AU26"] * (1 - parted) - corner_y) * profile
    upper = line - 0.035 * au["AU25"] * profile
    lower = line + (0.12 * au["AU25"] + 0.20 * parted * au["AU26"]) * profile
    lift = 1 + 1.0 * au["AU9"] - 0.2 * au["AU12"]
    within = c.inside(c.u - corner_x)
    top = upper - face.lip_thickness * lift * profile * (1 - 0.3 * _line(c.u, 0.08))
    bottom = lower + 1.2 * face.lip_thickness * profile
    # AU12: the nasolabial fold runs from the wing of the nose past the corner of the mouth
    reach = (c.y - 0.22) / (corner_y - 0.12)
    bow = 0.25 + (corner_x - 0.14) * np.clip(reach, 0, 1) ** 0.7
    fold = _furrow(bow - c.u, 0.08) * c.between(reach, 0, 1)
    dimple = _line(np.hypot(c.u - corner_x - 0.02, c.y - corner_y), 0.10)
    c.shade(au["AU12"] * np.clip(0.6 * fold + 0.45 * dimple, -1, 0.6))
    c.shade(0.15 * _line(c.y - bottom - 0.04, 0.05) * c.inside(c.u - 0.6 * corner_x))
    c.paint(c.between(c.y, top, bottom) * within, face.lip)
    c.paint(_line(c.y - line, 0.022) * (1 - parted) * within, 0.35 * face.lip)
    gap = c.between(c.y, upper, lower) * within * np.clip(3 * au["AU25"], 0, 1)
    c.paint(gap, (0.13, 0.03, 0.04))  # first the dark mouth cavity, then the upper teeth
    c.paint(gap * c.inside(c.y - upper - 0.055) * c.inside(c.u - 0.85 * corner_x), (0.95, 0.94, 0.90))


def _draw_hair_and_glasses(c: _Canvas, face: FaceIdentity, au: Actions) -> None:
    # the hair leaves an arch uncovered, rounded over the forehead and straight along the cheeks
    rise = np.clip(c.y / (face.hairline * (1 + 0.1 * face.parting * c.x)), 0, None)
    free = ((c.u / (face.face_width + 0.01 - face.side_hair)) ** 3 + rise**3) ** 0.33
    strands = 1 + 0.08 * np.sin(50 * c.x + 12 * c.y * (c.x + face.parting))
    c.paint(c.inside((1 - free) * 0.8) * _hair_outline(c, face), face.hair, strands)
    if face.glasses:
        g = c.window(0.9, -0.4, 0.25)
        ring = np.abs(np.hypot((g.u - face.eye_distance) / 1.15, g.y + 0.05) - 0.22)
        bar = np.maximum(np.abs(g.y + 0.08), g.u - face.eye_distance + 0.24)
        g.paint(0.9 * g.inside(np.minimum(ring, bar) - 0.012), 0.2 * face.hair)
