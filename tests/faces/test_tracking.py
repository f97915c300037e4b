import numpy as np
import pytest

from auvmae.faces.detection import Face
from auvmae.faces.smoothing import interpolate, smooth
from auvmae.faces.tracking import delay_in_frames, track_face

pytest.importorskip("cv2", reason="the extra `faces` is missing")

SHAPE = np.array([[0.3, 0.35], [0.7, 0.35], [0.5, 0.55], [0.35, 0.75], [0.65, 0.75]])  # landmarks in a unit box


def face_at(x, y=50.0, side=100.0, confidence=0.99, noise=0.0):
    return Face(np.array([x, y, side, side]), np.array([x, y]) + side * SHAPE + noise, confidence)


def frames(count):
    """Yield frames that contain only their number."""
    for number in range(count):
        image = np.zeros((128, 128, 3), np.uint8)
        image[1, 1, :2] = divmod(number, 256)  # not in the thumbnails of `mark_cuts`
        yield number, number / 25, image


class Script:
    """Return scripted faces for each frame, within half a face of `near`.

    It records all requests, and those for the whole frame.
    """

    def __init__(self, faces):
        self.faces = faces
        self.asked, self.whole = [], []

    def detect(self, frame, near=None):
        number = 256 * int(frame[1, 1, 0]) + int(frame[1, 1, 1])
        self.asked.append(number)
        if near is None:
            self.whole.append(number)
            return self.faces[number]
        return [face for face in self.faces[number] if np.abs(face.box[:2] - near[:2]).max() <= 0.5 * near[2]]


def run(script, **settings):
    settings = {"detect_every": 1, "max_gap": 0.2, "smoothing": 0.08, "min_length": 0} | settings
    tracked = list(track_face(frames(len(script)), Script(script), **settings))
    assert [frame[0] for frame, _ in tracked] == list(range(len(script)))
    return [face for _, face in tracked]


def furthest_behind(track, detector, count, **settings):
    """Measure the maximum number of frames taken from the stream but not returned yet."""
    taken, behind = 0, []

    def counted():
        nonlocal taken
        for frame in frames(count):
            taken += 1
            yield frame

    for given, _ in enumerate(track(counted(), detector, **settings)):
        behind.append(taken - given)
    return max(behind)


def landmarks(faces):
    return np.array([face.landmarks for face in faces])


def jitter(track):
    return np.sqrt((np.diff(track, 2, axis=0) ** 2).mean())


def test_smoothing_removes_jitter_and_adds_no_lag():
    rng = np.random.default_rng(0)
    sway = 20 * np.sin(2 * np.pi * np.arange(200) / 75)  # a head that sways every three seconds
    raw = [[face_at(100 + x, noise=rng.normal(0, 0.6, (5, 2)))] for x in sway]
    truth = landmarks([face_at(100 + x) for x in sway])
    before, after = landmarks([faces[0] for faces in raw]), landmarks(run(raw))
    assert jitter(after - truth) < jitter(before - truth) / 20
    assert np.abs(after - truth).mean() < np.abs(before - truth).mean() / 2
    motion = after[:, 0, 0] - after[:, 0, 0].mean()
    lags = [np.sum(motion[10:-10] * sway[10 + lag : 190 + lag]) for lag in range(-5, 6)]
    assert np.argmax(lags) == 5  # no lag
    assert np.abs(motion).max() > 0.95 * 20  # little damping


def test_steady_motion_is_kept_exactly_up_to_the_ends():
    moving = [[face_at(10 + 3 * number)] for number in range(40)]
    np.testing.assert_allclose(landmarks(run(moving)), landmarks([faces[0] for faces in moving]), atol=1e-6)


@pytest.mark.parametrize("detect_every", [1, 2, 3, 7])
def test_short_gaps_are_bridged_and_long_ones_are_not(detect_every):
    moving = [[face_at(10 + 2 * number)] for number in range(80)]
    for number in (*range(20, 25), *range(40, 46)):  # five frames, six frames
        moving[number] = []
    faces = run(moving, detect_every=detect_every)
    assert [number for number, face in enumerate(faces) if face is None] == list(range(40, 46))
    np.testing.assert_allclose(faces[22].box, [54, 50, 100, 100], atol=1e-6)
    assert {face.track for face in faces[:40]} == {0}
    assert {face.track for face in faces[46:]} == {1}
    if detect_every == 1:
        assert [number for number, face in enumerate(faces) if face and face.confidence == 0] == list(range(20, 25))


