"""The pipeline gives what the detector gives."""

import numpy as np
import pytest
import transformers

import auvmae

from .drawn_faces import write_video
from .test_detector import checkpoint, load, same, square  # noqa: F401

pytest.importorskip("cv2", reason="the extra `faces` is missing")


@pytest.fixture
def detect(checkpoint):  # noqa: F811
    return transformers.pipeline("video-au-detection", model=str(checkpoint), device="cpu")


def test_it_is_the_detector(detect, checkpoint, tmp_path):  # noqa: F811
    video = write_video(tmp_path / "a.mp4", 12)
    same(detect(str(video)), load(checkpoint)(video))
    first, second = detect([str(video), str(video)], threshold=0.2)
    assert isinstance(first, auvmae.AUPrediction)
    assert first.thresholds == second.thresholds == [0.2] * 3
    same(detect(np.zeros((3, 96, 128, 3), np.uint8)), load(checkpoint)(np.zeros((3, 96, 128, 3), np.uint8)))


def test_options_of_the_detector_are_its_own(checkpoint, tmp_path):  # noqa: F811
    video = write_video(tmp_path / "a.mp4", 12)
    detect = transformers.pipeline("video-au-detection", model=str(checkpoint), device="cpu", level="patch")
    same(detect(str(video)), load(checkpoint, level="patch")(video))
