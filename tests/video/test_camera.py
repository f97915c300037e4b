"""Live rows equal those of the recording, are written in time, and are complete when the stream is stopped."""

import errno
import io
import os
import signal
import subprocess
import sys
import threading
import time

import av
import pandas
import pytest

from auvmae.cli.main import main
from auvmae.cli.predict_live import write_rows
from auvmae.inference.detector import AUDetector
from auvmae.video.camera import Device, live_frames
from auvmae.video.container import VideoDecodeError

from ..support.drawn_faces import draw, write_video
from ..support.paths import ROOT

pytest.importorskip("cv2", reason="the extra `faces` is missing")
needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes")

RUN = (
    "import sys\n"
    "from auvmae.cli.main import main\n"
    "from auvmae.faces.detection import DETECTORS\n"
    "from tests.support.drawn_faces import SquareDetector\n"
    "DETECTORS['square'] = SquareDetector\n"
    "sys.exit(main(['predict', *sys.argv[1:]]))\n"
)

pytestmark = pytest.mark.usefixtures("square")


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("video") / "a.mp4", 40, range(18, 30))


def start(*words, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", RUN, *map(str, words)], env=environment, **options)


@pytest.mark.parametrize(
    ("name", "platform", "expected"),
    [
        ("", "linux", ("/dev/video0", "v4l2")),
        ("2", "linux", ("/dev/video2", "v4l2")),
        ("/dev/video1", "linux", ("/dev/video1", "v4l2")),
        ("", "darwin", ("0", "avfoundation")),
        ("1", "darwin", ("1", "avfoundation")),
        ("video=Integrated Camera", "win32", ("video=Integrated Camera", "dshow")),
        ("-", "linux", ("pipe:0", None)),
        ("rtsp://camera/1", "darwin", ("rtsp://camera/1", None)),
        ("a.mp4", "win32", ("a.mp4", None)),
    ],
)
def test_what_a_name_means(name, platform, expected):
    device = Device.of(name, platform)
    assert (device.name, device.format) == expected


def test_cameras_of_windows_have_names():
    with pytest.raises(ValueError, match="on Windows, cameras are selected by name: pass --webcam"):
        Device.of("0", "win32")


def test_a_camera_without_a_frame_yet_is_asked_again(video, monkeypatch):
    class Camera:
        """Return a frame on every other request."""

        def __init__(self, *_, **__):
            self.container = open_container(str(video))
            self.frames = self.container.decode(video=0)

        def __getattr__(self, name):
            return getattr(self.container, name)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.container.close()

        def decode(self, video):
            for frame in self.frames:
                yield frame
                raise av.BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    open_container = av.open
    monkeypatch.setattr("auvmae.video.camera.av.open", Camera)
    assert [index for index, _, _ in live_frames(Device.of(str(video)))] == list(range(40))


def test_live_rows_are_the_tables_to_the_byte(checkpoint, video, tmp_path):
    for options in ({}, {"every_face": True}):
        detector = AUDetector.from_pretrained(checkpoint, device="cpu", batch_size=1, **options)
        rows = io.StringIO()
        assert write_rows(detector, live_frames(Device.of(str(video))), rows) == (40, 28)
        assert rows.getvalue().encode() == detector(video).save(tmp_path / "a.csv").read_bytes()


def test_each_row_is_written_whole_and_in_time(checkpoint):
    detector = AUDetector.from_pretrained(checkpoint, device="cpu")
    taken, written = 0, []

    class Paper(io.StringIO):
        def write(self, text):
            assert text.endswith("\n")
            written.append(taken)

    def frames():
        nonlocal taken
        for taken in range(100):
            yield taken, taken / 25, draw(taken % 60)

    write_rows(detector, frames(), Paper())
    assert len(written) == 100
    assert all(when - row <= detector.delay for row, when in enumerate(written))


def test_what_does_not_open_says_so(tmp_path):
    with pytest.raises(VideoDecodeError, match=r"cannot open .*nothing\.mp4 as a live source"):
        next(live_frames(Device.of(str(tmp_path / "nothing.mp4"))))


def test_the_command(checkpoint, video, tmp_path, capsys):
    out = tmp_path / "live.csv"
    words = ["predict", "--webcam", str(video), "-m", str(checkpoint), "--device", "cpu"]
    assert main([*words, "-o", str(out)]) == 0
    assert "40 frames, 70.0% with a face" in capsys.readouterr().err
    assert pandas.read_csv(out).frame.tolist() == list(range(40))
    assert (tmp_path / "live.provenance.json").exists()
    assert main(words) == 0
    assert capsys.readouterr().out == out.read_text()
    for wrong, message in (
        ([*words, "-o", str(out)], "File exists"),
        ([*words, "--events"], "--webcam writes the rows of one device as CSV"),
        ([*words, "--neutral", "0:1"], "calibration needs a whole recording"),
        (["predict", str(video), "-m", str(checkpoint)], "name the videos (or --table) and the output folder (-o)"),
        (["predict", "--webcam", "/dev/video77", "-m", str(checkpoint)], "cannot open /dev/video77"),
    ):
        assert main(wrong) == 2
        assert message in capsys.readouterr().err


def test_a_device_that_does_not_open_leaves_no_file(checkpoint, video, tmp_path):
    words = ["predict", "-m", str(checkpoint), "--device", "cpu", "-o", str(tmp_path / "live.csv"), "--webcam"]
    assert main([*words, str(tmp_path / "nothing.mp4")]) == 2
    assert not list(tmp_path.iterdir())
    assert main([*words, str(video)]) == 0


@pytest.mark.slow
@needs_posix
def test_an_interrupted_pipe_leaves_whole_rows(checkpoint, video, tmp_path):
    pipe, out = tmp_path / "pipe", tmp_path / "live.csv"
    os.mkfifo(pipe)
    # the pipe stays open after the last frame
    stream = write_video(tmp_path / "a.mkv", 200).read_bytes()
    run = start("--webcam", pipe, "-m", checkpoint, "-o", out, "--device", "cpu", stderr=subprocess.PIPE)
    with pipe.open("wb") as writer:
        threading.Thread(target=lambda: (writer.write(stream), writer.flush()), daemon=True).start()
        deadline = time.monotonic() + 200
        while not (out.exists() and out.read_bytes().count(b"\n") > 100) and time.monotonic() < deadline:
            time.sleep(0.05)
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=100)
    assert run.returncode == 0, errors
    assert b"Traceback" not in errors
    table = pandas.read_csv(out)
    assert table.frame.tolist() == list(range(len(table)))
    assert len(table) > 100
    assert out.read_bytes().endswith(b"\n")
    assert not table.filter(regex="_[cp]$").isna().any(axis=None)


@pytest.mark.slow
@needs_posix
def test_frames_come_through_standard_input(checkpoint, video, tmp_path):
    with video.open("rb") as file:  # a file as standard input is seekable, which MP4 requires
        run = start("--webcam", "-", "-m", checkpoint, "--device", "cpu", stdin=file, stdout=subprocess.PIPE)
        rows, _ = run.communicate(timeout=200)
    assert run.returncode == 0
    assert pandas.read_csv(io.BytesIO(rows)).frame.tolist() == list(range(40))
