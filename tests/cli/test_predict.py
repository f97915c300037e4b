"""Test what `auvmae predict` prints, and that it resumes after a kill, also over two hundred recordings."""

import json
import os
import subprocess
import sys
import time
from io import BytesIO, TextIOWrapper
from pathlib import Path

import av
import numpy as np
import pandas
import pytest

from auvmae.cli.main import build_parser, main
from auvmae.faces.crop import CropRecipe
from auvmae.faces.crop_files import crop_video
from auvmae.inference.predict_folder import REPORT_FILE, predict_folder
from auvmae.video import iter_frames

from ..support.drawn_faces import TRAINED, write_video
from ..support.output_files import contents, names, statuses
from ..support.paths import ROOT

pytest.importorskip("cv2", reason="the extra `faces` is missing")

pytestmark = pytest.mark.usefixtures("square")


def run_command(*words):
    return main(["predict", *map(str, words)])


def test_the_command(checkpoint, tmp_path, capsys):
    video, out = write_video(tmp_path / "in" / "a.mp4", absent=range(15, 30)), tmp_path / "out"
    words = (video.parent, "-m", checkpoint, "-o", out, "--device", "cpu", "--events", "--threshold", "0.3")
    assert run_command(*words) == 0
    summary = "1 predicted, 0 skipped (already finished), 0 failed\n30 frames, 50.0% with a face"
    assert summary in capsys.readouterr().out
    table = pandas.read_csv(out / "a.csv")
    assert (table.AU12_c.dropna() == (table.AU12_p.dropna() >= 0.3)).all()
    assert np.flatnonzero(table.success == 0).tolist() == list(range(15, 30))
    assert run_command(*words) == 0
    assert "0 predicted, 1 skipped (already finished)" in capsys.readouterr().out
    video.write_bytes(b"broken")
    assert run_command(*words) == 1
    assert f"failed: {video}: VideoDecodeError" in capsys.readouterr().out
    for wrong, message in (
        ((tmp_path / "nowhere", *words[1:]), f"no video found for {tmp_path / 'nowhere'}: "),
        ((*words, "--clip_stride", 9), "clip_stride must lie in 1 to 4"),
        ((video, "-m", tmp_path / "in", "-o", out), "in"),
    ):
        assert run_command(*wrong) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", ["openface", "feat"])
def test_tables_for_other_programs(checkpoint, tmp_path, capsys, name):
    video, out = write_video(tmp_path / "a.openface.mp4", absent=range(15, 30)), tmp_path / "out"
    words = (video, "-m", checkpoint, "-o", out, "--device", "cpu", "--format")
    assert run_command(*words, name) == 0
    printed = capsys.readouterr()
    assert ("This model grades no intensities" in printed.err) == (name == "openface")
    assert set(names(out)) == {f"a.openface{end}" for end in (f".{name}.csv", ".provenance.json")} | {REPORT_FILE}
    assert len(pandas.read_csv(out / f"a.openface.{name}.csv")) == 30
    assert run_command(*words, name) == 0
    assert "0 predicted, 1 skipped (already finished)" in capsys.readouterr().out
    described = tmp_path / "described"
    assert main(["describe", str(out), "-o", str(described)]) == 2
    assert f"--format {name}): predict again with --format csv" in capsys.readouterr().err
    assert run_command(*words, "csv") == 0
    assert set(names(out)) == {"a.openface.csv", "a.openface.provenance.json", REPORT_FILE}
    assert main(["describe", str(out), "-o", str(described)]) == 0
    assert pandas.read_csv(described / "recordings.csv").recording.unique().tolist() == ["a.openface"]
    other = write_video(tmp_path / "b.mp4")
    assert run_command(other, *words[1:], name) == 0
    capsys.readouterr()
    assert main(["describe", str(out), "-o", str(described)]) == 3
    assert f"left out: b: {out / 'b'}.{name}.csv was written for other programs" in capsys.readouterr().out