@pytest.mark.parametrize("detect_every", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("leaves", [29, 30, 31, 32])
def test_a_face_that_leaves_and_returns_is_found_exactly_where_it_is(detect_every, leaves):
    present = [*range(3, leaves), *range(60, 90)]
    script = [[face_at(100)] if number in present else [] for number in range(100)]
    faces = run(script, detect_every=detect_every)
    assert [number for number, face in enumerate(faces) if face is not None] == present


def test_the_detector_runs_on_every_kth_frame_only():
    script = Script([[face_at(10 + 2 * number)] for number in range(61)])
    faces = [face for _, face in track_face(frames(61), script, detect_every=5, max_gap=0.2, smoothing=0)]
    assert script.asked == list(range(0, 61, 5))
    np.testing.assert_allclose(landmarks(faces), landmarks([face[0] for face in script.faces]), atol=1e-6)


@pytest.mark.parametrize("detect_every", [1, 3, 4])
@pytest.mark.parametrize("seed", range(5))
def test_looking_near_a_face_finds_what_looking_everywhere_does(seed, detect_every):
    """One face drifts, jumps, disappears and returns, and may pass a second face, which is sometimes larger."""
    rng = np.random.default_rng(seed)
    places = rng.normal(0, 2, (2, 400)).cumsum(axis=1) + np.array([[100], [350]])
    places[0] += 700 * np.repeat(rng.random(4) < 0.5, 100)
    present = np.repeat(rng.random((2, 20)) < (0.9, 0.5)[seed % 2], 20, axis=1)
    script = [
        [face_at(x, side=side) for x, side, there in zip(xs, (100, 60 + number / 4), here, strict=True) if there]
        for number, (xs, here) in enumerate(zip(places.T, present.T, strict=True))
    ]
    found = {}
    detector = {search: Script(script) for search in ("near", "frame")}
    for search in detector:
        tracked = track_face(
            frames(400), detector[search], search=search, detect_every=detect_every, max_gap=0.2, min_length=0
        )
        found[search] = [(face.track, *face.box) if face else None for _, face in tracked]
    assert found["near"] == found["frame"]
    assert len({face[0] for face in found["near"] if face}) > 1
    assert len(detector["near"].whole) < 0.8 * len(detector["frame"].whole)


def test_a_face_that_stays_is_looked_for_everywhere_only_until_it_is_known():
    detector = Script([[face_at(100 + 2 * number)] for number in range(90)])
    list(track_face(frames(90), detector, detect_every=3))
    assert detector.whole == [0, 3, 6, 9, 12]  # until a detection five steps earlier exists
    detector = Script(detector.faces)
    list(track_face(frames(90), detector, detect_every=3, face="largest"))
    assert detector.whole == detector.asked


def test_nothing_is_smoothed_across_a_cut():
    script = [[face_at(100 if number < 33 else 400)] for number in range(60)]
    for settings in ({"face": "largest"}, {"face": "largest", "detect_every": 4}):
        faces = run(script, **settings)
        np.testing.assert_allclose([face.box[0] for face in faces], [100] * 33 + [400] * 27, atol=1e-6)
        assert [face.track for face in faces] == [0] * 33 + [1] * 27


def test_a_followed_face_is_not_left_for_a_larger_one():
    script = [[face_at(100, side=100), face_at(300, side=60 + 3 * number)] for number in range(40)]
    script += [[face_at(300, side=180)] for _ in range(20)]
    faces = run(script)
    assert all(face.box[0] == pytest.approx(100) for face in faces[:40])
    # another face replaces it after more than `max_gap` frames
    assert faces[40:46] == [None] * 6
    assert all(face.box[0] == pytest.approx(300) and face.track == 1 for face in faces[46:])
    largest = run(script, face="largest", smoothing=0)
    assert [face.box[0] for face in largest] == [100] * 14 + [300] * 46


def test_doubtful_detections_do_not_count():
    script = [[face_at(100), face_at(300, side=200, confidence=0.5)]] * 20
    assert all(face.box[0] == pytest.approx(100) for face in run(script, min_confidence=0.9))
    assert run([[face_at(100, confidence=0.5)]] * 20) == [None] * 20


@pytest.mark.parametrize("length", [0, 1, 2, 5, 200])
def test_a_stream_gives_what_the_whole_recording_gives(length):
    rng = np.random.default_rng(length)
    present = np.repeat(rng.random(length) < 0.6, 4)[:length] if length > 5 else np.ones(length, bool)
    script = [[face_at(100, noise=rng.normal(0, 2, (5, 2)))] if there else [] for there in present]
    rows = np.full((length, 15), np.nan)
    for number, faces in enumerate(script):
        for face in faces:
            rows[number] = [*face.box, *face.landmarks.ravel(), face.confidence]
    faces = run(script, max_gap=0.12, smoothing=0.06)
    last = -np.inf
    for number in np.flatnonzero(present):
        if number - last > 4:  # a gap of more than three frames is not smoothed over
            start = number
        last = number
        stop = next((later for later in range(number, length - 3) if not present[later : later + 4].any()), length)
        track = np.full_like(rows, np.nan)
        track[start:stop] = rows[start:stop]
        expected = smooth(track, rows[number], number, 1.5)
        np.testing.assert_allclose([*faces[number].box, *faces[number].landmarks.ravel()], expected, atol=1e-9)
    for number in np.flatnonzero(~present):
        row = interpolate(rows, number, 3)
        assert (faces[number] is None) == (row is None)


def test_it_never_runs_further_behind_than_it_says():
    detector = Script([[face_at(100)] if number % 100 < 60 else [] for number in range(300)])
    assert furthest_behind(track_face, detector, 300, detect_every=3) <= delay_in_frames(3, 0.4, 0.08, 0.2, 25)
