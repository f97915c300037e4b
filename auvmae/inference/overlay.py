"""The recording with what was predicted drawn on it: a box around each face, and beside it a bar per action unit."""

from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..knowledge.facs import au_column
from ..system.read_ahead import read_ahead
from ..video.reading import frame_rate, iter_frames
from ..video.writing import VideoWriter
from .prediction import AUPrediction

COLORS = ("#4c9be8", "#f2a541", "#67c587", "#d981c4")
"""Of the faces, by their number; they repeat."""

MAX_BARS = 4
"""So many faces of a frame have bars, those with the lowest numbers; all have boxes."""

AHEAD = 4
"""Pictures that wait to be encoded, at most."""

MIN_HEIGHT = 20
"""Pixels that an action unit needs, for its name and bar; the picture grows to a panel that is higher than it."""


def write_overlay(video: str | Path, prediction: AUPrediction, path: str | Path, boxes: bool = True) -> None:
    """Write the overlay video, in the recording's own times, whole or not at all.

    Args:
        video: the file or image folder that was predicted.
        prediction: its rows.
        path: video file to write, .mp4.
        boxes: draw the faces' boxes. Those of face crops are in pixels of another video.

    Raises:
        VideoDecodeError: a frame is damaged.
        ValueError: frames change their size, or are not as many as were predicted.
    """
    frames = iter_frames(video)
    first = next(frames)
    height, width, _ = first[2].shape
    panel = _Panel(prediction, height)
    timed = not np.isnan(prediction.rows["timestamp"]).any()

    def draw() -> Generator[tuple[np.ndarray, float], None, None]:
        for rows, (_, timestamp, frame) in zip(_rows_of_frames(prediction), chain([first], frames), strict=True):
            if frame.shape != first[2].shape:
                raise ValueError(f"{video}: its frames change their size, from {first[2].shape} to {frame.shape}")
            picture = Image.new("RGB", (panel.width + width, panel.height), "black")
            picture.paste(Image.fromarray(frame), (panel.width, 0))
            if boxes:
                _draw_boxes(picture, rows, panel)
            panel.draw(picture, rows)
            yield np.asarray(picture), timestamp

    # drawing beside encoding: each takes about half of the time
    with (
        VideoWriter(path, frame_rate(Path(video)), panel.width + width, panel.height, timed) as writer,
        closing(read_ahead(draw(), AHEAD)) as pictures,
    ):
        for picture, timestamp in pictures:
            writer.write(picture, timestamp)


def _rows_of_frames(prediction: AUPrediction) -> Iterator[np.ndarray]:
    """The rows of each frame's faces; none of a frame without."""
    starts = np.flatnonzero(np.diff(prediction.rows["frame"], prepend=-1))
    for rows in np.split(prediction.rows, starts[1:]):
        yield rows[rows["face_id"] >= 0]


def _draw_boxes(picture: Image.Image, rows: np.ndarray, panel: "_Panel") -> None:
    draw = ImageDraw.Draw(picture)
    for row in rows:
        x, y, width, height = row["box"].round().tolist()
        color, x = _color(row), x + panel.width
        draw.rectangle((x, y, x + width, y + height), outline=color, width=max(2, picture.height // 240))
        label = f"face {row['face_id']}" + (f"  {row['confidence']:.2f}" if row["confidence"] else "")
        draw.text((x, y - 2), label, color, panel.font, "lb", stroke_width=2, stroke_fill="black")


def _color(row: np.void) -> str:
    return COLORS[row["face_id"] % len(COLORS)]


class _Panel:
    """The bars on the left of the picture: of each action unit its probability, bright from the threshold on."""

    def __init__(self, prediction: AUPrediction, height: int) -> None:
        self.names = [au_column(name) for name in prediction.au_names]
        self.thresholds = prediction.thresholds
        self.height = max(height, MIN_HEIGHT * len(self.names))
        self.step = min(self.height / len(self.names), max(36, self.height / 16))
        self.font = ImageFont.load_default(max(10, self.step * 0.45))
        self.left = 12 + max(int(self.font.getlength(name)) for name in self.names)
        self.width = self.left + 6 * int(self.step)
        self.width += self.width % 2

    def draw(self, picture: Image.Image, rows: np.ndarray) -> None:
        """Draw the bars of a frame's faces, shape (faces,)."""
        draw = ImageDraw.Draw(picture)
        draw.rectangle((0, 0, self.width - 1, self.height), fill="#1c1f24")
        span = self.width - self.left - 10
        for number, (name, threshold) in enumerate(zip(self.names, self.thresholds, strict=True)):
            top, middle = number * self.step + 3, (number + 0.5) * self.step
            present = bool((rows["probs"][:, number] >= threshold).any())
            draw.text((6, middle), name, "white" if present else "#8a9099", self.font, "lm")
            draw.rectangle((self.left, top, self.left + span, top + self.step - 6), fill="#2b3038")
            thick = (self.step - 6) / max(1, min(len(rows), MAX_BARS))
            for place, row in enumerate(rows[:MAX_BARS]):
                prob, y = row["probs"][number], top + place * thick
                color = _color(row) if prob >= threshold else _dark(_color(row))
                draw.rectangle((self.left, y, self.left + span * prob, y + thick - 1), fill=color)
            tick = self.left + span * threshold
            draw.line((tick, top, tick, top + self.step - 6), fill="#8a9099")
        if not len(rows):
            words = self.left + span / 2, self.step
            x, low, right, high = draw.textbbox(words, "no face", self.font, "mm")
            draw.rectangle((x - 6, low - 4, right + 6, high + 4), fill="#1c1f24")  # no bar behind the words
            draw.text(words, "no face", "white", self.font, "mm")


def _dark(color: str) -> str:
    return "#" + "".join(f"{int(color[place : place + 2], 16) // 2:02x}" for place in (1, 3, 5))
