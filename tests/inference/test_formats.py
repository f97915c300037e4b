"""Test that the readers of OpenFace's and Py-Feat's tables find the prediction in ours."""

from dataclasses import replace

import numpy as np
import pandas
import pytest
from scipy.spatial.transform import Rotation

from auvmae.inference.formats.openface import GRADED_AUS, openface_table
from auvmae.inference.formats.pyfeat import fex_table
from auvmae.inference.prediction import AUPrediction

from .test_prediction import SOME, WHOLE, collect

FOUND = [0, 1, 3, 4]
"""Rows of `SOME` with a face."""


def graded():
    values = np.random.default_rng(1).random((5, 2, 3)) * [[[1], [5]]]
    return collect(SOME, values, values=("probs", "intensities"))


def with_pose(table, pose):
    """The table as `AUPrediction.to_dataframe` returns it for rows with a pose."""
    names = ["pose_Tx", "pose_Ty", "pose_Tz", "pose_Rx", "pose_Ry", "pose_Rz"]
    return table.assign(**dict(zip(names, np.asarray(pose).T, strict=True)), in_range=1)


def test_openface_columns_with_and_without_the_space(tmp_path):
    prediction = graded()
    path = prediction.save(tmp_path / "a.openface.csv", "openface")
    table = prediction.to_dataframe()
    spaced = pandas.read_csv(path)
    assert list(spaced)[:5] == ["frame", " face_id", " timestamp", " confidence", " success"]
    stripped = pandas.read_csv(path, skipinitialspace=True)
    pandas.testing.assert_frame_equal(stripped, spaced.rename(columns=str.strip))
    assert stripped.frame.tolist() == [1, 2, 3, 4, 5]
    assert stripped.face_id.tolist() == [0, 0, 0, 1, 1]
    assert stripped.success.tolist() == [1, 1, 0, 1, 1]
    for name in ("timestamp", "confidence"):
        assert stripped[name].tolist() == table[name].tolist()
    own = ["AU01_r", "AU12_r", "smile_r", "AU01_c", "AU12_c", "smile_c"]
    np.testing.assert_array_equal(stripped.loc[FOUND, own], table.loc[FOUND, own].astype(float))
    assert (stripped.loc[2, own] == 0).all()
    listed = [*(f"AU{au:02d}_r" for au in GRADED_AUS), *(f"AU{au:02d}_c" for au in sorted([*GRADED_AUS, 28]))]
    assert [name for name in stripped if name.startswith("AU")] == listed
    assert stripped[[name for name in listed if name not in own]].isna().all(axis=None)


def test_no_intensity_is_made_up(tmp_path):
    path = collect(SOME).save(tmp_path / "a.csv", "openface")
    table = pandas.read_csv(path, skipinitialspace=True)
    assert not [name for name in table if name.endswith(("_r", "_p"))]
    assert table.AU12_c.isin([0, 1]).all()


def test_action_units_that_openface_lacks_are_kept():
    prediction = AUPrediction(collect(SOME).rows, ["AU24", "AU43", "AU1"], [0.5] * 3, {})
    names = openface_table(prediction.to_dataframe(), prediction.au_names).columns.str.strip()
    aus = [int(name[2:4]) for name in names if name.startswith("AU")]
    assert aus == sorted([*GRADED_AUS, 28, 24, 43])


def test_pose_in_openface():
    pose = np.arange(30.0).reshape(5, 6)
    table = openface_table(with_pose(collect(SOME).to_dataframe(), pose), ["AU1", "AU12", "smile"])
    assert list(table)[5:11] == [f" pose_{name}" for name in ("Tx", "Ty", "Tz", "Rx", "Ry", "Rz")]
    np.testing.assert_array_equal(table.iloc[FOUND, 5:11], pose[FOUND])
    assert (table.iloc[2, 5:11] == 0).all()
    assert " in_range" not in table


