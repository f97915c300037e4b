"""Parallel detection finds the same faces as sequential detection, and leaves no thread behind."""

import threading
from functools import partial

import pytest

from auvmae.faces.detection import ParallelDetector
from auvmae.faces.multi_face_tracking import track_faces
from auvmae.faces.tracking import delay_in_frames, to_row, track_face

from .test_tracking import Script, face_at, frames, furthest_behind

pytest.importorskip("cv2", reason="the extra `faces` is missing")


def script():
    """Move one face, remove it, return it elsewhere, and show a second face for a while."""
    faces = [[face_at(100 + 3 * number, noise=number % 3)] if not 20 <= number < 27 else [] for number in range(61)]
    return [found + [face_at(600)] * (30 <= number < 41) for number, found in enumerate(faces)]


def numbers(tracked):
    return [
        (frame[0], [(face.track, *to_row(face)) for face in (faces if isinstance(faces, list) else [faces]) if face])
        for frame, faces in tracked
    ]


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("auvmae.detect")]


@pytest.mark.parametrize("track", [track_face, track_faces])
@pytest.mark.parametrize(("threads_at_work", "detect_every"), [(1, 1), (2, 3), (4, 1), (4, 7)])
def test_the_same_faces(track, threads_at_work, detect_every):
    settings = {"detect_every": detect_every, "max_gap": 0.16, "min_length": 0}
    expected = numbers(track(frames(61), Script(script()), **settings))
    with ParallelDetector(partial(Script, script()), threads_at_work) as detector:
        found = numbers(track(frames(61), detector, **settings))
    assert not threads()
    assert found == expected
    assert len({track for _, faces in found for track, *_ in faces}) > 1


def test_frames_are_looked_at_at_the_same_time():
    together = threading.Barrier(3)

    class Waiting(Script):
        def detect(self, frame, near=None):
            together.wait(timeout=20)  # for two other threads to be at work too
            return super().detect(frame)

    with ParallelDetector(partial(Waiting, [[face_at(100)]] * 60), 3) as detector:
        assert len(list(track_face(frames(60), detector))) == 60


def test_it_runs_so_far_behind_and_no_further():
    with ParallelDetector(partial(Script, script()), 2) as detector:
        behind = furthest_behind(track_face, detector, 61, detect_every=3, max_gap=0.16, smoothing=0, min_length=0)
    assert behind <= delay_in_frames(3, 0.16, 0, 0, 25) + 2 * 3


def test_what_a_detector_raises_arrives():
    with pytest.raises(IndexError), ParallelDetector(partial(Script, script()[:30]), 2) as detector:
        list(track_face(frames(61), detector))
    assert not threads()


def test_a_stream_that_is_given_up_leaves_no_thread():
    with ParallelDetector(partial(Script, script()), 2) as detector:
        next(track_face(frames(61), detector))
    assert not threads()
