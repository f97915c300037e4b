"""Test which files of a folder are videos, and what is said of the others."""

import os
import sys
from pathlib import Path

import pytest

from auvmae.video.container import VideoDecodeError
from auvmae.video.finding import find_videos, own_outputs
from auvmae.video.reading import image_files


def make(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def search(root, output="out"):
    left_out = []
    videos = [video.relative_to(root).as_posix() for video, _ in find_videos(root, root / output, left_out)]
    return videos, {Path(left.path).relative_to(root).as_posix(): left.reason for left in left_out}


def test_the_suffixes_of_cameras_and_phones(tmp_path):
    names = ["a.MTS", "b.m2ts", "c.3gp", "d.3g2", "e.flv", "f.VOB", "g.ogv", "h.asf", "i.mxf", "j.dv", "k.Mpg", "l.ts"]
    make(tmp_path, *names)
    assert search(tmp_path) == (names, {})


def test_what_is_left_out_is_named(tmp_path):
    make(
        tmp_path, "a.mp4", "notes.txt", ".hidden.mp4", ".git/b.mp4", "photos/cover.jpg", "photos/back.png", "out/c.mp4"
    )
    make(tmp_path, "crops/d.mp4", "crops/d.faces.csv", "crops/d.faces.json")
    (tmp_path / "code.ts").write_text("export const fläche = 1\n", encoding="utf-8")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.mp4")
    videos, left_out = search(tmp_path)
    assert videos == ["a.mp4", "gone.mp4", "crops/d.mp4"]
    assert left_out == {
        "notes.txt": "is not named like a video",
        ".hidden.mp4": "is hidden",
        ".git": "is hidden",
        "photos": "holds 2 images that are not numbered as the frames of one video",
        "code.ts": "is a text, not an MPEG transport stream",
        "loop": "is a link to a folder that is searched anyway",
        "pipe.mp4": "is not a regular file",
    }


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="nothing is closed to root")
def test_a_closed_folder_is_named(tmp_path):
    make(tmp_path, "a.mp4", "closed/b.mp4")
    (tmp_path / "closed").chmod(0)
    assert "Permission denied" in search(tmp_path)[1]["closed"]
    (tmp_path / "closed").chmod(0o755)


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["frame_0001.png", "frame_0002.png", "frame_0005.png"], [1, 2, 5]),
        (["img-9.JPG", "img-10.JPG"], [9, 10]),
        (["IMG.7.jpeg", "IMG.08.png", "cover.jpg", "notes.txt"], [7, 8]),
        (["0007.jpg", "frame_1.png", "frame_2.png"], [7]),
        (["3.png"], [3]),
    ],
)
def test_numbered_images_are_a_video(tmp_path, names, numbers):
    make(tmp_path, *(f"T1/{name}" for name in names))
    assert search(tmp_path)[0] == ["T1"]
    assert list(image_files(tmp_path / "T1")) == numbers


def test_other_images_are_not(tmp_path):
    make(
        tmp_path,
        "one/cover1.jpg",
        "two/a_1.png",
        "two/b_1.png",
        "beside/a.mp4",
        "beside/thumb1.jpg",
        "beside/thumb2.jpg",
    )
    videos, left_out = search(tmp_path)
    assert videos == ["beside/a.mp4"]
    assert set(left_out) == {"one", "two", "beside"}
    with pytest.raises(VideoDecodeError, match=r"a_1\.png and b_1\.png belong to different series"):
        image_files(tmp_path / "two")
    make(tmp_path, "same/f1.png", "same/f01.png")
    with pytest.raises(VideoDecodeError, match=r"f01.png and f1.png are the same frame"):
        image_files(tmp_path / "same")


def test_no_two_videos_have_the_same_output(tmp_path):
    videos = [(Path("in", name), Path("out", f"{Path(name).stem}.mp4")) for name in ("X.mp4", "X.webm", "x.MOV")]
    assert [name for _, _, name in own_outputs(videos, (".mp4", ".faces.csv"))] == ["X", "X.webm", "x.MOV"]
    again = [(Path("in", str(number), "X.webm"), Path("out", "X.mp4")) for number in range(4)]
    assert [name for _, _, name in own_outputs(again, (".mp4",))] == ["X", "X.webm", "X.webm-2", "X.webm-3"]


def test_files_of_a_folder_of_crops_are_not_left_out(tmp_path):
    for name in ("a.mp4", "a.faces.csv", "a.faces.json", "crop_recipe.json", "crop_report.json", "notes.txt"):
        (tmp_path / name).touch()
    left_out = []
    assert [video.name for video, _ in find_videos(tmp_path, tmp_path / "out", left_out)] == ["a.mp4"]
    assert [Path(one.path).name for one in left_out] == ["notes.txt"]
