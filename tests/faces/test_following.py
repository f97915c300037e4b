"""Faces are followed through cuts, hiding, flicker and fast motion, in both modes."""

import numpy as np
import pytest

from auvmae.faces.detection import Face
from auvmae.faces.multi_face_tracking import track_faces
from auvmae.faces.tracking import track_face

from .test_tracking import SHAPE

cv2 = pytest.importorskip("cv2", reason="the extra `faces` is missing")

SIDE = 60


def portrait(seed):
    """Draw a picture of coarse blocks, to stand for a person."""
    blocks = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    return cv2.resize(blocks, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)


class World:
    """Show portraits at known places, and detect those that are not hidden, with noise."""

    def __init__(self, places, backgrounds=None, hidden=(), noise=0.0, fps=25, missed=()):
        self.places = places  # per frame: person -> (x, y)
        self.backgrounds = backgrounds or [0] * len(places)
        self.hidden, self.missed, self.fps, self.noise = set(hidden), set(missed), fps, noise
        self.calls = []

    def frames(self):
        for number, people in enumerate(self.places):
            image = np.repeat(self.background(self.backgrounds[number])[..., None], 3, axis=2)
            for person, (x, y) in people.items():
                image[round(y) : round(y) + SIDE, round(x) : round(x) + SIDE] = (
                    portrait(1000 + person) if number in self.hidden else portrait(person)
                )
            image[0, 0, :2] = divmod(number, 256)
            yield number, number / self.fps, image

    @staticmethod
    def background(seed):
        rows, columns = np.indices((180, 400))
        down, across = np.random.default_rng(seed).uniform(0.02, 0.1, 2)
        return np.uint8(120 + 60 * np.sin(down * rows + seed) * np.cos(across * columns))

    def detect(self, frame, near=None):
        number = 256 * int(frame[0, 0, 0]) + int(frame[0, 0, 1])
        self.calls.append((number, near is None))
        rng = np.random.default_rng(number)
        faces = []
        for x, y in self.places[number].values():
            corner = np.array([x, y], float)
            if near is None or np.abs(corner - near[:2]).max() <= 0.5 * near[2:].max():
                noise = rng.normal(0, self.noise, (5, 2)) if self.noise else 0
                faces.append(Face(np.array([x, y, SIDE, SIDE], float), corner + SIDE * SHAPE + noise, 0.99))
        return [] if number in self.hidden | self.missed else faces

    def one(self, **settings):
        return [face for _, face in track_face(self.frames(), self, **settings)]

    def all(self, **settings):
        return [faces for _, faces in track_faces(self.frames(), self, **settings)]


def both(world, **settings):
    """Return the tracks in each frame; the modes must agree on a single face."""
    one, many = world.one(**settings), world.all(**settings)
    assert [[face.track] if face else [] for face in one] == [[face.track for face in faces] for faces in many]
    return [face and face.track for face in one]


@pytest.mark.parametrize("detect_every", [1, 3])
@pytest.mark.parametrize("moves_to", [100, 130, 300])
def test_a_cut_begins_a_new_track_wherever_the_face_is(detect_every, moves_to):
    places = [{1: (100 if number < 41 else moves_to, 60)} for number in range(80)]
    world = World(places, [0] * 41 + [7] * 39)
    assert both(world, detect_every=detect_every) == [0] * 41 + [1] * 39
    for number, face in enumerate(world.one(detect_every=detect_every)):
        np.testing.assert_allclose(face.box[:2], places[number][1], atol=1e-6)  # nothing glides


@pytest.mark.parametrize("detect_every", [1, 3])
@pytest.mark.parametrize(("length", "moves"), [(5, 0), (7, 0), (7, 50), (20, 80)])
def test_a_person_who_is_hidden_for_a_moment_keeps_the_number(detect_every, length, moves):
    hidden = range(40, 40 + length)
    places = [{1: (100 + moves * min(1, max(0, (number - 39) / (length + 1))), 60)} for number in range(100)]
    found = both(World(places, hidden=hidden), detect_every=detect_every)
    assert found == [None if number in hidden else 0 for number in range(100)]


def test_another_person_in_the_place_gets_another_number():
    places = [{1 if number < 40 else 2: (100, 60) if number < 40 else (180, 60)} for number in range(100)]
    found = both(World(places, missed=range(40, 60)))
    assert found == [0] * 40 + [None] * 20 + [1] * 40


@pytest.mark.parametrize("detect_every", [1, 3])
def test_a_visible_face_that_is_missed_is_bridged(detect_every):
    places = [{1: (100 + number, 60)} for number in range(90)]
    missed = range(40, 47)
    world = World(places, missed=missed)
    assert both(world, detect_every=detect_every) == [0] * 90
    for number, face in enumerate(world.one()):
        assert (face.confidence == 0) == (number in missed)
        np.testing.assert_allclose(face.box[:2], places[number][1], atol=1e-6)


@pytest.mark.parametrize("number", [40, 41, 42])
def test_a_single_black_frame_between_two_detections_has_no_face(number):
    places = [{1: (100, 60)} if at != number else {} for at in range(90)]
    assert both(World(places), detect_every=3) == [None if at == number else 0 for at in range(90)]


@pytest.mark.parametrize("length", [1, 2, 4])
@pytest.mark.parametrize("detect_every", [1, 3])
def test_a_second_person_who_flickers_is_none(length, detect_every):
    places = [{1: (100, 60)} | ({2: (300, 60)} if 42 <= at < 42 + length else {}) for at in range(90)]
    found = World(places).all(detect_every=detect_every)
    assert {tuple(face.track for face in faces) for faces in found} == {(0,)}


