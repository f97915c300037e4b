"""Test `predict_folder` on good and bad videos, and which files it writes, skips or refuses."""

import json
import os
import sys
from pathlib import Path

import pandas
import pytest
from PIL import Image

from auvmae.inference.detector import AUDetector
from auvmae.inference.formats.tables import TABLES
from auvmae.inference.overlay import write_overlay
from auvmae.inference.predict_folder import predict_folder
from auvmae.inference.recordings import SUFFIXES, find_recordings
from auvmae.system.folder_report import print_summary
from auvmae.video.reading import num_frames
from tests.support.output_files import contents, names, statuses

from ..support.drawn_faces import draw, write_video
from ..support.processes import dead_sibling
from .test_events import read_eaf

pytest.importorskip("cv2", reason="the extra `faces` is missing")

pytestmark = pytest.mark.usefixtures("square")


def test_a_bad_video_stops_no_other(detector, tmp_path):
    videos, out = tmp_path / "in", tmp_path / "out"
    whole = write_video(videos / "deep" / "good.mp4", absent=[5])
    write_video(videos / "faceless.mp4", absent=range(30))
    (videos / "empty.mp4").touch()
    (videos / "text.mp4").write_text("this is no video")
    (videos / "cut.mp4").write_bytes(whole.read_bytes()[:-2000])
    (videos / "notes.txt").touch()
    for number in (7, 8, 9):
        (videos / "T1").mkdir(exist_ok=True)
        Image.fromarray(draw(number)).save(videos / "T1" / f"{number:04d}.png")
    results = {Path(result.source).name: result for result in predict_folder(detector, [str(videos)], out)}
    assert {name: result.status for name, result in results.items()} == {
        "good.mp4": "done",
        "faceless.mp4": "done",
        "T1": "done",
        "empty.mp4": "failed",
        "text.mp4": "failed",
        "cut.mp4": "failed",
    }
    assert all(
        "VideoDecodeError: cannot decode" in results[name].reason for name in ("empty.mp4", "text.mp4", "cut.mp4")
    )
    assert names(out) == sorted(
        [f"{name}{suffix}" for name in ("T1", "deep/good", "faceless") for suffix in (".csv", ".provenance.json")]
        + ["predict_report.json"]
    )
    report = json.loads((out / "predict_report.json").read_text())
    assert [report[key] for key in ("done", "skipped", "failed", "frames", "found")] == [3, 0, 3, 63, 33]
    good = pandas.read_csv(out / "deep" / "good.csv")
    assert good.frame.tolist() == list(range(num_frames(whole)))
    faceless = pandas.read_csv(out / "faceless.csv")
    assert not faceless.success.any()
    assert faceless.filter(like="AU").isna().all(axis=None)
    assert pandas.read_csv(out / "T1.csv").frame.tolist() == [7, 8, 9]


def test_everything_there_is_to_write(detector, tmp_path):
    video = write_video(tmp_path / "in put" / "a.mp4")
    out = tmp_path / "out"
    (result,) = predict_folder(detector, [str(video)], out, "parquet", ["events", "timeline", "overlay"])
    assert (result.status, result.frames, result.found) == ("done", 30, 30)
    expected = detector(video)
    pandas.testing.assert_frame_equal(pandas.read_parquet(out / "a.parquet"), expected.to_dataframe())
    assert len(pandas.read_csv(out / "a.events.csv")) == len(expected.to_events())
    root, tiers = read_eaf((out / "a.eaf").read_text())
    assert sum(map(len, tiers.values())) == len(expected.to_events())
    assert next(root.iter("MEDIA_DESCRIPTOR")).attrib["MEDIA_URL"] == "../in%20put/a.mp4"
    assert num_frames(out / "a.overlay.mp4") == 30
    with Image.open(out / "a.timeline.png") as picture:
        assert picture.width == 2100
    assert set(names(out)) == {f"a{end}" for end in SUFFIXES if end == ".parquet" or end not in TABLES.values()} | {
        "predict_report.json"
    }


