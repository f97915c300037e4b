"""The track is the one that players show, tags do no harm, and damage is judged alike by all readers."""

import importlib.util
import os

import av
import numpy as np
import pytest
from av.stream import Disposition
from PIL import Image

from auvmae.video.container import VideoDecodeError
from auvmae.video.damage.faults import Faults
from auvmae.video.random_access import BACKENDS, read_frames
from auvmae.video.reading import iter_frames, num_frames

from ..support.stamped import number_of, stamped, write_stamped

INSTALLED = [name for name in BACKENDS if importlib.util.find_spec("av" if name == "pyav" else name)]


def check_stamps(path, count=40):
    """Check the number of every frame, in order and by random access."""
    assert [number_of(frame) for *_, frame in iter_frames(path)] == list(range(count))
    assert num_frames(path) == count
    for backend in INSTALLED:
        assert [number_of(frame) for frame in read_frames(path, [17, 3, count - 1], backend)] == [17, 3, count - 1]


def write_two_tracks(path, first, second, disposition=None):
    """Write two tracks; each is the codec and the number of its frames, the longer one is stamped."""
    with av.open(str(path), "w") as target:
        streams = []
        for codec, _ in (first, second):
            stream = target.add_stream(codec, rate=25)
            stream.width, stream.height = 128, 96
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            streams.append(stream)
        for stream, flag in zip(streams, disposition or (), strict=False):
            stream.disposition = flag
        longest = max(first[1], second[1])
        for stream, (_, count) in zip(streams, (first, second), strict=True):
            for number in range(count):
                picture = stamped(number if count == longest else 63, 128, 96)
                target.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            target.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
def test_a_thumbnail_before_the_video_is_passed_over(tmp_path, suffix):
    check_stamps(write_two_tracks(tmp_path / f"a.{suffix}", ("mjpeg", 1), ("libx264", 40)))


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_cover_is_no_video(tmp_path, suffix):
    flags = (Disposition.attached_pic, Disposition.default)
    check_stamps(write_two_tracks(tmp_path / f"a.{suffix}", ("mjpeg", 1), ("libx264", 40), flags))


def test_the_default_track_is_shown(tmp_path):
    flags = (Disposition(0), Disposition.default)
    check_stamps(write_two_tracks(tmp_path / "a.mkv", ("libx264", 12), ("libx264", 40), flags))


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_of_two_tracks_all_readers_take_that_of_ffmpeg(tmp_path, suffix):
    path = write_two_tracks(tmp_path / f"a.{suffix}", ("libx264", 40), ("libx264", 12))
    check_stamps(path)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "mov"])
