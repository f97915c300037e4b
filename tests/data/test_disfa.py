"""Test the parser of DISFA and everything that the builders share."""

import logging
import os
import shutil
from pathlib import Path

import datasets
import numpy as np
import pytest

from auvmae.data import au_names, load_au_dataset
from auvmae.data.clips import fit_clip, rare_au_clips, segment_clips, video_labels
from auvmae.data.disfa import BAD_FRAMES, Disfa
from auvmae.data.files import DatasetLayoutError, LabelError
from auvmae.data.folds import fold_subjects
from auvmae.video.container import VideoDecodeError

from ..support.forge_disfa import AUS, LENGTHS, forge_disfa, intensities, numbered_frame, write_labels, write_video

PROTOCOL = [AUS.index(au) for au in (1, 2, 4, 6, 9, 12, 25, 26)]


@pytest.fixture(scope="module")
def forged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("disfa") / "DISFA"
    forge_disfa(root)
    return root


@pytest.fixture
def tree(forged: Path, tmp_path: Path) -> Path:
    """Copy the tree, so that a test may damage it."""
    return Path(shutil.copytree(forged, tmp_path / "DISFA"))


def occurrence(subject: str, length: int | None = None) -> np.ndarray:
    return (intensities(subject, LENGTHS[subject])[:length, PROTOCOL] >= 2).astype(int)


def check_rows(data: datasets.DatasetDict, root: Path, fold: int, clip_length: int = 128) -> None:
    for split, rows in data.items():
        plain = [row for row in rows if not row["augmented"]]
        subjects = sorted(fold_subjects("disfa", fold, split) & LENGTHS.keys())
        assert sorted({row["subject"] for row in plain}) == subjects
        for subject, labels in zip(subjects, video_labels(plain), strict=True):
            clips = [row for row in plain if row["subject"] == subject]
            assert np.array_equal(labels, occurrence(subject))
            tiles = [(row["start_frame"], row["start_frame"] + row["num_frames"]) for row in clips]
            assert tiles == segment_clips(LENGTHS[subject], clip_length)
            assert {row["task"] for row in clips} == {""}
            (video,) = {row["video"] for row in clips}
            assert Path(video).is_relative_to(root)
            assert f"{subject}_" in video
        for row in rows:
            assert np.shape(row["labels"]) == (clip_length, 8)
            assert (np.array(row["labels"])[row["num_frames"] :] == -100).all()


@pytest.mark.parametrize("fold", [1, 2, 3])
def test_exact_labels(forged: Path, fold: int) -> None:
    data = load_au_dataset("disfa", forged, fold)
    assert list(data) == ["train", "test"]
    check_rows(data, forged, fold)
    assert au_names(data) == au_names(data["test"]) == ["AU1", "AU2", "AU4", "AU6", "AU9", "AU12", "AU25", "AU26"]
    assert not any(data["train"]["augmented"])


@pytest.mark.parametrize(
    ("labels_folder", "video_name", "camera"),
    [
        ("ActionUnits_Labels", "Video_LeftCamera/LeftVideo{subject}_Comp.avi", "left"),
        ("ActionUnits", "videos_leftcamera/leftvideo{subject}_comp.AVI", "left"),
        ("ActionUnit_Labels", "Video_RightCamera/RightVideo{subject}_Comp.avi", "right"),
        ("actionunit_labels", "Videos_RightCamera/RightVideo{subject}_comp.mp4", "right"),
    ],
)
def test_names_vary(tmp_path: Path, labels_folder: str, video_name: str, camera: str) -> None:
    forge_disfa(tmp_path, labels_folder=labels_folder, video_name=video_name)
    check_rows(load_au_dataset("disfa", tmp_path, camera=camera), tmp_path, fold=1)