@pytest.mark.medium
@pytest.mark.skipif(sys.platform != "linux", reason="the file system refuses such names")
def test_names_that_are_no_text_no_formula_and_no_url(detector, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    videos = [os.fsdecode(b"caf\xe9.mp4"), "take$1_$2.mp4", "P01:take2.mp4"]
    for name in videos:
        write_video(Path(name).absolute(), 12)
    results = predict_folder(detector, videos, "out", extras=["events", "timeline", "overlay"])
    assert [result.reason for result in results] == ["", "", ""]
    urls = [
        next(read_eaf(Path("out", name).with_suffix(".eaf").read_text())[0].iter("MEDIA_DESCRIPTOR")) for name in videos
    ]
    assert [url.attrib["MEDIA_URL"] for url in urls] == [
        "../caf%E9.mp4",
        "../take%241_%242.mp4",
        "../P01%3Atake2.mp4",
    ]


def test_another_drive_is_named_whole(detector, tmp_path, monkeypatch):
    video = write_video(tmp_path / "in put" / "a.mp4", 12)

    def relpath(*_):
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    monkeypatch.setattr("os.path.relpath", relpath)
    assert statuses(predict_folder(detector, [str(video)], tmp_path / "out", extras=["events"])) == ["done"]
    root, _ = read_eaf((tmp_path / "out" / "a.eaf").read_text())
    assert next(root.iter("MEDIA_DESCRIPTOR")).attrib["MEDIA_URL"] == video.as_uri()


def test_what_is_finished_is_skipped_until_something_changes(detector, checkpoint, tmp_path):
    for name in ("a", "b"):
        write_video(tmp_path / "in" / f"{name}.mp4")
    arguments = [str(tmp_path / "in")], tmp_path / "out"
    assert statuses(predict_folder(detector, *arguments)) == ["done", "done"]
    before = contents(tmp_path / "out")
    assert statuses(predict_folder(detector, *arguments)) == ["skipped", "skipped"]
    assert contents(tmp_path / "out") == before
    other = AUDetector.from_pretrained(checkpoint, device="cpu", dtype="float32", batch_size=3)
    assert statuses(predict_folder(other, *arguments)) == ["skipped", "skipped"]  # changes no result
    write_video(tmp_path / "in" / "b.mp4", count=20)
    assert statuses(predict_folder(detector, *arguments)) == ["skipped", "done"]
    assert len(pandas.read_csv(tmp_path / "out" / "b.csv")) == 20
    (tmp_path / "out" / "a.csv").unlink()
    assert statuses(predict_folder(detector, *arguments)) == ["done", "skipped"]
    stricter = AUDetector.from_pretrained(checkpoint, device="cpu", dtype="float32", threshold=0.9)
    assert statuses(predict_folder(stricter, *arguments, extras=["events"])) == ["done", "done"]
    # without --events, the events of the earlier run are removed
    assert statuses(predict_folder(detector, *arguments)) == ["done", "done"]
    assert "a.events.csv" not in names(tmp_path / "out")


def test_what_a_killed_process_left_beside_a_finished_recording_is_removed(detector, tmp_path):
    write_video(tmp_path / "in" / "a.mp4")
    arguments = [str(tmp_path / "in")], tmp_path / "out"
    predict_folder(detector, *arguments)
    before = names(tmp_path / "out")
    left = dead_sibling(tmp_path / "out" / "a")  # it died after it had moved its files, and before it tidied up
    left.mkdir()
    (left / "a.csv").touch()
    assert statuses(predict_folder(detector, *arguments)) == ["skipped"]
    assert names(tmp_path / "out") == before


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"\xff\x00", b'{"files": ["a.cs'])
@pytest.mark.parametrize("name", ["a.provenance.json", "a.csv"])
def test_a_damaged_file_means_unfinished(detector, tmp_path, name, content):
    for stem in "ab":
        write_video(tmp_path / "in" / f"{stem}.mp4", count=8)
    arguments = [str(tmp_path / "in")], tmp_path / "out"
    predict_folder(detector, *arguments)
    before = contents(tmp_path / "out")
    (tmp_path / "out" / name).write_bytes(content)
    (tmp_path / "out" / "predict_report.json").write_bytes(content)
    assert statuses(predict_folder(detector, *arguments)) == ["done", "skipped"]
    assert contents(tmp_path / "out") == before