def test_a_shot_shorter_than_the_shortest_track_keeps_its_face():
    places = [{1: (100, 60)}] * 20 + [{2: (100, 60)}] * 3 + [{3: (100, 60)}] * 20
    assert both(World(places, [0] * 20 + [7] * 3 + [9] * 20)) == [0] * 20 + [1] * 3 + [2] * 20
    assert both(World(places[:2])) == [0, 0]


@pytest.mark.parametrize("detect_every", [1, 3])
@pytest.mark.parametrize(("length", "after"), [(3, 0), (7, 0), (10, 0), (14, 2)])
def test_a_face_is_known_again_after_a_shot_of_a_moment(detect_every, length, after):
    places = [{1: (100, 60)}] * 20 + [{2: (100, 60)}] * length + [{1: (130, 60)}] * 20
    world = World(places, [0] * 20 + [7] * length + [0] * 20)
    assert both(world, detect_every=detect_every) == [0] * 20 + [1] * length + [after] * 20
    for number, face in enumerate(world.one(detect_every=detect_every)):
        assert face.box[0] == pytest.approx(130 if number >= 20 + length else 100, abs=1e-6)  # nothing glides


@pytest.mark.parametrize("detect_every", [1, 3])
def test_a_face_is_known_again_after_a_hand_before_the_camera(detect_every):
    places = [{1: (100, 60)}] * 20 + [{}] * 7 + [{1: (110, 60)}] * 20
    found = both(World(places, [0] * 20 + [7] * 7 + [0] * 20), detect_every=detect_every)
    assert found == [0] * 20 + [None] * 7 + [0] * 20


@pytest.mark.parametrize("appears", range(50, 62))
def test_a_new_face_is_found_from_its_first_frame_on(appears):
    places = [{1: (50, 60)} | ({2: (250, 60)} if at >= appears else {}) for at in range(100)]
    world = World(places)
    found = [[face.track for face in faces] for faces in world.all(detect_every=3)]
    assert found == [[0]] * appears + [[0, 1]] * (100 - appears)
    whole = [number for number, everywhere in world.calls if everywhere]
    assert len([number for number in whole if number < 50]) < 12


def test_smoothing_is_strong_at_rest_and_weak_in_motion():
    numbers = np.arange(200)
    moving = np.where(numbers < 100, 0, 60 * np.sin(2 * np.pi * (numbers - 100) / 20))
    world = World([{1: (150 + x, 60)} for x in moving], noise=0.3)
    truth = np.array([[150 + x, 60] + SIDE * SHAPE for x in moving])
    # a fit of 2 frames leaves 0.38 of the noise of every frame, and 0.65 of that of every third
    for detect_every, left, most in ((1, 0.5, 1.2), (3, 0.7, 3.0)):
        faces = world.one(detect_every=detect_every)
        assert sum(face is None for face in faces) <= 1  # at most the frame in which it starts at full speed
        found = np.array([face.landmarks if face else place for face, place in zip(faces, truth, strict=True)])
        away = np.abs(found - truth).mean(axis=(1, 2))
        assert away[8:90].mean() < left * 0.3 * np.sqrt(2 / np.pi)
        assert np.quantile(away[105:], 0.95) < most  # a blind fit of the same width is off by 8


@pytest.mark.parametrize("fps", [30, 50, 60])
def test_widths_are_in_seconds(fps):
    def run(rate):
        length = round(4 * rate)
        times = np.arange(length) / rate
        hidden = np.flatnonzero((times > 2.01) & (times < 2.29))
        places = [{1: (150 + 40 * np.sin(2 * np.pi * t / 3), 60)} for t in times]
        return times, World(places, missed=hidden, fps=rate).one()

    times, faces = run(25)
    others, finer = run(fps)
    expected = np.array([face.box[0] for face in faces])
    assert all(face is not None for face in finer)
    found = np.interp(times, others, [face.box[0] for face in finer])
    gap = (times > 1.9) & (times < 2.4)  # its first and last frames have other times at other rates
    np.testing.assert_allclose(found[~gap][2:-2], expected[~gap][2:-2], atol=0.8)
    np.testing.assert_allclose(found[gap], expected[gap], atol=2.5)


@pytest.mark.parametrize("detect_every", [1, 3])
def test_damaged_frames_have_no_face_even_if_its_look_is_blank(detect_every):
    def detect(frame, near=None):
        return [Face(np.array([20.0, 20, 40, 40]), 20 + 40 * SHAPE, 0.99)]

    frames = [(number, number / 25, None if number in (7, 12, 13) else np.zeros((90, 120, 3))) for number in range(30)]
    detector = type("Detector", (), {"detect": staticmethod(detect)})()
    found = [face is not None for _, face in track_face(frames, detector, detect_every=detect_every)]
    assert found == [number not in (7, 12, 13) for number in range(30)]


def test_damaged_frames_have_no_face():
    world = World([{1: (100, 60)}] * 60)
    frames = [(n, t, None if n in (20, 21, 40) else image) for n, t, image in world.frames()]
    found = [face and face.track for _, face in track_face(frames, world, detect_every=3)]
    assert found == [None if at in (20, 21, 40) else 0 for at in range(60)]


def test_tracking_starts_anew_where_the_size_changes():
    world = World([{1: (100, 60)}] * 60)
    frames = [(n, t, image if n < 31 else image[:170]) for n, t, image in world.frames()]
    found = [face and face.track for _, face in track_face(frames, world, detect_every=3)]
    assert found == [0] * 31 + [1] * 29
