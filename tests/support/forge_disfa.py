"""Forge miniature DISFA trees in the exact format.

Videos are AVI without B-frames. Label files have lines `frame,intensity` from frame 1 and no header.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
import numpy as np

AUS = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)
SUBJECTS = ("SN001", "SN002", "SN003", "SN010", "SN013")  # parts 1, 1, 3, 1, 2
LENGTHS = {"SN001": 300, "SN002": 129, "SN003": 256, "SN010": 127, "SN013": 40}

BLOCK = 8


def numbered_frame(index: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Draw a frame that encodes its index as 12 black or white blocks, legible after lossy coding."""
    frame = np.full((height, width, 3), (60, 120, 90), np.uint8)
    for bit in range(12):
        row, column = divmod(bit, 4)
        frame[row * BLOCK : (row + 1) * BLOCK, column * BLOCK : (column + 1) * BLOCK] = 255 * (index >> bit & 1)
    return frame


def frame_numbers(frames: np.ndarray) -> list[int]:
    """Read the indices that `numbered_frame` encoded, from (T, H, W, 3)."""
    middle = slice(BLOCK // 2, 4 * BLOCK, BLOCK)
    bits = frames[:, middle, middle][:, :3].mean(-1).reshape(len(frames), 12) > 128
    return (bits @ (1 << np.arange(12))).tolist()


def write_video(path: Path, frames: Any, codec: str = "mpeg4", rotation: int = 0, fps: int = 20) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = list(frames)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=fps)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "rgb24" if codec == "cinepak" else "yuv420p"
        stream.thread_count = 1
        if codec == "mpeg4":
            stream.options = {"bf": "0"}
        if rotation:
            stream.set_display_rotation(rotation)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def intensities(subject: str, length: int) -> np.ndarray:
    """Draw (length, 12) intensities 0 to 5 in bouts, like real ones, fixed per subject."""
    rng = np.random.default_rng(int(subject[2:]))
    starts = rng.integers(0, 6, (length // 20 + 1, len(AUS))) * (rng.random((length // 20 + 1, len(AUS))) < 0.3)
    return starts.repeat(20, axis=0)[:length]


def forge_disfa(
    root: Path,
    lengths: Mapping[str, int] = LENGTHS,
    *,
    labels_folder: str = "ActionUnit_Labels",
    video_name: str = "Videos_LeftCamera/LeftVideo{subject}_comp.avi",
    video_lengths: Mapping[str, int] | None = None,
) -> dict[str, np.ndarray]:
    """Write a tree and return the intensities in it, by subject."""
    written = {}
    for subject, length in lengths.items():
        written[subject] = intensities(subject, length)
        write_labels(root / labels_folder, subject, written[subject])
        frames = (numbered_frame(index) for index in range((video_lengths or {}).get(subject, length)))
        write_video(root / video_name.format(subject=subject), frames)
    return written


def write_labels(folder: Path, subject: str, values: np.ndarray) -> None:
    (folder / subject).mkdir(parents=True, exist_ok=True)
    for au, column in zip(AUS, values.T, strict=True):
        lines = "".join(f"{frame},{value}\n" for frame, value in enumerate(column.tolist(), 1))
        (folder / subject / f"{subject}_au{au}.txt").write_text(lines)