def test_years_of_work_beside_a_damaged_provenance_are_kept(detector, tmp_path):
    video = write_video(tmp_path / "a.mp4", count=8)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.provenance.json").touch()
    (tmp_path / "out" / "a.csv").write_text("years of work")
    (result,) = predict_folder(detector, [str(video)], tmp_path / "out")
    assert "exists and was not written by `auvmae predict`" in result.reason
    assert (tmp_path / "out" / "a.csv").read_text() == "years of work"


def test_what_is_left_out_and_what_is_too_long_are_reported(detector, tmp_path, capsys):
    write_video(tmp_path / "in" / "a.mp4", count=8)
    write_video(tmp_path / "in" / f"{'x' * 245}.mp4", count=8)
    (tmp_path / "in" / "notes.txt").touch()
    results = predict_folder(detector, [str(tmp_path / "in")], tmp_path / "out")
    assert statuses(results) == ["done", "failed"]
    assert "File name too long" in results[1].reason
    report = json.loads((tmp_path / "out" / "predict_report.json").read_text())
    assert report["left_out"] == [{"path": str(tmp_path / "in" / "notes.txt"), "reason": "is not named like a video"}]
    assert print_summary(results, "predicted", tmp_path / "out" / "predict_report.json") == 1
    assert "left out: " in capsys.readouterr().out


def test_files_that_are_not_ours_are_kept(detector, tmp_path):
    video = write_video(tmp_path / "in" / "a.mp4")
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.provenance.json").write_text("{}")
    (result,) = predict_folder(detector, [str(video)], out)
    assert "a.provenance.json exists and was not written by `auvmae predict`" in result.reason
    (out / "a.provenance.json").unlink()
    for name in ("a.csv", "a.eaf"):
        (out / name).write_text("years of work")
    (result,) = predict_folder(detector, [str(video)], out)
    assert result.status == "failed"
    assert "a.csv exists and was not written by `auvmae predict`" in result.reason
    assert statuses(predict_folder(detector, [str(video)], out, "parquet")) == ["done"]
    assert statuses(predict_folder(detector, [str(video)], out, "parquet", ["timeline"])) == ["done"]
    assert {(out / name).read_text() for name in ("a.csv", "a.eaf")} == {"years of work"}
    video.write_bytes(b"broken")
    assert statuses(predict_folder(detector, [str(video)], out, "parquet")) == ["failed"]
    assert {(out / name).read_text() for name in ("a.csv", "a.eaf")} == {"years of work"}


@pytest.mark.parametrize(
    ("part", "error"),
    [
        ("auvmae.inference.detector.AUDetector.collect", RuntimeError("out of luck")),
        ("auvmae.inference.detector.AUDetector.collect", KeyboardInterrupt()),
        ("auvmae.inference.predict_folder.write_overlay", KeyboardInterrupt()),
    ],
)
def test_a_recording_that_fails_on_the_way_leaves_what_was_there(detector, tmp_path, monkeypatch, part, error):
    video, out = write_video(tmp_path / "a.mp4"), tmp_path / "out"
    assert statuses(predict_folder(detector, [str(video)], out, extras=["events"])) == ["done"]
    before = contents(out)
    os.utime(video)

    def burst(*_):
        raise error

    monkeypatch.setattr(part, burst)
    if isinstance(error, KeyboardInterrupt):
        with pytest.raises(KeyboardInterrupt):
            predict_folder(detector, [str(video)], out, extras=["events", "overlay"])
    else:
        (result,) = predict_folder(detector, [str(video)], out, extras=["events", "overlay"])
        assert result.reason == "RuntimeError: out of luck"
    assert contents(out) == before
    assert not list(out.glob("*.tmp"))


def test_a_recording_of_the_same_name_is_not_replaced(detector, tmp_path):
    out = tmp_path / "out"
    for name, count in (("S1", 12), ("S2", 20)):
        write_video(tmp_path / name / "interview.mp4", count)
    assert statuses(predict_folder(detector, [str(tmp_path / "S1")], out)) == ["done"]
    before = contents(out)
    (result,) = predict_folder(detector, [str(tmp_path / "S2")], out)
    assert "interview.* belong to a recording of the same name in another folder" in result.reason
    assert contents(out) == before
    write_video(tmp_path / "S1" / "interview.mp4", 15)  # the same one, recorded again
    assert statuses(predict_folder(detector, [str(tmp_path / "S1")], out)) == ["done"]
    assert len(pandas.read_csv(out / "interview.csv")) == 15
    (tmp_path / "S1").rename(tmp_path / "S3")  # the same file, in a folder of another name
    assert statuses(predict_folder(detector, [str(tmp_path / "S3")], out, extras=["timeline"])) == ["done"]


