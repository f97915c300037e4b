"""Decoding is exact: each frame shows its number, and all backends must read the same frame."""

import importlib.util
import pickle
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from auvmae.video.container import VideoDecodeError
from auvmae.video.random_access import BACKENDS, read_frames
from auvmae.video.reading import iter_frames, num_frames
from auvmae.video.writing import VideoWriter

from ..support.forge_disfa import frame_numbers, numbered_frame, write_video

INSTALLED = [name for name in BACKENDS if name != "torchcodec" or importlib.util.find_spec("torchcodec")]
UNSORTED = [70, 3, 3, 99, 0, 64, 31, 32, 3, 98]


def write_h264(path: Path, count: int = 100, width: int = 64, height: int = 48) -> Path:
    with VideoWriter(path, fps=25, width=width, height=height) as writer:
        for index in range(count):
            writer.write(numbered_frame(index, height, width))
    return path


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("videos")
    frames = [numbered_frame(index) for index in range(100)]
    return {
        "h264.mp4": write_h264(folder / "h264.mp4"),
        "h264.mkv": write_h264(folder / "h264.mkv"),
        "h264.avi": write_h264(folder / "h264.avi"),
        "mpeg4.avi": write_video(folder / "mpeg4.avi", frames),
        "cinepak.avi": write_video(folder / "cinepak.avi", frames, codec="cinepak"),
        "mpeg4.mov": write_video(folder / "mpeg4.mov", frames, codec="mpeg4"),
        "mpeg2.mpg": write_video(folder / "mpeg2.mpg", frames, codec="mpeg2video", fps=25),
        "wmv2.wmv": write_video(folder / "wmv2.wmv", frames, codec="wmv2"),
        "vp9.webm": write_video(folder / "vp9.webm", frames, codec="libvpx-vp9"),
        "hevc.mp4": write_video(folder / "hevc.mp4", frames, codec="libx265"),
    }


NAMES = [
    *("h264.mp4", "h264.mkv", "h264.avi", "mpeg4.avi", "cinepak.avi", "mpeg4.mov", "hevc.mp4"),
    *("mpeg2.mpg", "wmv2.wmv", "vp9.webm"),
]


@pytest.mark.parametrize("backend", INSTALLED)
@pytest.mark.parametrize("name", NAMES)
def test_frame_exact(videos: dict[str, Path], name: str, backend: str) -> None:
    path = videos[name]
    streamed = list(iter_frames(path))
    assert [index for index, _, _ in streamed] == list(range(100))
    assert num_frames(path) == 100
    times = np.array([time for _, time, _ in streamed])
    with av.open(str(path)) as container:
        np.testing.assert_allclose(np.diff(times), float(1 / container.streams.video[0].average_rate), atol=2e-3)
    assert times[0] == pytest.approx(0, abs=0.05) or path.suffix == ".mpg"  # a programme stream's clock starts later
    whole = np.stack([frame for _, _, frame in streamed])
    assert frame_numbers(whole) == list(range(100))
    for indices in (UNSORTED, range(100), range(96, 3, -7), np.array([50])):
        frames = read_frames(path, indices, backend)
        assert frames.dtype == np.uint8
        assert np.array_equal(frames, whole[list(indices)])


