import errno
import json
import os
import re
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from auvmae.cli.main import main
from auvmae.faces.crop import CropRecipe
from auvmae.faces.crop_files import read_index
from auvmae.faces.crop_folder import crop_folder
from auvmae.faces.detection import DETECTORS
from auvmae.system.folder_report import summarise
from auvmae.video.finding import find_videos
from auvmae.video.reading import iter_frames
from auvmae.video.writing import VideoWriter

from ..support.drawn_faces import RECIPE, SquareDetector, write_video
from ..support.paths import ROOT

pytest.importorskip("cv2", reason="the extra `faces` is missing")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.suffix in (".csv", ".json", ".mp4")}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Create valid and broken videos, named as in DISFA and by users."""
    root = tmp_path_factory.mktemp("tree")
    good = write_video(root / "Videos_LeftCamera" / "LeftVideoSN001_comp.avi", absent=[5])
    shutil.copy(good, root / "Videos_LeftCamera" / "LeftVideoSN002_comp.avi")
    (root / "empty.mp4").touch()
    (root / "text.mp4").write_text("this is no video")
    (root / "cut.mp4").write_bytes(write_video(root / "whole.mp4").read_bytes()[:-2000])
    with VideoWriter(root / "deadly.mp4", 25, 64, 64) as writer:
        writer.write(np.full((64, 64, 3), 255, np.uint8))
    write_video(root / "faceless.mp4", absent=range(30))
    (root / ".hidden").mkdir()
    (root / ".hidden" / "b.mp4").touch()
    return root


@pytest.fixture(scope="module")
def cropped(tree, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return out, crop_folder(tree, out, RECIPE, num_proc=2, make_detector=SquareDetector)


@pytest.mark.medium
def test_a_bad_video_stops_no_other(tree, cropped):
    out, results = cropped
    status = {Path(result.source).relative_to(tree).as_posix(): result for result in results}
    assert {name for name, result in status.items() if result.status == "done"} == {
        "Videos_LeftCamera/LeftVideoSN001_comp.avi",
        "Videos_LeftCamera/LeftVideoSN002_comp.avi",
        "whole.mp4",
    }
    for name, reason in {
        "empty.mp4": "VideoDecodeError",
        "text.mp4": "VideoDecodeError",
        "cut.mp4": "VideoDecodeError",
        "deadly.mp4": "its process died",
        "faceless.mp4": "none of the 30 frames",
    }.items():
        assert status[name].status == "failed"
        assert reason in status[name].reason
    assert len(status) == 8
    report = json.loads((out / "crop_report.json").read_text())
    assert {key: report[key] for key in ("done", "skipped", "failed", "frames")} == {
        "done": 3,
        "skipped": 0,
        "failed": 5,
        "frames": 90,
    }
    assert CropRecipe(**json.loads((out / "crop_recipe.json").read_text())) == RECIPE
    names = sorted(path.name for path in (out / "Videos_LeftCamera").glob("*.mp4"))
    assert all(re.fullmatch(r"(?i)(left|right)videoSN(\d{3})_comp\.(avi|mp4)", name) for name in names)
    assert len(names) == 2
    assert not list(out.rglob("*.tmp"))
    assert not list(out.rglob("*deadly*"))


def test_finished_crops_are_skipped_until_recipe_or_input_change(tmp_path):
    for name in ("a", "b"):
        write_video(tmp_path / "in" / f"{name}.mp4")
    arguments = (tmp_path / "in", tmp_path / "out")

    def statuses(recipe):
        return [result.status for result in crop_folder(*arguments, recipe, 1, make_detector=SquareDetector)]

    assert statuses(RECIPE) == ["done", "done"]
    before = (tmp_path / "out" / "a.mp4").stat().st_mtime_ns
    assert statuses(RECIPE) == ["skipped", "skipped"]
    assert (tmp_path / "out" / "a.mp4").stat().st_mtime_ns == before
    write_video(tmp_path / "in" / "b.mp4", count=20)
    assert statuses(RECIPE) == ["skipped", "done"]
    assert len(read_index(tmp_path / "out" / "b.mp4").frame) == 20
    other = CropRecipe(**{**RECIPE.to_dict(), "size": 48})
    assert statuses(other) == ["done", "done"]
    assert next(iter_frames(tmp_path / "out" / "a.mp4"))[2].shape == (48, 48, 3)


DAMAGE = {
    "empty": b"",
    "list": b"[]",
    "object": b"{}",
    "null": b"null",
    "binary": b"\xff\x00\x80" * 50,
    "cut": None,  # in the middle
}


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("suffix", [".faces.json", ".faces.csv", ".mp4"])
def test_a_damaged_file_of_a_crop_means_unfinished(tmp_path, suffix, kind):
    write_video(tmp_path / "in" / "a.mp4", count=6)
    run = partial(crop_folder, tmp_path / "in", tmp_path / "out", RECIPE, 1, make_detector=SquareDetector)
    run()
    before = contents(tmp_path / "out")
    damaged = tmp_path / "out" / f"a{suffix}"
    data = DAMAGE[kind]
    damaged.write_bytes(before[damaged.name][: len(before[damaged.name]) // 2] if data is None else data)
    (tmp_path / "out" / "crop_report.json").write_bytes(data or b"")
    write_video(tmp_path / "in" / "b.mp4", count=6)
    assert [result.status for result in run()] == ["done", "done"]
    after = contents(tmp_path / "out")
    assert {name: after[name] for name in before if name.startswith("a.")} == {
        name: data for name, data in before.items() if name.startswith("a.")
    }


def test_the_same_stem_twice_gives_two_crops(tmp_path):
    for name, count in (("x.avi", 6), ("x.mp4", 7), ("X.mkv", 8)):
        write_video(tmp_path / "in" / name, count=count)
    results = crop_folder(tmp_path / "in", tmp_path / "out", RECIPE, 1, make_detector=SquareDetector)
    assert {Path(result.output).name: result.frames for result in results} == {
        "X.mp4": 8,
        "x.avi.mp4": 6,
        "x.mp4.mp4": 7,
    }
    again = crop_folder(tmp_path / "in", tmp_path / "out", RECIPE, 1, make_detector=SquareDetector)
    assert {result.status for result in again} == {"skipped"}


def test_a_full_disk_ends_the_run(tmp_path, monkeypatch):
    def fill(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "a.mp4")

    write_video(tmp_path / "in" / "a.mp4", count=6)
    monkeypatch.setattr(VideoWriter, "write", fill)
    with pytest.raises(OSError, match="No space left"):
        crop_folder(tmp_path / "in", tmp_path / "out", RECIPE, 1, make_detector=SquareDetector)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"crop_recipe.json"}


def test_a_name_too_long_is_refused_before_the_work(tmp_path):
    write_video(tmp_path / "in" / f"{'x' * 250}.mp4", count=6)
    write_video(tmp_path / "in" / "b.mp4", count=6)
    results = crop_folder(tmp_path / "in", tmp_path / "out", RECIPE, 1, make_detector=SquareDetector)
    assert [result.status for result in results] == ["done", "failed"]
    assert "File name too long" in results[1].reason


@pytest.mark.medium
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_run_goes_on_to_the_same_files(tmp_path):
    for number in range(6):
        write_video(tmp_path / "in" / f"{number}.mp4", absent=[number])
    crop_folder(tmp_path / "in", tmp_path / "whole", RECIPE, 2, make_detector=SquareDetector)
    script = (
        "from auvmae.faces.crop_folder import crop_folder\n"
        "from tests.support.drawn_faces import RECIPE, SlowDetector\n"
        "if __name__ == '__main__':\n"
        f"    crop_folder({str(tmp_path / 'in')!r}, {str(tmp_path / 'out')!r}, RECIPE, 2, SlowDetector)\n"
    )
    (tmp_path / "run.py").write_text(script)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.Popen([sys.executable, tmp_path / "run.py"], env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while len(list((tmp_path / "out").glob("*.faces.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    run.kill()
    run.wait()
    time.sleep(0.3)  # the worker processes exit with their parent
    stopped = contents(tmp_path / "out")
    assert 2 <= sum(name.endswith("faces.json") for name in stopped) < 6
    time.sleep(0.3)
    assert contents(tmp_path / "out") == stopped
    results = crop_folder(tmp_path / "in", tmp_path / "out", RECIPE, 2, make_detector=SquareDetector)
    total = summarise(results)
    assert total["skipped"] == sum(name.endswith("faces.json") for name in stopped)
    assert total["failed"] == 0
    whole, resumed = contents(tmp_path / "whole"), contents(tmp_path / "out")
    del whole["crop_report.json"], resumed["crop_report.json"]
    assert resumed == whole
    assert not list((tmp_path / "out").glob("*.tmp"))


def test_nothing_is_written_outside_of_the_output(tmp_path):
    write_video(tmp_path / "in" / "sub" / "a.mp4")
    write_video(tmp_path / "in" / "x" / "a.mp4")
    write_video(tmp_path / "in" / "x" / "a.avi")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in", target_is_directory=True)
    (tmp_path / "elsewhere").mkdir()
    out = tmp_path / "in" / "out"
    out.mkdir()
    (out / "sub").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    for _ in range(2):  # the output is not taken for input
        results = crop_folder(tmp_path / "in", out, RECIPE, 1, make_detector=SquareDetector)
        reasons = {Path(result.source).relative_to(tmp_path / "in").as_posix(): result.reason for result in results}
        assert "leads out of the output folder" in reasons.pop("sub/a.mp4")
        assert reasons == {"x/a.avi": "", "x/a.mp4": ""}
    assert {path.name for path in (out / "x").glob("*.mp4")} == {"a.mp4", "a.mp4.mp4"}
    assert not list((tmp_path / "elsewhere").iterdir())


def test_image_folders_become_videos_and_the_output_is_another_folder(tmp_path):
    for name in ("F001/T1/0007.jpg", "F001/T1/notes.txt", "M002/cover.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    out = tmp_path / "out"
    assert find_videos(tmp_path, out) == [(tmp_path / "F001" / "T1", out / "F001" / "T1.mp4")]
    assert find_videos(tmp_path / "F001" / "T1", out) == [(tmp_path / "F001" / "T1", out / "T1.mp4")]
    with pytest.raises(ValueError, match=r"cannot write the crops of .* into .* itself"):
        crop_folder(tmp_path, out / "..", RECIPE, make_detector=SquareDetector)


def test_odd_names_stay_inside(tmp_path):
    for name in ("..avi", "a.b.c.mp4", "%2e%2e.mp4", "~.mov", "[x]*.mkv"):
        (tmp_path / name).touch()
        ((_, crop),) = find_videos(tmp_path / name, tmp_path / "out")
        assert crop.parent == tmp_path / "out"
        assert crop.suffix == ".mp4"


def test_a_folder_without_videos_is_an_error(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(FileNotFoundError, match="no video under"):
        crop_folder(tmp_path / "in", tmp_path / "out", RECIPE, make_detector=SquareDetector)


def run_command(*words):
    return main(["crop", *map(str, words)])


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(DETECTORS, "square", SquareDetector)
    video, out = write_video(tmp_path / "a.mp4", absent=range(15, 30)), tmp_path / "out"
    options = ("--detector", "square", "--size", 32, "--detect_every", 2)
    assert run_command(video, out, *options) == 0
    assert "1 cropped, 0 skipped (already finished), 0 failed\n30 frames, 50.0% with a face" in capsys.readouterr().out
    assert json.loads((out / "crop_recipe.json").read_text())["detect_every"] == 2
    assert run_command(video, out, *options) == 0
    assert "0 cropped, 1 skipped (already finished)" in capsys.readouterr().out
    video.write_bytes(b"broken")
    assert run_command(video, out, *options) == 1
    assert f"failed: {video}: VideoDecodeError" in capsys.readouterr().out
    assert run_command(video, out, "--size", 31) == 2
    assert "size must be an even number" in capsys.readouterr().err