def test_the_names_of_recordings_are_read_from_standard_input(checkpoint, tmp_path, capsys, monkeypatch):
    videos = [write_video(tmp_path / "in" / name) for name in ("a.mp4", "\u00fc b.mp4", "c.mp4")]
    words = ("-m", checkpoint, "-o", tmp_path / "out", "--device", "cpu")
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(os.fsencode(f"{videos[0]}\n{videos[1]}\n\n"))))
    assert run_command("-", videos[2], *words) == 0
    assert "3 predicted" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "out").glob("*.csv")} == {"a.csv", "\u00fc b.csv", "c.csv"}
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(b"\n")))
    assert run_command("-", *words) == 2
    assert "standard input lists no video" in capsys.readouterr().err


@pytest.mark.parametrize("faces", [(), ("--every-face",), ("--faces", "largest")])
def test_a_stretch_of_every_second_frame(checkpoint, tmp_path, capsys, faces):
    videos, out = [write_video(tmp_path / "in" / name, 50) for name in ("a.mp4", "b.mp4")], tmp_path / "out"
    words = (tmp_path / "in", "-m", checkpoint, "-o", out, "--device", "cpu", "--events", "--overlay", "--timeline")
    words += ("--threshold", "0.01", "--start", "0:0.4", "--stop", "0:00:01.2", "--every", 2, *faces)
    assert run_command(*words) == 0
    assert "2 predicted, 0 skipped (already finished), 0 failed\n20 frames, 100.0%" in capsys.readouterr().out
    assert pandas.read_csv(out / "a.csv").frame.tolist() == [*range(10, 30, 2)]
    shown = list(iter_frames(out / "a.overlay.mp4"))
    assert [round(time, 2) for _, time, _ in shown] == [round(0.08 * number, 2) for number in range(10)]
    events = pandas.read_csv(out / "a.events.csv")
    assert events.onset.min() == 0.4
    assert f'TIME_VALUE="{round(1000 * events.onset.min())}"' in (out / "a.eaf").read_text()
    assert run_command(*words) == 0
    assert "0 predicted, 2 skipped" in capsys.readouterr().out
    assert run_command(*words, "--stop", "1") == 0
    assert "2 predicted, 0 skipped" in capsys.readouterr().out
    assert run_command(*words, "--start", "7", "--stop", "0:09") == 1
    assert f"failed: {videos[0]}: ValueError: no frame lies between 7 and 9 s" in capsys.readouterr().out
    assert run_command("--webcam", "-m", checkpoint, "--start", "1") == 2
    assert "omit --start and --stop" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "seconds"), [("7.5", 7.5), ("1:02", 62), ("01:00:02.5", 3602.5), ("90:00", 5400), ("0:59.9", 59.9)]
)
def test_times_are_seconds_or_clock_times(text, seconds):
    assert build_parser().parse_args(["predict", "--start", text]).start == seconds


@pytest.mark.parametrize("text", ["0", "-1", "many", "2.5", ""])
def test_other_numbers_of_faces_are_refused(text, capsys):
    with pytest.raises(SystemExit):
        build_parser().parse_args(["predict", f"--faces={text}"])
    assert "expected all, largest or a number of faces" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["x", "1:60", "1:60:00", "-1:5", "1:2:3:4", "1:-5", "1.5:3", ""])
def test_other_times_are_refused(text, capsys):
    with pytest.raises(SystemExit):
        build_parser().parse_args(["predict", f"--start={text}"])
    assert "expected seconds, mm:ss or hh:mm:ss" in capsys.readouterr().err


