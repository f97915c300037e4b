"""Random access gives the frames of decoding in order, in every container and codec."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from auvmae.video.packets import frame_table
from auvmae.video.random_access import BACKENDS, read_frames
from auvmae.video.reading import iter_frames

from ..support.stamped import number_of, write_stamped

INSTALLED = [name for name in BACKENDS if importlib.util.find_spec("av" if name == "pyav" else name)]
X264 = "keyint=12:min-keyint=12:scenecut=0:"
X265 = "keyint=12:min-keyint=12:scenecut=0:log-level=none:pools=1:frame-threads=1:"
OPEN = {"g": "12", "bf": "2", "b": "2M", "sc_threshold": "1000000000"}
CLOSED = {"g": "12", "b": "2M"}
KINDS = {
    "closed.mp4": ("libx264", {"x264-params": X264}, {}),
    "no-b.mp4": ("libx264", {"x264-params": X264 + "bframes=0"}, {}),
    "open.mp4": ("libx264", {"x264-params": X264 + "open-gop=1"}, {}),
    "open.ts": ("libx264", {"x264-params": X264 + "open-gop=1"}, {}),
    "refresh.mp4": ("libx264", {"x264-params": X264 + "intra-refresh=1"}, {}),
    "refresh.mkv": ("libx264", {"x264-params": X264 + "intra-refresh=1"}, {}),
    "closed.mkv": ("libx264", {"x264-params": X264}, {}),
    "closed.mov": ("libx264", {"x264-params": X264}, {}),
    "closed.avi": ("libx264", {"x264-params": X264}, {}),
    "closed.ts": ("libx264", {"x264-params": X264}, {}),
    "closed.m2ts": ("libx264", {"x264-params": X264}, {}),
    "closed.flv": ("libx264", {"x264-params": X264}, {}),
    "closed.3gp": ("libx264", {"x264-params": X264}, {}),
    "closed.asf": ("libx264", {"x264-params": X264 + "bframes=0"}, {}),
    "closed.mxf": ("libx264", {"x264-params": X264}, {}),
    "interlaced.mp4": ("libx264", {"x264-params": X264 + "tff=1"}, {}),
    "hevc-open.mp4": ("libx265", {"x265-params": X265 + "open-gop=1"}, {}),
    "hevc-open.mkv": ("libx265", {"x265-params": X265 + "open-gop=1"}, {}),
    "hevc-open.ts": ("libx265", {"x265-params": X265 + "open-gop=1"}, {}),
    "hevc-closed.mov": ("libx265", {"x265-params": X265 + "open-gop=0"}, {}),
    "mpeg4-b.mp4": ("mpeg4", OPEN, {}),
    "mpeg4-b.avi": ("mpeg4", OPEN, {}),
    "mpeg4.avi": ("mpeg4", CLOSED, {}),
    "mpeg4-b.mkv": ("mpeg4", OPEN, {}),
    "mpeg2.mov": ("mpeg2video", OPEN, {}),
    "mpeg2.mpg": ("mpeg2video", OPEN, {}),
    "mpeg2.vob": ("mpeg2video", OPEN, {}),
    "mpeg2.mkv": ("mpeg2video", OPEN, {}),
    "mpeg2.ts": ("mpeg2video", OPEN, {}),
    "mpeg2.mxf": ("mpeg2video", OPEN, {}),
    "mpeg1.mpg": ("mpeg1video", OPEN, {}),
    "vp8.webm": ("libvpx", {**CLOSED, "auto-alt-ref": "1", "lag-in-frames": "16"}, {}),
    "vp9.webm": ("libvpx-vp9", {**CLOSED, "cpu-used": "8"}, {}),
    "vp9.mp4": ("libvpx-vp9", {**CLOSED, "cpu-used": "8"}, {}),
    "av1.mp4": ("libsvtav1", {"g": "12", "preset": "12"}, {}),
    "h263.3gp": ("h263", CLOSED, {}),
    "flv1.flv": ("flv", CLOSED, {}),
    "wmv1.wmv": ("wmv1", CLOSED, {}),
    "wmv2.wmv": ("wmv2", CLOSED, {}),
    "msmpeg4.avi": ("msmpeg4", CLOSED, {}),
    "mjpeg.avi": ("mjpeg", {"b": "2M"}, {"pixels": "yuvj420p"}),
    "mjpeg.mov": ("mjpeg", {"b": "2M"}, {"pixels": "yuvj420p"}),
    "prores.mov": ("prores_ks", {}, {"pixels": "yuv422p10le"}),
    "dnxhr.mov": ("dnxhd", {"profile": "dnxhr_lb"}, {"pixels": "yuv422p", "size": (256, 128)}),
    "ffv1.mkv": ("ffv1", {"g": "12"}, {}),
    "huffyuv.avi": ("huffyuv", {}, {"pixels": "yuv422p"}),
    "cinepak.avi": ("cinepak", {"g": "12"}, {"pixels": "rgb24"}),
    "qtrle.mov": ("qtrle", {"g": "12"}, {"pixels": "rgb24"}),
    "png.mov": ("png", {}, {"pixels": "rgb24"}),
    "raw.avi": ("rawvideo", {}, {}),
    "svq1.mov": ("svq1", {"g": "12", "b": "2M"}, {"pixels": "yuv410p"}),
}


def check(path: Path, count: int = 40) -> None:
    """Compare single frames and clips of all backends with decoding in order."""
    shown = np.stack([frame for *_, frame in iter_frames(path)])
    assert len(shown) == count
    if path.stem != "av1":  # this encoder changes two of the stamps: ffmpeg decodes the same pixels as we do
        assert [number_of(frame) for frame in shown] == list(range(count))
    clips = ([0], [11], [12], [13], [count - 1], range(10, 27), range(1, count, 4), range(0, count, 4), [38, 3, 24, 3])
    for backend in INSTALLED:
        for clip in clips:
            np.testing.assert_array_equal(read_frames(path, list(clip), backend), shown[list(clip)])


@pytest.mark.parametrize("name", KINDS)
def test_frames_are_those_of_decoding_in_order(tmp_path: Path, name: str) -> None:
    codec, options, more = KINDS[name]
    check(write_stamped(tmp_path / name, codec, options, **more))


@pytest.mark.parametrize("name", ["closed.mp4", "closed.mkv", "hevc-open.mp4", "mpeg2.mov", "mjpeg.mov", "vp9.webm"])
def test_ordinary_recordings_are_sought(tmp_path: Path, name: str) -> None:
    codec, options, more = KINDS[name]
    table = frame_table(write_stamped(tmp_path / name, codec, options, **more), 0, 0)
    assert len(table.times) == 40
    assert [key.frame for key in table.keys][:4] == ([0, 1, 2, 3] if codec == "mjpeg" else [0, 12, 24, 36])
