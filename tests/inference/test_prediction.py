"""Test that the table, its files and its figure show the prediction, and nothing else."""

import json
from dataclasses import replace

import numpy as np
import pandas
import pytest
from PIL import Image

from auvmae.faces.crop import CroppedFrame
from auvmae.faces.pose import head_pose
from auvmae.faces.smoothing import TrackedFace
from auvmae.inference.calibration import Calibration
from auvmae.inference.prediction import POSE, AUPrediction, provenance_path
from auvmae.plotting.style import save_figure

AU_COLUMNS = ["AU01_c", "AU12_c", "smile_c", "AU01_p", "AU12_p", "smile_p"]
PROVENANCE = {"source": {"name": "a.mp4"}, "weights_sha256": "0" * 64}
WHOLE = PROVENANCE | {"au_names": ["AU1", "AU12", "smile"], "thresholds": [0.5, 0.3, 0.9]}


def collect(tracks, probs=None, timestamp=None, values=("probs",)):
    """A prediction of one row per entry of `tracks`: (frame, track), track None without a face."""
    rng = np.random.default_rng(0)
    probs = rng.random((len(tracks), 3)) if probs is None else np.asarray(probs)

    def stream():
        for (frame, track), row in zip(tracks, probs, strict=True):
            time = frame / 10 if timestamp is None else timestamp[frame]
            if track is None:
                yield CroppedFrame(frame, time, None, None), None
            else:
                face = TrackedFace(np.array([1.234, 2, 30, 40]) + track, LANDMARKS[track], 0.9871, track)
                yield CroppedFrame(frame, time, face, np.zeros((8, 8, 3), np.uint8), (100, 80)), row

    return AUPrediction.collect(stream(), ["AU1", "AU12", "smile"], [0.5, 0.3, 0.9], PROVENANCE, values)


LANDMARKS = np.array(
    [
        [[20, 20], [40, 20], [30, 31], [22, 42], [38, 42]],
        [[20, 20], [40, 20], [36, 31], [24, 42], [38, 42]],  # the nose points to the right of the image
    ],
    float,
)

SOME = [(0, 0), (1, 0), (2, None), (3, 1), (4, 1)]


def test_columns_are_those_of_openface_and_empty_without_a_face():
    table = collect(SOME).to_dataframe()
    box = ["box_x", "box_y", "box_w", "box_h"]
    assert list(table) == ["frame", "face_id", "timestamp", "confidence", "success", *AU_COLUMNS, *box, *POSE]
    assert table.frame.tolist() == [0, 1, 2, 3, 4]
    assert table.face_id.tolist() == [0, 0, -1, 1, 1]
    assert table.success.tolist() == [1, 1, 0, 1, 1]
    assert table.confidence.tolist() == [0.9871, 0.9871, 0.0, 0.9871, 0.9871]
    assert table.loc[2, [*AU_COLUMNS, *box, *POSE]].isna().all()
    assert not table.drop(index=2).isna().any(axis=None)
    assert table.loc[3, box].tolist() == [2.23, 3, 31, 41]


def test_a_row_says_whether_the_head_is_turned_further_than_in_training(tmp_path):
    prediction = collect(SOME)
    seen = np.array([0, 1, 3, 4])
    expected = head_pose(np.repeat(LANDMARKS, 2, axis=0), prediction.rows["box"][seen], np.tile([100, 80], (4, 1)))
    np.testing.assert_allclose(prediction.rows["pose"][seen], expected, atol=1e-4)
    assert "in_range" not in prediction.to_dataframe()
    straight, turned = expected[0, 4], expected[2, 4]
    assert abs(straight) < 0.01 < 0.2 < abs(turned)
    known = replace(prediction, provenance=WHOLE | {"pose_range": [[-1, 1], [-0.1, 0.1]]})
    assert known.in_range.tolist() == [1, 1, -100, 0, 0]
    known.save(tmp_path / "a.csv")
    table = pandas.read_csv(tmp_path / "a.csv")
    assert table["in_range"].fillna(-1).tolist() == [1, 1, -1, 0, 0]
    np.testing.assert_array_equal(AUPrediction.load(tmp_path / "a.csv").rows["pose"], known.rows["pose"])


