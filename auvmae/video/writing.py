"""Frames into files, whole or not at all."""

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from .container import ffmpeg_path

# keyframes every 32, between them P every 4 and B that nothing refers to. With mbtree the same frames give other bytes
# from one run to the next.
X264_PARAMS = "keyint=32:min-keyint=32:scenecut=0:bframes=3:b-adapt=0:b-pyramid=none:mbtree=0"
TICK = Fraction(1, 90000)
"""The finest step of time of a timed video, in seconds."""


class VideoWriter:
    """Write RGB frames to a video file. A context manager: the file appears, whole, when the block ends without error.

    Until then it is `<name>.<pid>.tmp`, which no reader takes for a video. It is H.264 (yuv420p, visually lossless),
    written by one thread, so that the same frames give the same bytes whatever the number of cores, and made to be read
    in training: a keyframe every 32 frames, so that a clip from the middle is cheap; no frame but every 4th is needed
    by another, so that frame level decodes these alone; and the codec's dearest tools (CABAC, the deblocking filter)
    are left out, which makes files an eighth larger and decoding a third cheaper.

    Args:
        path: file to write; the suffix chooses the container (.mp4, .mkv, .mov, .avi).
        fps: frames per second.
        width: width of the frames, in pixels.
        height: height of the frames, in pixels. H.264 needs even sizes: an odd one grows by a repeated row or column.
        timed: every frame comes with its time; `fps` is their mean.

    Raises:
        ValueError: a frame of another shape or dtype, or no frame at all.
    """

    def __init__(self, path: str | Path, fps: Fraction | float, width: int, height: int, timed: bool = False) -> None:
        self.path = Path(path)
        self.shape = (height, width, 3)
        self._temporary = self.path.with_name(f"{self.path.name}.{os.getpid()}.tmp")
        container_format = {".mkv": "matroska"}.get(self.path.suffix.lower(), self.path.suffix.lower().lstrip("."))
        self._container = av.open(ffmpeg_path(self._temporary), "w", format=container_format)
        stream: Any = self._container.add_stream("libx264", rate=Fraction(fps).limit_denominator(90000))
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "18", "preset": "veryfast", "tune": "fastdecode", "x264-params": X264_PARAMS}
        stream.codec_context.thread_count = 1
        if timed:
            stream.codec_context.time_base = TICK
        self._stream = stream
        self._num_frames = 0

    def write(self, frame: np.ndarray, timestamp: float = 0.0) -> None:
        """Append one frame, uint8 of shape (height, width, 3), RGB; if `timed`, shown at `timestamp`, in seconds."""
        if frame.shape != self.shape or frame.dtype != np.uint8:
            raise ValueError(f"{self.path}: frames are uint8 of shape {self.shape}, got {frame.dtype} {frame.shape}")
        height, width, _ = self.shape
        if height % 2 or width % 2:
            frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        if self._stream.codec_context.time_base == TICK:
            picture.pts, picture.time_base = round(timestamp / TICK), TICK
        self._container.mux(self._stream.encode(picture))
        self._num_frames += 1

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, error: type[BaseException] | None, *details: object) -> None:
        try:
            with self._container:
                if error is None and not self._num_frames:
                    raise ValueError(f"{self.path}: no frame was written")
                if error is None:
                    self._container.mux(self._stream.encode())
            if error is None:
                self._temporary.replace(self.path)
        finally:
            self._temporary.unlink(missing_ok=True)