def test_two_runs_on_one_output_do_not_disturb_each_other(detector, tmp_path, monkeypatch):
    """A second run starts and finishes while the first writes; the files of a killed third run are removed."""
    video, out = write_video(tmp_path / "in" / "a.mp4"), tmp_path / "out"
    dead_sibling(out / "a").mkdir(parents=True)
    others = []

    def write_and_run_another(*arguments):
        monkeypatch.setattr("auvmae.inference.predict_folder.write_overlay", write_overlay)
        others.extend(predict_folder(detector, [str(video)], out, extras=["overlay"]))
        write_overlay(*arguments)

    monkeypatch.setattr("auvmae.inference.predict_folder.write_overlay", write_and_run_another)
    assert statuses(predict_folder(detector, [str(video)], out, extras=["overlay"])) == ["done"]
    assert statuses(others) == ["done"]
    assert names(out) == ["a.csv", "a.overlay.mp4", "a.provenance.json", "predict_report.json"]
    (out / "a.keep.tmp").mkdir()
    for name in ("a.keep.tmp/thesis.txt", "a.overlay.mp4.123.tmp"):  # not ours
        (out / name).write_text("years of work")
    assert statuses(predict_folder(detector, [str(video)], out, extras=["timeline"])) == ["done"]
    assert {(out / name).read_text() for name in ("a.keep.tmp/thesis.txt", "a.overlay.mp4.123.tmp")} == {
        "years of work"
    }
    for path in (out / "a.keep.tmp" / "thesis.txt", out / "a.overlay.mp4.123.tmp"):
        path.unlink()
    assert statuses(predict_folder(detector, [str(video)], out, extras=["overlay"])) == ["done"]
    predict_folder(detector, [str(video)], tmp_path / "whole", extras=["overlay"])
    assert contents(out) == contents(tmp_path / "whole")


def test_no_two_recordings_write_the_same_file(tmp_path):
    for name in ("x/a.mp4", "x/a.avi", "x/A.mov", "y/a.mp4", "x/a.events.mp4", "z/a.b.c.mkv", "z/..avi", "z/[x]*.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    out = tmp_path / "out"
    patterns = [str(tmp_path / name) for name in ("x/*", "y/a.mp4", "z", "x", "z/..avi")]
    found = find_recordings(patterns, out)
    assert len(found) == 8  # each once
    files = [str(target.file(suffix)).lower() for _, target in found for suffix in SUFFIXES]
    assert len(set(files)) == len(files)
    assert all(Path(file).parent == Path(str(out).lower()) for file in files)
    by_source = {video.relative_to(tmp_path).as_posix(): target.name for video, target in found}
    assert by_source["x/A.mov"] == "A"
    assert by_source["x/a.avi"] == "a.avi"
    assert by_source["x/a.mp4"] == "a.mp4"
    assert by_source["y/a.mp4"] == "a.mp4-2"
    assert by_source["x/a.events.mp4"] == "a.events.mp4"  # a.events.csv is of a


def test_nothing_is_written_outside_of_the_output(detector, tmp_path):
    write_video(tmp_path / "in" / "sub" / "a.mp4", 5)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (result,) = predict_folder(detector, [str(tmp_path / "in")], tmp_path / "out")
    assert "a link in the output folder points outside it" in result.reason
    assert not list((tmp_path / "elsewhere").iterdir())


def test_the_output_is_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "a.mp4", 5)
    for name, output in ((".", "."), (str(tmp_path), ".")):
        with pytest.raises(ValueError, match="is also the output folder"):
            find_recordings([name], Path(output))
    assert [video.name for video, _ in find_recordings(["a.mp4"], Path())] == ["a.mp4"]


def test_overlays_of_an_earlier_run_are_no_recordings(detector, tmp_path):
    write_video(tmp_path / "a.mp4", 5)
    patterns = [str(tmp_path / "**" / "*.mp4")]
    for status in ("done", "skipped"):
        assert statuses(predict_folder(detector, patterns, tmp_path / "out", extras=["overlay"])) == [status]
