"""Draw predictions on a recording, with face boxes and a bar per action unit."""

from collections.abc import Generator, Iterator
from contextlib import closing
from operator import itemgetter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..faces.crop_files import has_index, read_index
from ..knowledge.facs import au_column
from ..system.read_ahead import read_ahead
from ..video.container import VideoDecodeError
from ..video.damage.faults import Faults
from ..video.reading import Frame, frame_rate, iter_frames
from ..video.selection import FrameSelection
from ..video.writing import VideoWriter
from .prediction import AUPrediction

COLORS = ("#4c9be8", "#f2a541", "#67c587", "#d981c4")
"""Colours of the faces, cycled by face number."""

MAX_BARS = 4
"""Faces per frame with bars, those with the lowest numbers; all faces have boxes."""

AHEAD = 4
"""Frames that may wait to be encoded."""

MIN_HEIGHT = 20
"""Pixels per action unit, for its name and bar; the frame grows if the panel is higher."""


def write_overlay(video: str | Path, prediction: AUPrediction, path: str | Path, boxes: bool = True) -> None:
    """Write the overlay video atomically, with the timestamps of the recording.

    Only frames that were selected for prediction are shown. With a start, the first one is at 0 s. A damaged frame is
    black. Frames of another size than the first one are scaled to its size.

    Args:
        video: Video file or image folder that was predicted.
        prediction: Rows of the video.
        path: Video file to write, .mp4.
        boxes: Draw the face boxes. Disable this for face crops, whose boxes are in pixels of the original video.

    Raises:
        VideoDecodeError: If the file does not open, or no frame can be decoded.
        ValueError: If the number of frames differs from the prediction.
    """
    width, height = frame_size(video)
    panel = _Panel(prediction, height)
    selection = FrameSelection(**prediction.provenance.get("selection", {}))
    timed = not np.isnan(prediction.rows["timestamp"]).any()

    def draw() -> Generator[tuple[np.ndarray, float], None, None]:
        begin = None if selection.timed else 0.0
        frames = _selected_frames(video, selection, not boxes)
        for (rows, turned), (_, timestamp, frame) in zip(_rows_of_frames(prediction), frames, strict=True):
            begin = timestamp if begin is None else begin
            picture = Image.new("RGB", (panel.width + width, panel.height), "black")
            if frame is not None:
                shown = Image.fromarray(frame)
                if boxes:
                    _draw_boxes(shown, rows, turned, panel)
                if shown.size != (width, height):
                    shown = shown.resize((width, height))
                picture.paste(shown, (panel.width, 0))
            panel.draw(picture, rows)
            yield np.asarray(picture), timestamp - begin

    # draw and encode in parallel: each takes about half of the time
    with (
        VideoWriter(
            path, frame_rate(Path(video)) / selection.every, panel.width + width, panel.height, timed
        ) as writer,
        closing(read_ahead(draw(), AHEAD)) as pictures,
    ):
        for picture, timestamp in pictures:
            writer.write(picture, timestamp)


def _selected_frames(video: str | Path, selection: FrameSelection, cropped: bool) -> Iterator[Frame]:
    """Yield the frames that were predicted.

    Those of a crop are selected by the times in its index.
    """
    frames = iter_frames(video, Faults())
    if not cropped or not has_index(video):
        yield from selection.select(frames, itemgetter(1))
        return
    timed = zip(read_index(video).timestamp.tolist(), frames, strict=True)
    yield from map(itemgetter(1), selection.select(timed, itemgetter(0)))


def frame_size(video: str | Path) -> tuple[int, int]:
    """Return width and height of the first frame that can be decoded, as it is shown.

    Raises:
        VideoDecodeError: If the file does not open, or no frame can be decoded.
    """
    for *_, frame in iter_frames(video, Faults()):
        if frame is not None:
            return frame.shape[1], frame.shape[0]
    raise VideoDecodeError.of(video, "all frames are damaged")


def _rows_of_frames(prediction: AUPrediction) -> Iterator[tuple[np.ndarray, NDArray[np.bool_]]]:
    """Split the rows by frame, and whether their heads are out of range.

    A frame without faces has none.
    """
    starts = np.flatnonzero(np.diff(prediction.rows["frame"], prepend=-1))[1:]
    turned = np.split(prediction.in_range == 0, starts)
    for rows, out in zip(np.split(prediction.rows, starts), turned, strict=True):
        found = rows["face_id"] >= 0
        yield rows[found], out[found]


def _draw_boxes(picture: Image.Image, rows: np.ndarray, turned: NDArray[np.bool_], panel: "_Panel") -> None:
    draw = ImageDraw.Draw(picture)
    for row, out in zip(rows, turned, strict=True):
        x, y, width, height = row["box"].round().tolist()
        color = _color(row)
        outline = _dark(color) if out else color
        draw.rectangle((x, y, x + width, y + height), outline=outline, width=max(2, picture.height // 240))
        label = f"face {row['face_id']}" + (f"  {row['confidence']:.2f}" if row["confidence"] else "")
        label += "  out of range" if out else ""
        draw.text((x, y - 2), label, color, panel.font, "lb", stroke_width=2, stroke_fill="black")


def _color(row: np.void) -> str:
    return COLORS[row["face_id"] % len(COLORS)]


class _Panel:
    """Draw the probability bars left of the frame, bright at or above the threshold."""

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
        """Draw the bars for a frame's rows, (faces,)."""
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
            draw.rectangle((x - 6, low - 4, right + 6, high + 4), fill="#1c1f24")  # hide the bars behind the words
            draw.text(words, "no face", "white", self.font, "mm")


def _dark(color: str) -> str:
    return "#" + "".join(f"{int(color[place : place + 2], 16) // 2:02x}" for place in (1, 3, 5))
