"""Test the errors for faulty tables and folders of a user's own recordings."""

import logging
import shutil
from pathlib import Path

import pytest

from auvmae.data import load_au_dataset
from auvmae.data.files import DatasetLayoutError, LabelError
from auvmae.video.container import VideoDecodeError

from ..support.forge_folder import check, load, wide, write_table


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        (4, "anna/monday.mp4,2,yes,0,0", r"labels\.csv, line 4: found the value 'yes'\. Values must be 0 or 1, or em"),
        (4, "anna/monday.mp4,2,2,0,0", r"line 4: found the value '2'"),
        (4, "anna/monday.mp4,2,NaN,0,0", r"line 4: found the value 'NaN'"),
        (4, "anna/monday.mp4,2,0.5,0,0", r"line 4: found the value '0\.5'"),
        (4, "anna/monday.mp4,two,0,0,0", r"line 4: found the frame 'two'\. Frames must be whole numbers"),
        (4, "anna/monday.mp4,2.5,0,0,0", r"line 4: found the frame '2\.5'"),
        (4, "anna/monday.mp4,-2,0,0,0", r"line 4: found the frame '-2'"),
        (4, "anna/monday.mp4,,0,0,0", r"line 4: found the frame ''"),
        (4, "anna/monday.mp4,2,0,0", r"line 4: found 4 cells\. There must be 5, as"),
        (4, "anna/monday.mp4,1,0,0,0", r"line 4: found a second label of AU1 for frame 1\. Line 3 already has .* List"),
        (4, "monday,1,,,", r"line 4: found a second label of AU1 for frame 1\. Line 3 already has one"),
        (1, "video,frame,AU1,AU12,AU001", r"line 1: found two columns for the same AU"),
        (1, "video,frame,smile,frown,wink", r"line 1: found the columns video, frame, smile.* The header must name v"),
        (1, "video,time,AU1,AU12,AU4", r"line 1: found the columns video, time"),
        (1, "video,frame,au,value,AU4", r"line 1: found the columns"),
        (1, "video,frame,au,level,remark", r"line 1: found the columns"),
    ],
)
def test_faulty_tables(tree: Path, line: int, text: str, message: str) -> None:
    lines = (tree / "labels.csv").read_text(encoding="utf-8-sig").splitlines()
    lines[line - 1] = text
    (tree / "labels.csv").write_text("\n".join(lines))
    with pytest.raises(LabelError, match=message):
        load(tree)


def test_faulty_long_tables(tree: Path) -> None:
    header = ["video", "frame", "au", "value", "subject"]
    for second, message in (
        (["bert", 0, "smile", 1, "b"], r"line 3: found the AU 'smile'\. Write an AU as AU12 or 12"),
        (["bert", 0, "AU12", 3, "b"], r"line 3: found the value '3'"),
        (["bert", 0, "12", 0, "b"], r"line 3: found a second label of AU12 for frame 0\. Line 2 already has one"),
        (
            ["bert", 1, "12", 0, "c"],
            r"line 3: found the subject 'c'\. Each video shows one subject; 'bert' began with 'b'",
        ),
        (["monday", 1, "12", 0, ""], r"line 3: found the subject ''"),
    ):
        write_table(tree, [header, ["bert", 0, "AU12", 1, "b"], second])
        with pytest.raises(LabelError, match=message):
            load(tree)


def test_tables_without_labels_or_text(tree: Path) -> None:
    write_table(tree, wide()[:1])
    with pytest.raises(LabelError, match=r"labels\.csv: found no label"):
        load(tree)
    (tree / "labels.csv").write_text("")
    with pytest.raises(LabelError, match=r"line 1: found the columns \(none\)"):
        load(tree)
    (tree / "labels.csv").write_bytes("video,frame,AU1\nJosé.mp4,0,1\n".encode("latin-1"))
    with pytest.raises(LabelError, match=r"found the byte 0xe9\. Save the table as UTF-8"):
        load(tree)


def test_frames_that_are_not_there(tree: Path) -> None:
    header, *rows = wide()
    (tree / "carla/images/0007.jpg").unlink()
    with pytest.raises(LabelError, match=r"labels from frame 0, but no frame 7 .*carla/images holds frames 0 to 19"):
        load(tree)
    write_table(tree, [header, *(row for row in rows if "carla" not in row[0]), ["images", 50, 1, 1, 1]])
    with pytest.raises(LabelError, match=r"labels from frame 50, but no frame 50"):
        load(tree)


@pytest.mark.parametrize("num_proc", [None, 2])
def test_a_broken_video_is_named(tree: Path, num_proc: int | None) -> None:
    (tree / "bert.mkv").write_bytes(b"")
    with pytest.raises(VideoDecodeError, match=r"bert\.mkv.*Copy the file again"):
        load(tree, num_proc=num_proc)


def test_wrong_folders(tree: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(DatasetLayoutError, match=r"(?s)data_dir is missing.*video,frame,AU1.*no folder was given"):
        load_au_dataset("au_video_folder")
    with pytest.raises(DatasetLayoutError, match="is not a folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(DatasetLayoutError, match=r"(?s)codes\.csv is missing.*Found:.*bert\.mkv"):
        load(tree, label_file="codes.csv")
    shutil.copy(tree / "bert.mkv", tree / "stray.mkv")
    with caplog.at_level(logging.WARNING):
        check(load(tree), tree)
    assert "1 videos are not listed in" in caplog.text
    assert "stray.mkv" in caplog.text
    (tree / "bert.mkv").unlink()
    with pytest.raises(
        DatasetLayoutError, match=r"(?s)line 72 of .*labels\.csv names the video 'bert\.mkv', which does"
    ):
        load(tree)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"rare_aus": [9, 12]}, ValueError, r"rare_aus names AU9, but .*labels\.csv only codes AU1, AU4, AU12"),
        ({"clip_stride": 0}, ValueError, "clip_stride must be at least 1, found 0"),
        ({"clip_stride": -4}, ValueError, "found -4"),
        (
            {"drop_lost_faces": True},
            FileNotFoundError,
            r"\.faces\.csv does not exist\. .*`auvmae crop`, or do not set drop_lost_faces",
        ),
    ],
)
def test_options_that_the_folder_cannot_have(tree: Path, options: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        load(tree, **options)
