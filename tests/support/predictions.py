"""Forge the prediction of a recording, without a model."""

import numpy as np

from auvmae.faces.crop import CroppedFrame
from auvmae.faces.smoothing import TrackedFace
from auvmae.inference.prediction import AUPrediction

NAMES = ["AU6", "AU12", "AU25"]


LANDMARKS = np.array([[20.0, 20], [40, 20], [26, 31], [22, 42], [38, 42]])
"""Of a head that is turned to the left of the image."""


def forge_prediction(frames, name="a.mp4", every_face=False, graded=True, fps=25, seed=0, sides=False):
    """Predict smooth random values for `frames`, pairs of frame number and track (None without a face)."""
    rng = np.random.default_rng(seed)
    waves = rng.uniform(0.5, 8, (2, 2, 3))
    provenance = {
        **{"source": {"name": name}, "weights_sha256": "0" * 64, "au_names": NAMES, "thresholds": [0.5, 0.4, 0.6]},
        **{"side_checks": dict.fromkeys(NAMES, "none") if sides else None},
        **{"every_face": every_face, "model": "forged", "pose_range": [[-0.5, 0.5], [-0.1, 0.1]]},
    }

    def stream():
        for frame, track in frames:
            if track is None:
                yield CroppedFrame(frame, frame / fps, None, None), None
                continue
            face = TrackedFace(
                np.array([1.0, 2, 30, 40]) + track,
                LANDMARKS + np.eye(5)[2][:, None] * [0.05 * (frame % 160), 0],
                0.9,
                track,
            )
            values = 0.5 + 0.5 * np.sin(waves[0] * frame / fps * 6 + waves[1] + track)  # (2, 3)
            values = values * [[1], [5]] if graded else values[0]
            if sides:
                values = np.vstack([values, 0.5 * values[-1], 0.5 * values[-1] ** 2 / 5])
            yield CroppedFrame(frame, frame / fps, face, np.zeros((8, 8, 3), np.uint8)), values

    names = ["probs"] + ["intensities"] * graded + ["right", "left"] * sides
    return AUPrediction.collect(stream(), NAMES, provenance["thresholds"], provenance, names)


def one_person(count=200, absent=range(50, 60)):
    return [(frame, None if frame in absent else 0) for frame in range(count)]
