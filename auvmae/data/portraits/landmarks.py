"""Detect the landmarks that the fits start from, with MediaPipe.

    python auvmae/data/portraits/landmarks.py PORTRAITS face_landmarker.task landmarks.npz

MediaPipe is needed once, to make `fits.npz`, and never to render. So this file imports nothing of the package and runs
in an environment that only has `mediapipe`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

JAW = (162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389)
BROWS = (71, 63, 105, 66, 107, 336, 296, 334, 293, 301)
NOSE = (168, 197, 5, 4, 75, 97, 2, 326, 305)
EYES = (33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380)
LIPS = (61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87)

FROM_478 = np.array([*JAW, *BROWS, *NOSE, *EYES, *LIPS])
"""The 68 landmarks of the rig among the 478 of MediaPipe."""

IRISES = ((468, 469, 470, 471, 472), (473, 474, 475, 476, 477))
"""Centre and four points of the rim of the iris, left and right in the image."""


def detect_landmarks(portraits: Path, model: Path) -> dict[str, Any]:
    """Detect the landmarks of all portraits of a folder.

    Args:
        portraits: Folder with images `female/512/0.jpg` and so on.
        model: MediaPipe's file `face_landmarker.task`.

    Returns:
        Arrays for `np.savez`: `portraits`, paths relative to the folder (N,); `landmarks`, float32 in pixels, (N, 68,
        2); `irises`, their centres and radii in pixels, float32 (N, 2, 3); `scores`, MediaPipe's blendshapes in 0..1,
        float32 (N, 52); and `channels`, their names (52,). Portraits without a face are left out.
    """
    import cv2
    import mediapipe

    vision = mediapipe.tasks.vision
    options = vision.FaceLandmarkerOptions(
        base_options=mediapipe.tasks.BaseOptions(model_asset_path=str(model)),
        output_face_blendshapes=True,
        num_faces=1,
    )
    found: dict[str, Any] = {"portraits": [], "landmarks": [], "irises": [], "scores": [], "channels": []}
    with vision.FaceLandmarker.create_from_options(options) as landmarker:
        for path in sorted(portraits.glob("*/512/*.jpg")):
            image = np.asarray(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB))  # type: ignore[arg-type]
            result = landmarker.detect(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=image))
            if result.face_landmarks:
                points = np.array([(point.x, point.y) for point in result.face_landmarks[0]]) * image.shape[1::-1]
                found["portraits"].append(path.relative_to(portraits).as_posix())
                found["landmarks"].append(points[FROM_478])
                found["irises"].append([_measure_iris(points[list(iris)]) for iris in IRISES])
                found["scores"].append([channel.score for channel in result.face_blendshapes[0]])
                found["channels"] = [channel.category_name for channel in result.face_blendshapes[0]]
    numbers = {name: np.array(found[name], np.float32) for name in ("landmarks", "irises", "scores")}
    return {**{name: np.array(found[name]) for name in ("portraits", "channels")}, **numbers}


def _measure_iris(points: Any) -> list[float]:
    """Return x, y and radius of an iris from its centre and its rim, shape (5, 2)."""
    radius = float(np.linalg.norm(points[1:] - points[0], axis=1).mean())
    return [*points[0].tolist(), radius]


if __name__ == "__main__":
    np.savez(sys.argv[3], **detect_landmarks(Path(sys.argv[1]), Path(sys.argv[2])))