def test_tags_that_are_not_utf8_do_no_harm(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    with av.open(str(path), "w") as target:
        target.metadata["title"] = "Caf# M#nchen"
        stream = target.add_stream("libx264", rate=25)
        stream.width, stream.height = 128, 96
        for number in range(40):
            target.mux(stream.encode(av.VideoFrame.from_ndarray(stamped(number), format="rgb24")))
        target.mux(stream.encode(None))
    data = path.read_bytes()
    assert b"Caf# M#nchen" in data
    path.write_bytes(data.replace(b"Caf# M#nchen", "Café München".encode("latin-1")))
    check_stamps(path)


def test_an_unknown_codec_is_named(tmp_path):
    path = write_stamped(tmp_path / "a.mp4")
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(VideoDecodeError, match=r"a\.mp4.*no decoder"):
        next(iter_frames(path))
    with pytest.raises(VideoDecodeError, match=r"a\.mp4.*no decoder"):
        read_frames(path, [0])


def test_an_image_bomb_is_named(tmp_path, monkeypatch):
    Image.fromarray(stamped(1)).save(tmp_path / "1.png")
    Image.fromarray(stamped(2, 256, 192)).save(tmp_path / "2.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 128 * 96)
    with pytest.raises(VideoDecodeError, match=r"2\.png.*decompression bomb"):
        list(iter_frames(tmp_path))
    with pytest.raises(VideoDecodeError, match=r"2\.png.*decompression bomb"):
        read_frames(tmp_path, [2])
    faults = Faults()
    assert [frame is None for *_, frame in iter_frames(tmp_path, faults)] == [False, True]


def test_a_pipe_among_images_is_not_opened(tmp_path):
    Image.fromarray(stamped(1)).save(tmp_path / "1.png")
    os.mkfifo(tmp_path / "2.png")
    assert [index for index, *_ in iter_frames(tmp_path)] == [1]


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [("a.avi", "mjpeg", "yuvj420p"), ("b.avi", "cinepak", "rgb24"), ("c.avi", "mpeg4", "yuv420p")],
)
@pytest.mark.parametrize("damage", ["no index", "index of zeros", "index beyond the end"])
def test_avis_with_a_damaged_index_are_read_alike(tmp_path, name, codec, pixels, damage):
    path = write_stamped(tmp_path / name, codec, {"g": "12", "b": "2M"}, pixels=pixels)
    data = bytearray(path.read_bytes())
    start = data.rfind(b"idx1")
    if damage == "no index":
        data[start : start + 4] = b"junk"
    else:
        fill = b"\0" if damage == "index of zeros" else b"\xff"
        data[start + 8 :] = fill * (len(data) - start - 8)
    path.write_bytes(data)
    compare_readers(path)


@pytest.mark.parametrize("codec", ["libx264", "mpeg4", "libx265", "mjpeg"])
@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_a_flipped_bit_is_judged_alike(tmp_path, codec, suffix):
    options = {"x265-params": "log-level=none:pools=1:frame-threads=1:keyint=12"} if codec == "libx265" else {"g": "12"}
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    sound = write_stamped(tmp_path / f"a.{suffix}", codec, options, pixels=pixels)
    data = sound.read_bytes()
    rng, judged = np.random.default_rng(0), 0
    for _ in range(6):
        damaged = bytearray(data)
        damaged[rng.integers(len(data) // 10, len(data))] ^= 1 << rng.integers(8)
        path = tmp_path / f"b.{suffix}"
        path.write_bytes(damaged)
        judged += compare_readers(path)
    assert judged  # some bits do harm


def compare_readers(path):
    """Check that random access gives the frames of decoding in order, and refuses those that it refuses.

    Returns the number of refused frames.
    """
    faults = Faults()
    try:
        shown = {index: frame for index, _, frame in iter_frames(path, faults)}
    except VideoDecodeError:
        with pytest.raises(VideoDecodeError):
            read_frames(path, [0])
        return 1
    refused = [index for index, frame in shown.items() if frame is None]
    for backend in INSTALLED:
        for index, frame in shown.items():
            if frame is None:
                with pytest.raises(VideoDecodeError):
                    read_frames(path, [index], backend)
            else:
                try:
                    found = read_frames(path, [index], backend)[0]
                except VideoDecodeError:
                    # a file that is cut off or damaged as a whole is refused for training, whatever the frame
                    with pytest.raises(VideoDecodeError):
                        list(iter_frames(path))
                    continue
                np.testing.assert_array_equal(found, frame)
    return len(refused) + bool(faults.cut)


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
@pytest.mark.parametrize(("table", "place"), [(b"stsz", 16 + 4 * 30), (b"stts", 15), (b"stsz", 15)])
def test_a_damaged_table_of_frames_is_said(tmp_path, suffix, table, place):
    path = write_stamped(tmp_path / f"a.{suffix}", options={"bf": "0"})
    data = bytearray(path.read_bytes())
    data[data.rfind(table) + place] |= 0x40 if place > 16 else 0x01  # the size of frame 30, or the number of frames
    path.write_bytes(data)
    faults = Faults()
    stamps = [number_of(frame) for *_, frame in iter_frames(path, faults) if frame is not None]
    assert stamps == list(range(len(stamps)))
    assert "its table" in faults.cut
    with pytest.raises(VideoDecodeError, match="its table"):
        list(iter_frames(path))


def test_frames_that_a_decoder_drops_are_damaged(tmp_path):
    """HEVC's decoder says nothing of frames that refer to a missing one."""
    options = {"x265-params": "log-level=none:pools=1:frame-threads=1:keyint=12:min-keyint=12"}
    sound = write_stamped(tmp_path / "a.mkv", "libx265", options)
    path = tmp_path / "b.mkv"
    with av.open(str(sound)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(video=0)):
            if packet.size:
                packet.stream = stream
                if number == 13:  # the first frame after the second keyframe, to which the others refer
                    packet = replace_payload(packet, stream)
                target.mux(packet)
    faults = Faults()
    found = [frame if frame is None else number_of(frame) for *_, frame in iter_frames(path, faults)]
    assert len(found) == 40
    assert found == [None if number in faults.damaged else number for number in range(40)]
    assert 0 < len(faults.damaged) < 12
    assert set(faults.damaged) <= set(range(12, 24))


def replace_payload(packet, stream):
    """Keep the times of a packet, but replace its first slice by noise."""
    data = bytearray(bytes(packet))
    data[6:] = bytes(len(data) - 6)
    other = av.Packet(bytes(data))
    other.pts, other.dts, other.time_base, other.stream = packet.pts, packet.dts, packet.time_base, stream
    return other


def test_a_beginning_without_a_keyframe_is_said(tmp_path):
    sound = write_stamped(tmp_path / "a.mkv", "libx264", {"g": "12", "bf": "0"})
    path = tmp_path / "b.ts"
    with av.open(str(sound)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(video=0)):
            if packet.size and number > 4:
                packet.stream = stream
                target.mux(packet)
    faults = Faults()
    found = [number_of(frame) for *_, frame in iter_frames(path, faults)]
    assert found == list(range(12, 40))
    assert (faults.headless, faults.reason) == (7, "")
    assert "between two keyframes; the 7 frames" in faults.note
    list(iter_frames(path))  # nothing that a player shows is missing
