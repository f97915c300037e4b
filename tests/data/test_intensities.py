"""Test that rows have the intensities of the label files, on forged trees."""

import numpy as np
import pytest

from auvmae.data import load_au_dataset
from auvmae.data.files import DatasetLayoutError, LabelError
from auvmae.knowledge.facs import BP4D_AUS, DISFA_AUS

from ..support.forge_bp4d import AUS as CODED
from ..support.forge_bp4d import TASKS, forge_bp4d, write_intensities
from ..support.forge_disfa import AUS, forge_disfa, numbered_frame, write_labels, write_video

COLUMNS = [AUS.index(au) for au in DISFA_AUS]


def load(name, root, tmp_path, **options):
    return load_au_dataset(name, root, cache_dir=tmp_path / "cache", intensities=True, **options)


def intensities_of(data):
    """Join the clips of each video, (frames, N)."""
    found = {}
    for rows in data.values():
        for row in rows.with_format("numpy"):
            found.setdefault(str(row["name"]), {})[int(row["start_frame"])] = row["intensities"][: row["num_frames"]]
    return {name: np.concatenate([clips[start] for start in sorted(clips)]) for name, clips in found.items()}


def test_disfa(tmp_path):
    lengths = {"SN001": 40, "SN002": 20, "SN003": 30}
    written = forge_disfa(tmp_path / "disfa", lengths, video_lengths=lengths | {"SN002": 15})
    data = load("disfa", tmp_path / "disfa", tmp_path, clip_length=16)
    found = intensities_of(data)
    for subject, length in (lengths | {"SN002": 15}).items():
        np.testing.assert_array_equal(found[f"LeftVideo{subject}_comp.avi"], written[subject][:length, COLUMNS])
    row = data["test"].with_format("numpy")[-1]
    assert np.isnan(row["intensities"][row["num_frames"] :]).all()
    assert (
        "intensities"
        not in load_au_dataset("disfa", tmp_path / "disfa", cache_dir=tmp_path / "cache")["train"].features
    )


def test_disfa_without_its_bad_frames(tmp_path):
    forge_disfa(tmp_path / "disfa", {"SN001": 430, "SN003": 4})
    data = load("disfa", tmp_path / "disfa", tmp_path, drop_bad_frames=True)
    absent = np.isnan(intensities_of(data)["LeftVideoSN001_comp.avi"])
    assert np.flatnonzero(absent.all(axis=1)).tolist() == list(range(397, 420))


def test_disfa_past_the_scale(tmp_path):
    written = forge_disfa(tmp_path / "disfa", {"SN001": 4, "SN003": 4})
    written["SN001"][2, 0] = 6
    write_labels(tmp_path / "disfa" / "ActionUnit_Labels", "SN001", written["SN001"])
    with pytest.raises(
        LabelError, match=r"SN001_au1\.txt, line 3: found the value 6\. Values must be 0, 1, 2, 3, 4, 5"
    ):
        load("disfa", tmp_path / "disfa", tmp_path)


def test_bp4d(tmp_path):
    codes = forge_bp4d(tmp_path / "bp4d")
    written = write_intensities(tmp_path / "bp4d")
    found = intensities_of(load("bp4d", tmp_path / "bp4d", tmp_path))
    for subject, task in TASKS:
        values = found[f"{subject}/{task}"]
        expected = np.full(values.shape, np.nan)
        for au, grades in written[subject, task].items():
            coded = codes[subject, task][:, CODED.index(au)] != 9
            expected[:, BP4D_AUS.index(au)] = np.where((grades != 9) & coded, grades, np.nan)
        np.testing.assert_array_equal(values, expected)


def test_bp4d_names_a_missing_or_wrong_file(tmp_path):
    forge_bp4d(tmp_path / "bp4d")
    write_intensities(tmp_path / "bp4d")
    path = tmp_path / "bp4d/AUCoding/AU_INT/AU12/F001_T1_AU12.csv"
    path.write_text("3,7\n")
    with pytest.raises(LabelError, match=r"F001_T1_AU12\.csv, line 1: found the value 7"):
        load("bp4d", tmp_path / "bp4d", tmp_path)
    path.unlink()
    with pytest.raises(DatasetLayoutError, match="F001 T1 has no intensities of AU12 in AUCoding/AU_INT"):
        load("bp4d", tmp_path / "bp4d", tmp_path)
    assert "intensities" not in load_au_dataset("bp4d", tmp_path / "bp4d", cache_dir=tmp_path / "c")["train"].features


def write_table(root, lines):
    for name in ("a", "b", "c"):
        write_video(root / f"{name}.avi", (numbered_frame(index) for index in range(8)))
    (root / "labels.csv").write_text("video,frame,AU1,AU12\n" + "\n".join(lines) + "\n")


def test_own_recordings(tmp_path):
    """An AU that is coded up to a trace only is correct."""
    lines = ["a,2,0,4.5", "a,4,1,", "a,3,1,5", "b,0,0,2", "c,0,1,0", "c,9,1,3"]
    write_table(tmp_path / "mine", lines)
    data = load("au_video_folder", tmp_path / "mine", tmp_path, intensity_threshold=2)
    found = intensities_of(data)
    np.testing.assert_array_equal(found["a.avi"], [[0, 4.5], [1, 5], [1, np.nan]])
    assert found["c.avi"].shape == (1, 2)
    rows = {str(row["name"]): row["labels"] for part in data.values() for row in part.with_format("numpy")}
    assert rows["a.avi"][:3].tolist() == [[0, 1], [0, 1], [0, -100]]


def test_own_recordings_without_intensities(tmp_path):
    write_table(tmp_path / "mine", ["a,0,0,1", "b,0,0,1", "c,0,1,0"])
    message = r"labels\.csv is read as occurrences, 0 or 1, so it has no intensities.* set the option intensity_"
    with pytest.raises(ValueError, match=message):
        load("au_video_folder", tmp_path / "mine", tmp_path)
    write_table(tmp_path / "mine", ["a,0,0,1", "b,0,0,4", "c,0,1,0"])
    with pytest.raises(LabelError, match=r"labels\.csv, line 3: found the value '4'.* Set intensity_threshold"):
        load_au_dataset("au_video_folder", tmp_path / "mine", cache_dir=tmp_path / "cache")
