"""Write video files atomically."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from ..system.leftovers import remove_leftovers_once, temporary_sibling
from .container import ffmpeg_path

# a keyframe every 32 frames, a P-frame every 4, and unreferenced B-frames between them. mbtree is off because it makes
# the bytes differ between runs.
X264_PARAMS = "keyint=32:min-keyint=32:scenecut=0:bframes=3:b-adapt=0:b-pyramid=none:mbtree=0"
TICK = Fraction(1, 90000)
"""Time base of a timed video, in seconds."""


class VideoWriter:
    """Write RGB frames to a video file, as a context manager.

    The file appears when the block ends without error. Until then it is named `<name>.*.tmp`, which no reader takes
    for a video.

    The video is H.264 (yuv420p, visually lossless). A single thread encodes it, so that the same frames give the same
    bytes on any number of cores. The encoding is tuned for training:

    - A keyframe every 32 frames makes it cheap to read a clip from the middle.
    - Only every 4th frame is referenced by others, so the frame level decodes these frames alone.
    - The most expensive tools of the codec (CABAC, the deblocking filter) are disabled. Files are an eighth larger, and
      decoding is a third cheaper.

    Args:
        path: File to write. The suffix selects the container (.mp4, .mkv, .mov, .avi).
        fps: Frames per second.
        width: Width of the frames in pixels.
        height: Height of the frames in pixels. H.264 requires even sizes, so an odd size is padded by repeating the
            last row or column.
        timed: Whether each frame comes with a timestamp. `fps` is then the mean frame rate.
        crf: Quality of H.264, from 0 (lossless) to 51; 18 looks like the original.

    Raises:
        ValueError: A frame has the wrong shape or dtype, or no frame was written.
    """

    def __init__(
        self, path: str | Path, fps: Fraction | float, width: int, height: int, timed: bool = False, crf: int = 18
    ) -> None:
        self.path = Path(path)
        self.shape = (height, width, 3)
        remove_leftovers_once(self.path.parent.resolve())
        self._temporary = temporary_sibling(self.path)
        container_format = {".mkv": "matroska"}.get(self.path.suffix.lower(), self.path.suffix.lower().lstrip("."))
        self._container = av.open(ffmpeg_path(self._temporary), "w", format=container_format)
        stream: Any = self._container.add_stream("libx264", rate=Fraction(fps).limit_denominator(90000))
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(crf), "preset": "veryfast", "tune": "fastdecode", "x264-params": X264_PARAMS}
        stream.codec_context.thread_count = 1
        if timed:
            stream.codec_context.time_base = TICK
        self._stream = stream
        self._num_frames = 0
        self._latest = -(2**62)

    def write(self, frame: np.ndarray, timestamp: float = 0.0) -> None:
        """Append one RGB frame, uint8 of shape (height, width, 3).

        `timestamp` is in seconds, and used only if the video is `timed`.
        """
        if frame.shape != self.shape or frame.dtype != np.uint8:
            found = f"{frame.dtype} of shape {frame.shape}"
            raise ValueError(f"{self.path}: frames must be uint8 of shape {self.shape}, found {found}")
        height, width, _ = self.shape
        if height % 2 or width % 2:
            frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        video_frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        if self._stream.codec_context.time_base == TICK:
            # two frames may have one timestamp, but not in the file
            self._latest = max(self._latest + 1, round(timestamp / TICK))
            video_frame.pts, video_frame.time_base = self._latest, TICK
        self._container.mux(self._stream.encode(video_frame))
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
