"""Tracking all faces at once agrees with `track_face` on each face alone."""

from itertools import chain

import numpy as np
import pytest

from auvmae.faces.multi_face_tracking import track_faces
from auvmae.faces.tracking import delay_in_frames, track_face

from .test_tracking import Script, face_at, frames, furthest_behind

pytest.importorskip("cv2", reason="the extra `faces` is missing")

SETTINGS = {"max_gap": 0.2, "smoothing": 0.08, "min_length": 0}


def run(script, **settings):
    tracked = list(track_faces(frames(len(script)), Script(script), **SETTINGS | settings))
    assert [frame[0] for frame, _ in tracked] == list(range(len(script)))
    return [faces for _, faces in tracked]


def alone(script, **settings):
    return [face for _, face in track_face(frames(len(script)), Script(script), **SETTINGS | settings)]


def assert_same_face(found, expected):
    assert (found is None) == (expected is None)
    if found is not None:
        for name in ("box", "landmarks", "confidence"):
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-9)


def noisy(x, present, seed):
    rng = np.random.default_rng(seed)
    return [[face_at(x, noise=rng.normal(0, 2, (5, 2)))] if there else [] for there in present]


@pytest.mark.parametrize("detect_every", [1, 2, 3, 7])
@pytest.mark.parametrize("seed", range(4))
def test_one_face_is_tracked_as_track_face_does(seed, detect_every):
    present = np.repeat(np.random.default_rng(seed).random(40) < 0.6, 4)
    script = noisy(100, present, seed)
    expected = alone(script, detect_every=detect_every)
    for faces, face in zip(run(script, detect_every=detect_every), expected, strict=True):
        assert len(faces) == (face is not None)
        assert_same_face(next(iter(faces), None), face)
        assert not faces or faces[0].track == face.track


@pytest.mark.parametrize("detect_every", [1, 3])
def test_faces_that_come_and_go_do_not_disturb_each_other(detect_every):
    numbers = np.arange(90)
    scripts = [
        noisy(100, numbers >= 0, 1),
        noisy(400, (numbers > 20) & (numbers < 70) & (numbers != 40), 2),  # appears and disappears, missed once
        noisy(700, (numbers > 20) & ((numbers < 40) | (numbers > 50)), 3),  # gone for longer than a short gap
    ]
    together = [[*chain(*faces)] for faces in zip(*scripts, strict=True)]
    found = run(together, detect_every=detect_every)
    assert {face.track for faces in found for face in faces} == {0, 1, 2, 3}
    if detect_every == 1:  # with a shared detector, a new face makes it detect the other faces again
        for number, script in enumerate(scripts):
            for faces, expected in zip(found, alone(script), strict=True):
                near = [face for face in faces if abs(face.box[0] - 300 * number - 100) < 50]
                assert_same_face(next(iter(near), None), expected)
    last = [face for face in found[-1] if face.box[0] > 600]
    assert [face.track for face in last] == [3]


def test_larger_faces_have_lower_numbers_and_keep_them():
    script = [[face_at(100, side=60 + 2 * number), face_at(400)] for number in range(40)]
    found = run(script)
    assert [[face.track for face in faces] for faces in found] == [[0, 1]] * 40
    assert all(abs(faces[0].box[0] - 400) < 1 for faces in found)


def test_a_face_that_jumps_is_another_one():
    found = run([[face_at(100 if number < 20 else 500)] for number in range(40)], detect_every=4)
    assert [[face.track for face in faces] for faces in found] == [[0]] * 20 + [[1]] * 20


def test_it_never_runs_further_behind_than_it_says():
    detector = Script([[face_at(100)] * (number % 100 < 60) + [face_at(400)] for number in range(200)])
    assert furthest_behind(track_faces, detector, 200, detect_every=3) <= delay_in_frames(3, 0.4, 0.08, 0.2, 25)