def test_relative_folders_and_other_clip_lengths(forged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(forged.parent)
    check_rows(load_au_dataset("disfa", "DISFA", clip_length=50), forged, fold=1, clip_length=50)
    whole = load_au_dataset("disfa", forged, clip_length=50, tail="drop")
    assert set(whole["train"]["num_frames"]) == {50}
    assert len(whole["train"]) == sum(LENGTHS[subject] // 50 for subject in ("SN001", "SN002", "SN010", "SN013"))


def test_videos_elsewhere(forged: Path, tmp_path: Path) -> None:
    """Combine face crops, or another copy of the videos, with the labels as distributed."""
    for subject, length in LENGTHS.items():
        frames = [numbered_frame(index, 32, 32) for index in range(length)]
        write_video(tmp_path / f"Videos_LeftCamera/LeftVideo{subject}_comp.mp4", frames, codec="libx264")
    check_rows(load_au_dataset("disfa", forged, video_dir=str(tmp_path)), tmp_path, fold=1)


def test_rare_au_clips_are_added_to_the_training_side(forged: Path) -> None:
    data = load_au_dataset("disfa", forged, rare_au_clips=True, clip_length=32)
    check_rows(data, forged, fold=1, clip_length=32)
    assert not any(data["test"]["augmented"])
    rows = [row for row in data["train"] if row["augmented"]]
    for subject in ("SN001", "SN002", "SN010", "SN013"):
        labels = occurrence(subject)
        expected = [
            piece for clip in rare_au_clips(labels, [0, 1, 4]) for piece in fit_clip(*clip, len(labels), clip_length=32)
        ]
        found = [row for row in rows if row["subject"] == subject]
        assert [(row["start_frame"], row["start_frame"] + row["num_frames"]) for row in found] == expected
        for row, (start, stop) in zip(found, expected, strict=True):
            assert np.array_equal(np.array(row["labels"])[: stop - start], labels[start:stop])
    assert len(rows) > 4


def test_overlapping_clips_are_added_to_the_training_side(forged: Path) -> None:
    data = load_au_dataset("disfa", forged, clip_length=32, clip_stride=5)
    check_rows(data, forged, fold=1, clip_length=32)
    assert not any(data["test"]["augmented"])
    for subject in ("SN001", "SN002", "SN010", "SN013"):
        found = [row for row in data["train"] if row["subject"] == subject and row["augmented"]]
        tiles = range(0, LENGTHS[subject] - 31, 32)
        assert [row["start_frame"] for row in found] == [
            start for start in range(0, LENGTHS[subject] - 31, 5) if start not in tiles
        ]
        for row in found:
            start = row["start_frame"]
            assert np.array_equal(np.array(row["labels"]), occurrence(subject)[start : start + 32])


def test_bad_frames_are_kept_or_not_coded(tmp_path: Path) -> None:
    lengths = {"SN001": 450, "SN003": 20}
    forge_disfa(tmp_path, lengths)
    kept = video_labels(load_au_dataset("disfa", tmp_path)["train"])[0]
    dropped = video_labels(load_au_dataset("disfa", tmp_path, drop_bad_frames=True)["train"])[0]
    bad = np.zeros(450, bool)
    bad[397:420] = True
    assert len(dropped) == 450
    assert (dropped[bad] == -100).all()
    assert np.array_equal(dropped[~bad], kept[~bad])
    assert (kept >= 0).all()


def test_number_of_bad_frames() -> None:
    assert sum(last - first + 1 for ranges in BAD_FRAMES.values() for first, last in ranges) == 4670


@pytest.mark.parametrize("video_frames", [250, 310])
def test_length_mismatch_warns_and_takes_the_shorter(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, video_frames: int
) -> None:
    forge_disfa(tmp_path, {"SN001": 300, "SN003": 20}, video_lengths={"SN001": video_frames})
    labels = video_labels(load_au_dataset("disfa", tmp_path)["train"])[0]
    assert np.array_equal(labels, occurrence("SN001", min(300, video_frames)))
    assert f"has {video_frames} frames but 300 labels" in caplog.text


def test_subjects_that_are_missing_are_named(forged: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        Disfa(data_dir=str(forged))
    assert "SN004, SN005" in caplog.text
    assert "are not comparable with published ones" in caplog.text


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        (5, "5,x", r"SN001_au6\.txt, line 5: found '5,x'\. Every cell must be an integer"),
        (5, "5,2.5", r"line 5: found '5,2\.5'"),
        (5, "5,7", r"line 5: found the value 7\. Values must be 0, 1, 2, 3, 4, 5"),
        (5, "5", r"line 5: found 1 cells\. There must be 2"),
        (5, "5,1,1", r"line 5: found 3 cells"),
        (5, "4,1", r"line 5: found frame 4\. Frame 4 must be followed by 5: list each frame once, in order"),
        (5, "7,1", r"line 5: found frame 7"),
        (1, "0,1", r"line 2: found frame 2\. Frame 0 must be followed by 1"),
        (300, "", r"SN001_au6\.txt: found 299 frames\. SN001_au1\.txt has 300"),
    ],
)
@pytest.mark.parametrize("num_proc", [None, 2])
def test_faulty_label_files(tree: Path, line: int, text: str, message: str, num_proc: int | None) -> None:
    path = tree / "ActionUnit_Labels/SN001/SN001_au6.txt"
    lines = path.read_text().splitlines()
    lines[line - 1] = text
    path.write_text("\n".join(lines))
    with pytest.raises(LabelError, match=message):
        load_au_dataset("disfa", tree, num_proc=num_proc)


def test_label_files_that_are_empty_or_start_elsewhere(tree: Path) -> None:
    path = tree / "ActionUnit_Labels/SN001/SN001_au6.txt"
    path.write_text("".join(f"{frame},0\n" for frame in range(300)))
    with pytest.raises(LabelError, match=r"line 1: found frame 0\. The first frame must be 1"):
        load_au_dataset("disfa", tree)
    path.write_text("")
    with pytest.raises(LabelError, match=r"found no label"):
        load_au_dataset("disfa", tree)


def test_files_that_are_missing(tree: Path) -> None:
    (tree / "ActionUnit_Labels/SN002/SN002_au9.txt").unlink()
    with pytest.raises(DatasetLayoutError, match=r"(?s)SN002 has no label file SN002_au9\.txt.*Expected:.*Found:"):
        load_au_dataset("disfa", tree)
    (tree / "ActionUnit_Labels/SN002/SN002_au20.txt").unlink(missing_ok=True)  # not part of the protocol
    write_labels(tree / "ActionUnit_Labels", "SN002", intensities("SN002", 129))
    (tree / "Videos_LeftCamera/LeftVideoSN002_comp.avi").unlink()
    with pytest.raises(DatasetLayoutError, match="SN002 has no left video"):
        load_au_dataset("disfa", tree)
    with pytest.raises(DatasetLayoutError, match="SN001 has no right video"):
        load_au_dataset("disfa", tree, camera="right")


@pytest.mark.parametrize("num_proc", [None, 2])
def test_broken_video(tree: Path, num_proc: int | None) -> None:
    (tree / "Videos_LeftCamera/LeftVideoSN002_comp.avi").write_bytes(b"")
    with pytest.raises(VideoDecodeError, match=r"LeftVideoSN002_comp\.avi.*Copy the file again"):
        load_au_dataset("disfa", tree, num_proc=num_proc)


def test_wrong_folders(tmp_path: Path, forged: Path) -> None:
    with pytest.raises(DatasetLayoutError, match=r"(?s)data_dir is missing.*Videos_LeftCamera.*no folder was given"):
        load_au_dataset("disfa")
    with pytest.raises(DatasetLayoutError, match=r"(?s)is not a folder.*it does not exist"):
        load_au_dataset("disfa", tmp_path / "nowhere")
    with pytest.raises(DatasetLayoutError, match=r"(?s)no coded video.*it is empty"):
        load_au_dataset("disfa", tmp_path)
    (tmp_path / "Videos").mkdir()
    (tmp_path / "Videos/clip.mp4").touch()
    with pytest.raises(DatasetLayoutError, match=r"(?s)no coded video.*Videos/\n.*clip\.mp4"):
        load_au_dataset("disfa", tmp_path)
    forge_disfa(tmp_path / "one", {"SN001": 20})
    with pytest.raises(DatasetLayoutError, match="no subject of the test side of fold 1"):
        load_au_dataset("disfa", tmp_path / "one")


def test_options_are_checked(forged: Path) -> None:
    with pytest.raises(ValueError, match="unknown dataset 'ck'; choose from bp4d, disfa, portraits, synthetic"):
        load_au_dataset("ck", forged)
    for options in ({"fold": 4}, {"camera": "up"}, {"tail": "keep"}, {"clip_length": 0}, {"camara": "left"}):
        name, value = next(iter(options.items()))
        with pytest.raises(ValueError, match=name if name == "camara" else str(value)):
            load_au_dataset("disfa", forged, **options)


def same(a: datasets.Dataset, b: datasets.Dataset) -> bool:
    return a.features == b.features and a.to_list() == b.to_list()


def test_two_processes_give_the_same_rows(forged: Path, tmp_path: Path) -> None:
    one = load_au_dataset("disfa", forged, cache_dir=tmp_path / "1", rare_au_clips=True)
    two = load_au_dataset("disfa", forged, cache_dir=tmp_path / "2", rare_au_clips=True, num_proc=2)
    assert all(same(one[split], two[split]) for split in one)


def test_streaming_gives_the_same_rows(forged: Path) -> None:
    stored = load_au_dataset("disfa", forged, fold=2, rare_au_clips=True)
    streamed = Disfa(config_name="fold2", data_dir=str(forged), rare_au_clips=True).as_streaming_dataset()
    for split, rows in stored.items():
        assert au_names(streamed[split]) == au_names(rows)
        for row, other in zip(rows, streamed[split], strict=True):
            assert np.array_equal(row.pop("labels"), other.pop("labels"))
            assert row == other


def test_cache_is_used_and_invalidated(tree: Path, tmp_path: Path) -> None:
    def prepared() -> dict[str, list[str]]:
        data = load_au_dataset("disfa", tree, cache_dir=tmp_path / "cache")
        return {"files": [file["filename"] for rows in data.values() for file in rows.cache_files], "data": data}

    first = prepared()
    assert prepared()["files"] == first["files"]

    write_labels(tree / "ActionUnit_Labels", "SN001", 5 - intensities("SN001", 300))
    edited = prepared()
    assert edited["files"] != first["files"]
    assert np.array_equal(video_labels(edited["data"]["train"])[0], 5 - intensities("SN001", 300)[:, PROTOCOL] >= 2)

    video = tree / "Videos_LeftCamera/LeftVideoSN001_comp.avi"
    os.utime(video, ns=(0, 0))
    assert prepared()["files"] != edited["files"]

    assert load_au_dataset("disfa", tree, cache_dir=tmp_path / "cache", tail="drop")["train"].num_rows != (
        edited["data"]["train"].num_rows
    )


def test_au_names_survive(forged: Path, tmp_path: Path) -> None:
    data = load_au_dataset("disfa", forged)
    data.save_to_disk(tmp_path / "saved")
    saved = datasets.load_from_disk(tmp_path / "saved")
    assert au_names(saved) == au_names(saved["train"].filter(lambda row: row["subject"] == "SN001")) == au_names(data)


@pytest.mark.medium
def test_synthetic(tmp_path: Path) -> None:
    options = {"num_subjects": 9, "frames_per_subject": 40, "image_size": 32, "clip_length": 16}
    data = load_au_dataset("synthetic", cache_dir=tmp_path, **options)
    assert au_names(data) == au_names(load_au_dataset("synthetic", cache_dir=tmp_path, fold=3, **options))
    assert len(data["train"]) + len(data["test"]) == 9 * 3
    assert all(Path(video).is_relative_to(tmp_path) for video in data["train"]["video"])
    other = load_au_dataset("synthetic", cache_dir=tmp_path, seed=1, **options)
    assert not set(other["train"]["video"]) & set(data["train"]["video"])
    mine = load_au_dataset("synthetic", tmp_path / "mine", cache_dir=tmp_path, **options)
    assert Path(mine["test"]["video"][0]).is_relative_to(tmp_path / "mine")
    assert video_labels(mine["test"])[0].tolist() == video_labels(data["test"])[0].tolist()