@pytest.mark.parametrize("width", [16, 24, 32, 40, 48, 96, 144])
def test_narrow_frames_keep_three_channels(tmp_path: Path, width: int) -> None:
    with VideoWriter(tmp_path / "narrow.mp4", 25, width, 32) as writer:
        for value in range(5):
            writer.write(np.random.default_rng(value).integers(0, 256, (32, width, 3), dtype=np.uint8))
    assert np.array_equal(*(read_frames(tmp_path / "narrow.mp4", [4, 1], backend) for backend in ("decord", "pyav")))


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_rotation_is_applied_by_all(tmp_path: Path, rotation: int) -> None:
    frame = np.zeros((32, 64, 3), np.uint8)
    frame[:12, :24] = 255  # a mark in the upper left corner
    path = write_video(tmp_path / "phone.mp4", [frame] * 3, codec="libx264", rotation=rotation)
    upright = np.rot90(frame, rotation // 90)
    streamed = np.stack([image for _, _, image in iter_frames(path)])
    assert np.abs(streamed.astype(int) - upright).mean() < 5
    for backend in INSTALLED:
        assert np.array_equal(read_frames(path, [0, 1, 2], backend), streamed)


def test_variable_frame_rate(tmp_path: Path) -> None:
    path, times = tmp_path / "vfr.mp4", np.cumsum([1, 1, 7, 1, 30, 2, 2, 5, 1, 1] * 4).tolist()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 64, 48, "yuv420p", 12
        stream.codec_context.time_base = Fraction(1, 30)
        for index, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(numbered_frame(index), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    seconds = [timestamp for _, timestamp, _ in iter_frames(path)]
    assert np.allclose(np.diff(seconds), np.diff(times) / 30, atol=1e-3)
    for backend in INSTALLED:
        assert frame_numbers(read_frames(path, [39, 4, 20, 5], backend)) == [39, 4, 20, 5]


@pytest.mark.parametrize("backend", INSTALLED)
@pytest.mark.parametrize("first", [0, 4, 1, 30])  # the last two request frames that are skipped at first
@pytest.mark.parametrize("name", NAMES)
def test_every_fourth_frame(videos: dict[str, Path], name: str, first: int, backend: str) -> None:
    expected = np.stack([frame for _, _, frame in iter_frames(videos[name])])[first::4]
    np.testing.assert_array_equal(read_frames(videos[name], np.arange(first, 100, 4), backend), expected)


def test_frames_that_no_other_needs_are_not_decoded(videos: dict[str, Path], tmp_path: Path) -> None:
    data = bytearray(videos["h264.mp4"].read_bytes())
    with av.open(str(videos["h264.mp4"])) as container:
        packets = sorted((packet for packet in container.demux(video=0) if packet.size), key=lambda packet: packet.pts)
    for packet in packets[1:4]:  # after the length and type of the unit, which a decoder always reads
        data[packet.pos + 5 : packet.pos + packet.size] = b"\xff" * (packet.size - 5)
    (tmp_path / "damaged.mp4").write_bytes(data)
    assert frame_numbers(read_frames(tmp_path / "damaged.mp4", [0, 4, 8])) == [0, 4, 8]
    with pytest.raises(VideoDecodeError, match="frame"):
        read_frames(tmp_path / "damaged.mp4", range(8))


@pytest.mark.parametrize("backend", INSTALLED)
def test_frames_before_the_keyframe_are_not_decoded(videos: dict[str, Path], tmp_path: Path, backend: str) -> None:
    data = bytearray(videos["h264.mp4"].read_bytes())
    with av.open(str(videos["h264.mp4"])) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    keys = [packet.pos for packet in packets if packet.is_keyframe]
    assert len(keys) == 4  # every 32 frames
    data[keys[0] : keys[2]] = bytes(keys[2] - keys[0])
    (tmp_path / "damaged.mp4").write_bytes(data)
    assert frame_numbers(read_frames(tmp_path / "damaged.mp4", [65, 80], backend)) == [65, 80]
    with pytest.raises(VideoDecodeError, match=r"frame \d+ of .*damaged\.mp4"):
        read_frames(tmp_path / "damaged.mp4", [10, 20], backend)


@pytest.mark.parametrize("backend", INSTALLED)
@pytest.mark.parametrize("fault", ["missing", "zero bytes", "text", "cut header", "audio only", "no such frame"])
def test_broken_files_say_which(videos: dict[str, Path], tmp_path: Path, fault: str, backend: str) -> None:
    path = tmp_path / "broken.mp4"
    if fault == "zero bytes":
        path.touch()
    elif fault == "text":
        path.write_text("frame,intensity\n" * 100)
    elif fault == "cut header":
        path.write_bytes(videos["h264.mp4"].read_bytes()[:-2000])
    elif fault == "no such frame":
        path.write_bytes(videos["h264.mp4"].read_bytes())
    elif fault == "audio only":
        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=16000)
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
            sound.sample_rate = 16000
            container.mux(stream.encode(sound))
            container.mux(stream.encode())
    with pytest.raises(VideoDecodeError, match=r"broken\.mp4.*Copy the file again"):
        read_frames(path, [0, 100], backend)
    if fault != "no such frame":
        with pytest.raises(VideoDecodeError, match=r"broken\.mp4"):
            num_frames(path)
        with pytest.raises(VideoDecodeError, match=r"broken\.mp4"):
            list(iter_frames(path))


@pytest.mark.parametrize("backend", INSTALLED)
def test_truncated_files(videos: dict[str, Path], tmp_path: Path, backend: str) -> None:
    path = tmp_path / "cut.avi"
    with av.open(str(videos["mpeg4.avi"])) as container:
        ends = [packet.pos for packet in container.demux(video=0) if packet.size]
    path.write_bytes(videos["mpeg4.avi"].read_bytes()[: ends[60] + 20])
    assert frame_numbers(read_frames(path, [59, 5], backend)) == [59, 5]
    with pytest.raises(VideoDecodeError, match=r"frame 60 of .*cut\.avi"):
        read_frames(path, [5, 95], backend)
    with pytest.raises(VideoDecodeError, match=r"frame 60 of .*the file is cut off"):
        num_frames(path)


def test_cut_without_reencoding_is_read_as_players_show_it(videos: dict[str, Path], tmp_path: Path) -> None:
    """`ffmpeg -ss 1 -c copy` writes all frames after the keyframe and hides some of them by an edit list."""
    path = tmp_path / "edit.mp4"
    with av.open(str(videos["h264.mp4"])) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                shift = 10 * packet.duration
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, stream
                target.mux(packet)
    shown = frame_numbers(np.stack([frame for *_, frame in iter_frames(path)]))
    assert shown == list(range(10, 100))
    assert num_frames(path) == len(shown)
    for backend in INSTALLED:
        assert frame_numbers(read_frames(path, [0, 5, 40, 89], backend)) == [10, 15, 50, 99]


def test_times_of_avi_that_begins_between_key_frames(tmp_path: Path) -> None:
    """Frames before the first keyframe cannot be decoded, and their times must not shift those of later frames."""
    frames = [numbered_frame(index) for index in range(24)]
    options = {"bf": "2", "g": "12", "sc_threshold": "0"}
    with av.open(str(tmp_path / "cut.avi"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        shown = (av.VideoFrame.from_ndarray(frame, format="rgb24") for frame in frames)
        packets = [packet for frame in [*shown, None] for packet in stream.encode(frame)]
        container.mux(packets[1:])
    found = list(iter_frames(tmp_path / "cut.avi"))
    numbers = frame_numbers(np.stack([frame for _, _, frame in found]))
    times = np.array([time for _, time, _ in found])
    assert numbers[-12:] == list(range(12, 24))
    np.testing.assert_allclose(np.diff(times[-12:]), 0.04)
    assert times[-1] == pytest.approx(23 / 25, abs=0.05)


def test_one_frame(tmp_path: Path) -> None:
    path = write_h264(tmp_path / "one.mp4", count=1)
    assert num_frames(path) == 1
    for backend in INSTALLED:
        assert read_frames(path, [0, 0], backend).shape == (2, 48, 64, 3)


@pytest.mark.skipif(sys.platform == "win32", reason="no name holds a colon")
@pytest.mark.parametrize("backend", INSTALLED)
def test_names_are_no_urls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], backend: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_h264(Path("P01:take2.mp4"), 8)
    assert num_frames(path) == 8
    assert frame_numbers(read_frames(path, [0, 1, 5], backend)) == [0, 1, 5]
    assert "Protocol" not in capfd.readouterr().err


def test_odd_sizes_grow_by_the_repeated_edge(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "odd.mp4", 25, width=35, height=49) as writer:
        for index in range(3):
            writer.write(numbered_frame(index, 49, 35))
    frames = read_frames(tmp_path / "odd.mp4", [0, 1, 2])
    assert frames.shape == (3, 50, 36, 3)
    assert frame_numbers(frames) == [0, 1, 2]
    assert np.abs(frames[:, -1].astype(int) - frames[:, -2]).max() < 10


def test_writer_leaves_nothing_unfinished(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with pytest.raises(RuntimeError, match="stopped"), VideoWriter(path, 25, 64, 48) as writer:  # noqa: PT012
        writer.write(numbered_frame(0))
        assert not path.exists()
        raise RuntimeError("stopped")
    with pytest.raises(ValueError, match="no frame was written"), VideoWriter(path, 25, 64, 48):
        pass
    with pytest.raises(ValueError, match=r"frames must be uint8 of shape"), VideoWriter(path, 25, 64, 48) as writer:
        writer.write(numbered_frame(0, 50, 64))
    assert not list(tmp_path.iterdir())
    assert write_h264(path).read_bytes() == write_h264(tmp_path / "again.mp4").read_bytes()
    assert {file.name for file in tmp_path.iterdir()} == {"out.mp4", "again.mp4"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index in range(95, 104):
        name = f"{index:0{2 + index % 3}d}" + (".png" if index % 2 else ".JPG")
        Image.fromarray(numbered_frame(index)).save(tmp_path / name, format="PNG" if index % 2 else "JPEG")
    (tmp_path / "Thumbs.db").write_text("not an image")
    (tmp_path / "notes.jpg").write_text("not a frame")
    return tmp_path


@pytest.mark.parametrize("backend", INSTALLED)
def test_image_folder(folder: Path, backend: str) -> None:
    assert num_frames(folder) == 9
    assert frame_numbers(read_frames(folder, [103, 95, 99, 95], backend)) == [103, 95, 99, 95]
    assert [index for index, _, _ in iter_frames(folder)] == list(range(95, 104))
    assert all(np.isnan(timestamp) for _, timestamp, _ in iter_frames(folder))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("absent", r"frame 98 of .*no such image; its images are numbered 95 to 103"),
        ("cut", r"frame 98 of .*98.*: (image file is truncated|broken data|Truncated)"),
        ("empty", r"frame 98 of .*98.*: cannot identify image file"),
        ("twice", r"are the same frame"),
        ("size", r"frame 98 of .*its size is"),
    ],
)
def test_broken_image_folders(folder: Path, fault: str, message: str) -> None:
    (file,) = folder.glob("*98.*")
    if fault == "absent":
        file.unlink()
    elif fault == "cut":
        file.write_bytes(file.read_bytes()[:-200])
    elif fault == "empty":
        file.write_bytes(b"")
    elif fault == "twice":
        (folder / "000098.png").write_bytes(file.read_bytes())
    else:
        Image.fromarray(numbered_frame(98, 64, 64)).save(file)
    with pytest.raises(VideoDecodeError, match=message):
        read_frames(folder, [97, 98, 99])


def test_images_are_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise to show
    Image.fromarray(numbered_frame(5)).save(tmp_path / "5.jpg", exif=exif)
    assert read_frames(tmp_path, [5]).shape == (1, 64, 48, 3)


def test_grey_images_of_16_bits_keep_their_brightness(tmp_path: Path) -> None:
    grey = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
    Image.fromarray(grey).save(tmp_path / "0.png")
    expected = np.repeat(grey[..., None] // 256, 3, axis=-1)
    np.testing.assert_array_equal(read_frames(tmp_path, [0])[0], expected)


@pytest.mark.parametrize("indices", [[], [-1], [[0, 1]], [0.5], ["0"]])
def test_indices_are_checked(videos: dict[str, Path], indices: list) -> None:
    with pytest.raises(ValueError, match="frame indices >= 0"):
        read_frames(videos["h264.mp4"], indices)


def test_unknown_backend(videos: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match="choose from pyav, decord, torchcodec"):
        read_frames(videos["h264.mp4"], [0], "opencv")


def test_errors_pass_between_processes() -> None:
    error = VideoDecodeError.of("a.mp4", "it is empty", 3)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert str(VideoDecodeError(str(error))) == str(error)  # how a DataLoader re-raises the error of a worker