@pytest.mark.parametrize(
    ("column", "part", "goes"),
    [("Pitch", [0, 0, -1], [0, -1, 0]), ("Yaw", [0, 0, -1], [-1, 0, 0]), ("Roll", [1, 0, 0], [0, -1, 0])],
)
def test_py_feats_angles_have_its_signs(column, part, goes):
    """Positive: up, to the person's right, tilted to the person's right; the image's axes point right and down.

    The nose points to the camera, along -z. The left side of the face is at +x.
    """
    angles = {"Pitch": "Rx", "Yaw": "Ry", "Roll": "Rz"}
    for sign in (1, -1):
        pose = {f"pose_{name}": 0.0 for name in ("Tx", "Ty", "Tz", "Rx", "Ry", "Rz")} | {
            f"pose_{angles[column]}": 0.2 * sign
        }
        table = fex_table(collect([(0, 0)]).to_dataframe().assign(**pose), ["AU1", "AU12", "smile"], "a.mp4")
        assert abs(table[column].item()) == 0.2
        assert sum(table[name].item() for name in angles) == table[column].item()
        turn = Rotation.from_euler("XYZ", [pose[f"pose_{name}"] for name in ("Rx", "Ry", "Rz")])
        assert np.sign(turn.apply(part) @ goes) == np.sign(table[column].item())


def test_py_feats_columns(tmp_path):
    prediction = collect([*SOME, (725, 0)])
    table = pandas.read_csv(prediction.save(tmp_path / "a.csv", "feat"))
    assert [name for name in table if "AU" in name] == ["AU01", "AU12"]
    assert table.frame.tolist() == prediction.rows["frame"].tolist()
    assert table.approx_time.tolist() == ["00:00"] * 5 + ["01:12"]
    np.testing.assert_array_equal(table[["AU01", "AU12", "smile"]], prediction.rows["probs"])
    np.testing.assert_allclose(
        table[["FaceRectX", "FaceRectY", "FaceRectWidth", "FaceRectHeight"]], prediction.rows["box"], atol=0.005
    )
    assert table.FaceScore.isna().tolist() == [False, False, True, False, False, False]
    np.testing.assert_allclose(table[["Pitch", "Roll", "Yaw"]], prediction.rows["pose"][:, [3, 5, 4]] * [-1, -1, 1])
    assert table[["happiness", "x_0", "y_67"]].isna().all(axis=None)
    assert set(table.input) == {"a.mp4"}
    assert list(prediction.to_fex("in/a.mp4")["input"].unique()) == ["in/a.mp4"]


def test_tables_for_other_programs_are_not_loaded(tmp_path):
    whole = replace(collect(SOME), provenance=WHOLE)
    path = whole.save(tmp_path / "a.csv", "openface")
    with pytest.raises(ValueError, match=r"a\.csv is no table of `auvmae predict`: face_id"):
        AUPrediction.load(path)
    path = collect(SOME).save(tmp_path / "b.feat.csv", "feat")
    path.with_name("b.feat.provenance.json").rename(tmp_path / "b.provenance.json")
    with pytest.raises(FileNotFoundError, match=r"--format feat\): predict again with --format csv"):
        AUPrediction.load(path)


def test_a_real_fex(tmp_path, monkeypatch):
    data = pytest.importorskip("feat.data")
    monkeypatch.setattr("matplotlib.pyplot.show", lambda: None)
    prediction = graded()
    fex = prediction.to_fex()
    assert isinstance(fex, data.Fex)
    assert list(fex.aus) == ["AU01", "AU12", "smile"]
    assert list(fex.faceboxes) == ["FaceRectX", "FaceRectY", "FaceRectWidth", "FaceRectHeight", "FaceScore"]
    assert fex.poses.shape == (5, 6)
    np.testing.assert_allclose(fex.aus.baseline("mean"), fex.aus.to_numpy() - fex.aus.to_numpy()[FOUND].mean(axis=0))
    summary = fex.extract_summary()
    np.testing.assert_allclose(summary["mean_AU12"], prediction.rows["probs"][FOUND, 1].mean())
    assert len(fex.plot_detections(plot_original_image=False)) == 5
    read = data.read_feat(str(prediction.save(tmp_path / "a.feat.csv", "feat")))
    pandas.testing.assert_frame_equal(pandas.DataFrame(read.aus), pandas.DataFrame(fex[["AU01", "AU12"]]))
    assert read.poses.shape == (5, 6)
    openface = data.read_openface(str(prediction.save(tmp_path / "a.openface.csv", "openface")))
    assert openface.aus.shape == (5, 35)
    np.testing.assert_array_equal(openface.AU12_r.iloc[FOUND], prediction.rows["intensities"][FOUND, 1].round(2))