def test_intensities_stand_beside_the_probabilities():
    values = np.random.default_rng(1).random((5, 2, 3)) * [[[1], [5]]]
    prediction = collect(SOME, values, values=("probs", "intensities"))
    table, grades = prediction.to_dataframe(), ["AU01_r", "AU12_r", "smile_r"]
    assert list(table)[5:14] == [*AU_COLUMNS, *grades]
    np.testing.assert_array_equal(table.loc[[0, 1, 3, 4], grades], values[[0, 1, 3, 4], 1].round(2))
    assert table.loc[2, grades].isna().all()
    pandas.testing.assert_frame_equal(table.drop(columns=grades), collect(SOME, values[:, 0]).to_dataframe())
    calibrated = prediction.calibrated(Calibration(neutral=(0, 0.1)))
    pandas.testing.assert_frame_equal(calibrated.to_dataframe()[grades], table[grades])
    pandas.testing.assert_frame_equal(calibrated.uncalibrated().to_dataframe(), table)


@pytest.mark.parametrize("name", ["a.csv", "deep/er/a.parquet"])
def test_what_is_saved_is_the_table(tmp_path, name):
    prediction = collect(SOME)
    path = prediction.save(tmp_path / name)
    again = pandas.read_csv(path) if path.suffix == ".csv" else pandas.read_parquet(path)
    pandas.testing.assert_frame_equal(again, prediction.to_dataframe(), check_dtype=path.suffix != ".csv")
    assert json.loads(provenance_path(path).read_text()) == PROVENANCE
    assert sorted(one.name for one in path.parent.iterdir()) == sorted([path.name, "a.provenance.json"])
    before = path.read_bytes()
    prediction.save(path)
    assert path.read_bytes() == before
    if path.suffix == ".csv":
        assert before.decode().splitlines()[3] == "2,-1,0.2,0.0,0" + "," * 16


def test_no_output_contradicts_another(tmp_path):
    # just below, at, and just above the thresholds, by less than the printed precision
    near = np.array([[0.5, 0.3, 0.9]]) + np.array([-1e-6, -4e-7, -1e-9, 0, 1e-9, 4e-7, 1e-6])[:, None]
    prediction = collect([(number, 0) for number in range(len(near))], near)
    table = pandas.read_csv(prediction.save(tmp_path / "a.csv"))
    for name, threshold in zip(["AU01", "AU12", "smile"], prediction.thresholds, strict=True):
        assert (table[f"{name}_c"] == (table[f"{name}_p"] >= threshold)).all()
        assert set(table[f"{name}_c"]) == {0, 1}


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"csv, parquet, openface, feat, not as a\.xlsx"):
        collect(SOME).save(tmp_path / "a.xlsx")


def test_events_come_from_the_same_rows():
    probs = np.zeros((6, 3))
    probs[2:5, 1] = 0.3
    events = collect([(number, 0) for number in range(6)], probs).to_events()
    assert events[["au", "onset_frame", "offset_frame"]].to_numpy().tolist() == [["AU12", 2, 4]]


def test_the_picture_shows_gaps_and_the_recordings_time(tmp_path):
    prediction = collect(SOME, timestamp=[0.0, 0.5, 0.6, 2.0, 2.5])
    figure = prediction.plot()
    assert figure.axes[-1].get_xlim() == (0.0, 3.0)
    grey = figure.axes[0].collections[1].get_paths()
    assert [tuple(path.get_extents().intervalx) for path in grey] == [(0.6, 2.0)]
    lines = [line.get_ydata()[0] for axis in figure.axes for line in axis.lines]
    assert lines == prediction.thresholds
    with Image.open(save_figure(figure, tmp_path / "a.png")) as picture:
        assert picture.width == 2100


def test_a_picture_is_of_one_face_where_several_are_seen():
    both = [(0, 0), (0, 1), (1, 1), (2, 1), (3, None)]
    prediction = collect(both)
    assert prediction.plot().get_suptitle() == "a.mp4, face 1 of 2"
    figure = prediction.plot(face_id=0)
    grey = figure.axes[0].collections[1].get_paths()
    assert [tuple(path.get_extents().intervalx) for path in grey] == [(pytest.approx(0.1), pytest.approx(0.4))]
    values = figure.axes[0].patches[0].get_data().values
    np.testing.assert_array_equal(values, [prediction.rows["probs"][0, 0], *[np.nan] * 3])
    with pytest.raises(ValueError, match="there is no face 7; the faces are 0, 1"):
        prediction.plot(face_id=7)


@pytest.mark.parametrize("tracks", [[], [(0, None), (1, None)], [(0, 0)]])
def test_nothing_and_next_to_nothing(tracks, tmp_path):
    prediction = collect(tracks)
    assert len(pandas.read_csv(prediction.save(tmp_path / "a.csv"))) == len(tracks)
    assert len(prediction.to_events()) == 0
    prediction.to_eaf("a.mp4")
    if tracks:
        save_figure(prediction.plot(), tmp_path / "a.png")