def test_crops_are_selected_by_the_clock_of_their_recording(checkpoint, tmp_path, capsys):
    crop_video(write_video(tmp_path / "a.mp4", 50), tmp_path / "crops" / "a.mp4", CropRecipe(**TRAINED))
    index = tmp_path / "crops" / "a.faces.csv"
    table = pandas.read_csv(index)
    table["timestamp"] += 10  # a recording whose clock begins at 10 s, while that of its crop begins at 0
    table.to_csv(index, index=False)
    words = (tmp_path / "crops", "-m", checkpoint, "--device", "cpu", "--cropped", "--threshold", "0.01", "--events")
    assert run_command(*words, "-o", tmp_path / "out", "--overlay", "--start", "10.4", "--stop", "11.2") == 0
    assert pandas.read_csv(tmp_path / "out" / "a.csv").frame.tolist() == [*range(10, 30)]
    times = [time for _, time, _ in iter_frames(tmp_path / "out" / "a.overlay.mp4")]
    np.testing.assert_allclose(times, np.arange(20) / 25, atol=1e-3)
    assert 'TIME_VALUE="400"' in (tmp_path / "out" / "a.eaf").read_text()
    assert run_command(*words, "-o", tmp_path / "whole") == 0
    assert 'TIME_VALUE="0"' in (tmp_path / "whole" / "a.eaf").read_text()


TABLE = """\
file,name,start,stop,every,neutral
in/a.mp4,,0:00.4,,2,
in/a.mp4,a end,1.5,,,
in/b.mp4,,,,,0:0.4
"""


