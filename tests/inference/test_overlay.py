"""Test that the overlay keeps frames and timestamps, and draws boxes and bars in the right place."""

from dataclasses import replace

import numpy as np
import pytest

from auvmae.faces.crop import iter_crops
from auvmae.faces.pose import head_pose
from auvmae.inference.overlay import write_overlay
from auvmae.inference.prediction import AUPrediction
from auvmae.video.reading import iter_frames

from ..support.drawn_faces import RECIPE, SquareDetector, draw, write_video

pytest.importorskip("cv2", reason="the extra `faces` is missing")

NAMES = ["AU1", "AU12"]
PROBS = np.array([0.75, 0.25])
ABSENT = range(8, 14)


@pytest.fixture
def video(tmp_path):
    return write_video(tmp_path / "a.mp4", 20, ABSENT)


def predict(video):
    crops = iter_crops(iter_frames(video), RECIPE, SquareDetector())
    stream = ((crop, None if crop.face is None else PROBS) for crop in crops)
    return AUPrediction.collect(stream, NAMES, [0.5, 0.5], {})


def bright(frame, face=0):
    """Where the blue of face 0, or the amber of face 1, is drawn at full strength."""
    red, _, blue = np.moveaxis(frame.astype(int), 2, 0)
    strong, weak = (blue, red) if face == 0 else (red, blue)
    return (strong > 160) & (strong - weak > 40)


def test_every_frame_is_there_in_its_time(video, tmp_path):
    write_overlay(video, predict(video), tmp_path / "out.mp4")
    source, overlay = list(iter_frames(video)), list(iter_frames(tmp_path / "out.mp4"))
    assert len(overlay) == len(source)
    np.testing.assert_allclose([time for _, time, _ in overlay], [time for _, time, _ in source], atol=1e-4)
    left = overlay[0][2].shape[1] - 128
    for number, (_, _, frame) in enumerate(overlay):
        # the frame itself, outside the box, its label and the panel
        assert np.abs(frame[70:96, left:].astype(int) - draw(number, number not in ABSENT)[70:96]).mean() < 6


def test_box_and_bars_are_where_they_belong(video, tmp_path):
    prediction = predict(video)
    write_overlay(video, prediction, tmp_path / "out.mp4")
    frames = [frame for _, _, frame in iter_frames(tmp_path / "out.mp4")]
    left = frames[0].shape[1] - 128
    x, y, width, height = prediction.rows["box"][4].round().astype(int)
    marked = bright(frames[4])
    assert marked[y + 8 : y + height - 8, left + x].mean() > 0.9  # the left side of the box
    assert marked[y + height, left + x + 4 : left + x + width - 4].mean() > 0.9  # its lower side
    bars = marked[:, :left].any(axis=0)
    first, second = np.array_split(marked[:80, :left], 2)
    assert first.any()
    assert not second.any()  # below its threshold a bar is dark
    start, stop = np.flatnonzero(bars)[[0, -1]]
    span = left - 10 - start
    assert (stop - start) / span == pytest.approx(0.75, abs=0.06)
    assert not bright(frames[10]).any()  # no face


def test_of_crops_the_boxes_are_left_out(video, tmp_path):
    write_overlay(video, predict(video), tmp_path / "out.mp4", boxes=False)
    frame = list(iter_frames(tmp_path / "out.mp4"))[4][2]
    assert not bright(frame)[:, frame.shape[1] - 128 :].any()


def test_several_faces_share_the_bars_and_many_aus_get_room(video, tmp_path):
    prediction = predict(video)
    twice = np.repeat(prediction.rows[prediction.success], 2)
    twice["face_id"] = [0, 1] * (len(twice) // 2)
    twice["box"][1::2, 0] += 40
    rows = np.concatenate([twice, prediction.rows[~prediction.success]])
    rows = rows[np.argsort(rows["frame"], kind="stable")]
    write_overlay(video, replace(prediction, rows=rows), tmp_path / "out.mp4")
    frame = list(iter_frames(tmp_path / "out.mp4"))[4][2]
    left = frame.shape[1] - 128
    rows = [np.flatnonzero(bright(frame, face)[:, :left].any(axis=1)) for face in (0, 1)]
    assert rows[0].max() <= rows[1].min() + 1  # one bar below the other
    assert bright(frame, 1)[:, left:].any()


def test_another_number_of_frames_is_an_error(video, tmp_path):
    prediction = predict(video)
    with pytest.raises(ValueError, match="zip"):
        write_overlay(video, replace(prediction, rows=prediction.rows[:-2]), tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_a_box_out_of_range_is_dark_and_named(video, tmp_path):
    shape = np.array([[0.3, 0.35], [0.7, 0.35], [0.5, 0.55], [0.35, 0.75], [0.65, 0.75]])
    prediction = predict(video)
    prediction.rows["pose"][:, 3:] = head_pose(shape[None] * 40, np.array([[5, 0, 30, 40]]))[0, 3:]
    yaw = prediction.rows["pose"][4, 4]
    pictures = []
    for name, low in (("in", yaw - 0.1), ("out", yaw + 0.1)):
        known = replace(prediction, provenance={"pose_range": [[-1, 1], [low, 1]]})
        write_overlay(video, known, tmp_path / f"{name}.mp4")
        pictures.append([frame for _, _, frame in iter_frames(tmp_path / f"{name}.mp4")][4])
    x, y, _, height = prediction.rows["box"][4].round().astype(int)
    left = pictures[0].shape[1] - 128
    trusted, turned = (bright(one)[y + 8 : y + height - 8, left + x].mean() for one in pictures)
    assert trusted > 0.9
    assert turned < 0.1