def test_a_table_of_recordings_with_their_own_options(checkpoint, tmp_path, capsys):
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / "in" / name, 50)
    (tmp_path / "visits.csv").write_text(TABLE)
    out = tmp_path / "out"
    words = ("-m", checkpoint, "-o", out, "--device", "cpu", "--stop", "1.6", "--events")
    assert run_command("--table", tmp_path / "visits.csv", *words) == 0
    assert "3 predicted" in capsys.readouterr().out
    frames = {
        path.stem: pandas.read_csv(path).frame.tolist() for path in out.glob("*.csv") if ".events" not in path.name
    }
    assert frames == {"a": [*range(10, 40, 2)], "a end": [38, 39], "b": [*range(40)]}
    assert "AU12_raw" in pandas.read_csv(out / "b.csv")
    one = tmp_path / "one"  # as if the recording had been predicted alone
    assert run_command(tmp_path / "in" / "b.mp4", *words[:2], "-o", one, *words[4:], "--neutral", "0:0.4") == 0
    assert (one / "b.csv").read_bytes() == (out / "b.csv").read_bytes()
    capsys.readouterr()
    assert run_command("--table", tmp_path / "visits.csv", *words) == 0
    assert "0 predicted, 3 skipped" in capsys.readouterr().out
    (tmp_path / "visits.csv").write_text(TABLE.replace("1.5", "1.4"))
    assert run_command("--table", tmp_path / "visits.csv", *words) == 0
    assert "1 predicted, 2 skipped" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("path\na.mp4", "needs the column file, and may have name, start, stop, every, neutral; found ['path']"),
        ("file,begin\na.mp4,1", "found ['file', 'begin']"),
        ("file\n", "lists no recording"),
        ("file,start\na.mp4", "row 2 of"),
        ("file\nb.mp4", "b.mp4 is neither a video nor a folder of images"),
        ("file\na.txt", "a.txt is neither a video nor a folder of images"),
        (
            "file,start,stop\na.mp4,5,1:00:99",
            "row 2 of visits.csv: expected seconds, mm:ss or hh:mm:ss, found '1:00:99'",
        ),
        ("file,start,stop\na.mp4,5,5", "row 2 of visits.csv: start and stop must be 0 <= START < STOP"),
        ("file,every\na.mp4,0", "row 2 of visits.csv: every must be a whole number of at least 1"),
        ("file,every\na.mp4,two", "row 2 of visits.csv: invalid literal"),
        ("file,neutral\na.mp4,5", "row 2 of visits.csv: expected START:STOP in seconds"),
        ("file,start\na.mp4,1\nA.mp4,2", "row 3 of visits.csv has the same name as row 2 (A)"),
        ("file,name\na.mp4,x/y", "row 2 of visits.csv has a name with folders (x/y)"),
    ],
)
def test_a_wrong_table_is_refused_with_its_row(checkpoint, tmp_path, table, message, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.mp4", "A.mp4"):
        write_video(tmp_path / name, 3)
    (tmp_path / "a.txt").write_text("")
    (tmp_path / "visits.csv").write_text(table)
    assert run_command("--table", "visits.csv", "-m", checkpoint, "-o", "out", "--device", "cpu") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert run_command("a.mp4", "--table", "visits.csv", "-m", checkpoint, "-o", "out") == 2
    assert "omit VIDEO" in capsys.readouterr().err


def test_the_command_calibrates(checkpoint, tmp_path, capsys):
    video, out = write_video(tmp_path / "in" / "a.mp4"), tmp_path / "out"
    words = (video, "-m", checkpoint, "-o", out, "--device", "cpu")
    assert run_command(*words) == 0
    raw = pandas.read_csv(out / "a.csv")
    for option in (("--neutral", "0:0.4"), ("--neutral", "auto:0.2")):
        for summary in ("1 predicted, 0 skipped (already finished)", "0 predicted, 1 skipped (already finished)"):
            assert run_command(*words, *option) == 0
            assert summary in capsys.readouterr().out
        table = pandas.read_csv(out / "a.csv")
        np.testing.assert_array_equal(table.AU12_raw, raw.AU12_p)
        assert (table.AU12_p < raw.AU12_p).all()
        assert ((table.AU12_p >= 0.6) == table.AU12_c).all()
    assert run_command(*words, "--neutral", "7:9") == 1
    assert (
        "a.mp4 shows no face from 7 to 9 s (its clock begins at 0.00 s and ends at 1.16 s)" in capsys.readouterr().out
    )
    pandas.testing.assert_frame_equal(pandas.read_csv(out / "a.csv"), table)  # the earlier table is kept
    with pytest.raises(SystemExit):
        run_command(*words, "--neutral", "auto:2")
    assert "quantile must lie in (0, 1), found 2.0" in capsys.readouterr().err


def slow_predict(checkpoint, folder, *flags):
    """Write a program that predicts `in` to `out` like the fixture `detector`, but slowly enough to be killed."""
    words = ["predict", folder / "in", "-m", checkpoint, "-o", folder / "out", *flags]
    words += ["--device", "cpu", "--dtype", "float32", "--engine", "torch"]
    return (
        "from auvmae.cli.main import main\n"
        "from auvmae.faces.detection import DETECTORS\n"
        "from tests.support.drawn_faces import SlowDetector\n"
        "DETECTORS['square'] = lambda min_face: SlowDetector()\n"
        f"main({[str(word) for word in words]!r})\n"
    )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_run_goes_on_to_the_same_bytes(detector, checkpoint, tmp_path):
    for number in range(5):
        write_video(tmp_path / "in" / f"{number}.mp4", absent=[number])
    extras = ["events", "overlay"]
    predict_folder(detector, [str(tmp_path / "in")], tmp_path / "whole", extras=extras)
    script = slow_predict(checkpoint, tmp_path, "--events", "--overlay")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.Popen([sys.executable, "-c", script], env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while not list((tmp_path / "out").glob("3.*.tmp/*")) and time.monotonic() < deadline:  # until it writes
        time.sleep(0.001)
    run.kill()
    run.wait()
    assert "3.csv" not in names(tmp_path / "out")
    assert list((tmp_path / "out").glob("3.*.tmp"))
    results = predict_folder(detector, [str(tmp_path / "in")], tmp_path / "out", extras=extras)
    assert statuses(results) == ["skipped"] * 3 + ["done"] * 2
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_ranks_write_what_one_process_writes_also_after_a_kill(detector, checkpoint, tmp_path):
    for number in range(9):
        write_video(tmp_path / "in" / f"{number}.mp4", 20, absent=[number])
    predict_folder(detector, [str(tmp_path / "in")], tmp_path / "whole")
    script = slow_predict(checkpoint, tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "WORLD_SIZE": "3", "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen([sys.executable, "-c", script], env=environment | {"RANK": rank}, stderr=subprocess.DEVNULL)
        for rank in "012"
    ]
    deadline = time.monotonic() + 200
    while not (tmp_path / "out" / "1.csv").exists() and time.monotonic() < deadline:  # the first file of rank 1
        time.sleep(0.001)
    ranks[1].kill()
    assert [rank.wait() for rank in ranks] == [0, -9, 0]
    assert "7.csv" not in names(tmp_path / "out")
    results = predict_folder(detector, [str(tmp_path / "in")], tmp_path / "out")
    assert [statuses(results)[number] for number in (0, 2, 3, 5, 6, 7, 8)] == ["skipped"] * 5 + ["done", "skipped"]
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def spoil(path, kind, sound):
    """Make a recording of 12 frames unusable, in one of ten ways."""
    data = path.read_bytes()
    if kind == "nothing":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("this is no video")
    elif kind == "zeros":
        path.write_bytes(bytes(5000))
    elif kind == "cut":
        path.write_bytes(data[: len(data) * 2 // 3])
    elif kind == "no index":  # the last box of an MP4, which locates the frames
        path.write_bytes(data[: data.index(b"moov") - 4])
    elif kind == "no frame":
        path.write_bytes(data[: data.index(b"mdat") - 4] + data[data.index(b"moov") - 4 :])
    elif kind == "sound":
        path.write_bytes(sound)
    elif kind == "damaged":
        start = data.index(b"mdat") + 800
        path.write_bytes(data[:start] + bytes(data[start + 1000 : start + 1400][::-1]) + data[start + 400 :])
    elif kind == "nowhere":
        path.unlink()
        path.symlink_to(path.with_suffix(".gone"))
    elif kind == "folder":
        path.unlink()
        path.mkdir()
        (path / "0.png").write_bytes(b"no image")


KINDS = ("nothing", "text", "zeros", "cut", "no index", "no frame", "sound", "damaged", "nowhere", "folder")


def write_sound(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        for packet in [*stream.encode(frame), *stream.encode()]:
            container.mux(packet)
    return path.read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_two_hundred_recordings_twenty_of_them_broken(checkpoint, tmp_path):
    videos, sound = tmp_path / "in", write_sound(tmp_path / "sound.mp4")
    broken = {}
    for number in range(200):
        path = write_video(videos / f"{number % 10}" / f"{number:03d}.mp4", 12 + number % 5, size=(32, 48))
        if number % 10 == 3:
            broken[path] = KINDS[len(broken) % len(KINDS)]
            spoil(path, broken[path], sound)
    assert len(broken) == 20
    words = [
        "predict",
        "--engine",
        "torch",
        str(videos),
        "-m",
        str(checkpoint),
        "--cropped",
        "--events",
        "--device",
        "cpu",
        "-o",
    ]
    script = f"from auvmae.cli.main import main\nmain({[*words, str(tmp_path / 'out')]!r})"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.Popen([sys.executable, "-c", script], env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    # not `rglob`, which enters folders that may vanish meanwhile
    while len(list((tmp_path / "out").glob("*/*.csv"))) < 80 and time.monotonic() < deadline:
        time.sleep(0.01)
    run.kill()
    run.wait()
    # in their places: one of them may be marked as unfinished
    before = len(list((tmp_path / "out").glob("*/*.provenance.json")))
    assert 30 < before < 180
    assert main([*words, str(tmp_path / "out")]) == 1
    report = json.loads((tmp_path / "out" / "predict_report.json").read_text())
    assert report["done"] + report["skipped"] == 180
    assert report["incomplete"] == 0
    assert report["skipped"] >= before - 1
    failed = {Path(result["source"]): result["reason"] for result in report["videos"] if result["status"] == "failed"}
    assert set(failed) == set(broken)
    for path, reason in failed.items():
        assert "VideoDecodeError: cannot decode" in reason or "FileNotFoundError" in reason
        assert path.name in reason
    assert main([*words, str(tmp_path / "whole")]) == 1
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    tables = [name for name in names(tmp_path / "out") if name.endswith(".csv") and "events" not in name]
    assert len(tables) == 180
    assert all(len(pandas.read_csv(tmp_path / "out" / name)) == 12 + int(name[2:5]) % 5 for name in tables)
