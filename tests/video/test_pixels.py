"""Pixels are those that players show: turned, mirrored, square, and in the colours of BT.709."""

import importlib.util
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from auvmae.video.pixels import MAX_ASPECT
from auvmae.video.random_access import BACKENDS, read_frames
from auvmae.video.reading import iter_frames
from auvmae.video.wide_colour import to_bt709

from ..support.stamped import write_stamped

INSTALLED = [name for name in BACKENDS if importlib.util.find_spec("av" if name == "pyav" else name)]
ONE, W = 1 << 16, 1 << 30
BT2020_NCL = 9  # PyAV has no name for it


def put_matrix(path, a, b, c, d):
    """Replace the display matrix of an MP4 file; x' = a x + c y, y' = b x + d y."""
    data = bytearray(path.read_bytes())
    start = data.find(b"tkhd") + 4
    place = start + (24 if data[start] == 0 else 36) + 16
    assert data[place : place + 4] == struct.pack(">i", ONE)
    data[place : place + 36] = struct.pack(">9i", a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, W)
    path.write_bytes(data)
    return path


def shown(path):
    """Decode all frames, and check that every backend gives the same."""
    frames = np.stack([frame for *_, frame in iter_frames(path)])
    for backend in INSTALLED:
        np.testing.assert_array_equal(read_frames(path, [3, 0, len(frames) - 1], backend), frames[[3, 0, -1]])
    return frames


def by_matrix(picture, a, b, c, d):
    """Move every pixel to its place by the definition of the matrix."""
    height, width, _ = picture.shape
    points = {(a * x + c * y, b * x + d * y): picture[y, x] for y in range(height) for x in range(width)}
    left, top = min(x for x, _ in points), min(y for _, y in points)
    moved = np.zeros((height, width, 3) if a else (width, height, 3), np.uint8)
    for (x, y), pixel in points.items():
        moved[y - top, x - left] = pixel
    return moved


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("across", [1, -1])
@pytest.mark.parametrize("down", [1, -1])
def test_the_whole_display_matrix_is_applied(tmp_path, down, across, turned, suffix):
    matrix = (0, across, down, 0) if turned else (across, 0, 0, down)
    path = write_stamped(tmp_path / f"a.{suffix}", count=6, options={"crf": "1"})
    stored = next(iter_frames(path))[2]
    found = shown(put_matrix(path, *matrix))
    np.testing.assert_array_equal(found[0], by_matrix(stored, *matrix))


@pytest.mark.parametrize(
    ("suffix", "aspect", "width"),
    [("mp4", "64/45", 182), ("mkv", "16/11", 186), ("mov", "8/9", 113), ("avi", "1/2", 64), ("mp4", "1/1", 128)],
)
def test_pixels_become_square(tmp_path, suffix, aspect, width):
    def squeeze(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(aspect)

    frames = shown(write_stamped(tmp_path / f"a.{suffix}", count=6, adapt=squeeze))
    assert frames.shape == (6, 96, width, 3)


def test_pixels_of_an_impossible_shape_count_as_square(tmp_path):
    def squeeze(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(1, MAX_ASPECT * 2)

    assert shown(write_stamped(tmp_path / "a.mp4", count=6, adapt=squeeze)).shape == (6, 96, 128, 3)


CODES = np.array([[16, 128, 128], [235, 128, 128], [81, 90, 240], [145, 54, 34], [41, 240, 110], [120, 140, 120]])
"""Y, Cb and Cr of patches, in limited range."""


def write_patches(path, codes, matrix, full):
    """Write four frames with a patch per row of codes, without loss."""
    with av.open(str(path), "w") as target:
        stream = target.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 16 * len(codes), 16, "yuv444p"
        stream.codec_context.color_range = ColorRange.JPEG if full else ColorRange.MPEG
        stream.codec_context.colorspace = matrix
        planes = np.repeat(np.repeat(codes.T[:, None, :], 16, axis=1), 16, axis=2).astype(np.uint8)
        for number in range(4):
            frame = av.VideoFrame.from_ndarray(planes, format="yuv444p")
            frame.pts = number
            frame.colorspace, frame.color_range = matrix, ColorRange.JPEG if full else ColorRange.MPEG
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    ("matrix", "red", "blue"), [(Colorspace.ITU709, 0.2126, 0.0722), (Colorspace.SMPTE170M, 0.299, 0.114)]
)
def test_ranges_and_matrices_are_those_of_the_stream(tmp_path, matrix, red, blue, full):
    luma = CODES[:, 0] / 255 if full else (CODES[:, 0] - 16) / 219
    cb, cr = ((CODES[:, number] - 128) / (255 if full else 224) for number in (1, 2))
    r, b = luma + 2 * (1 - red) * cr, luma + 2 * (1 - blue) * cb
    expected = 255 * np.clip([r, (luma - red * r - blue * b) / (1 - red - blue), b], 0, 1).T
    found = shown(write_patches(tmp_path / "a.mkv", CODES, matrix, full))
    np.testing.assert_allclose(found[0, 8, 8::16], expected, atol=2.5)


def rgb_to_xyz(primaries):
    """Compute the matrix from RGB to XYZ from the chromaticities of the primaries and of D65."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    white = np.array([0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290])
    return columns * np.linalg.solve(columns, white)


BT2020 = rgb_to_xyz([(0.708, 0.292), (0.170, 0.797), (0.131, 0.046)])
BT709 = rgb_to_xyz([(0.640, 0.330), (0.300, 0.600), (0.150, 0.060)])


def light_of_pq(value):
    """Return cd/m2 (SMPTE ST 2084)."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 4096 * 128, 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    root = value ** (1 / m2)
    return 10000 * (max(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)


def light_of_hlg(value):
    """Return cd/m2 on a display of 1000 cd/m2 (ARIB STD-B67), with the display's gamma by channel."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = value**2 / 3 if value <= 0.5 else (np.exp((value - c) / a) + b) / 12
    return 1000 * scene**1.2


@pytest.mark.parametrize(("curve", "light"), [(ColorTrc.SMPTE2084, light_of_pq), (ColorTrc.ARIB_STD_B67, light_of_hlg)])
def test_hdr_is_the_formula_of_the_standards(curve, light):
    values = np.random.default_rng(0).uniform(0, 0.8, (20, 3))
    found = to_bt709(np.uint16(np.rint(values * 65535))[None], curve)[0]
    for value, pixel in zip(values, found, strict=True):
        linear = np.array([light(one) for one in value]) / 203
        expected = 255 * np.clip(np.linalg.solve(BT709, BT2020 @ linear), 0, 1) ** (1 / 2.4)
        np.testing.assert_allclose(pixel, expected, atol=1.01)


@pytest.mark.parametrize(
    ("curve", "light"),
    [
        (ColorTrc.SMPTE2084, light_of_pq),
        (ColorTrc.ARIB_STD_B67, light_of_hlg),
        (ColorTrc.BT2020_10, lambda value: 203 * value**2.4),
    ],
)
def test_wide_colours_are_converted_in_every_reader(tmp_path, curve, light):
    def tag(stream):
        context = stream.codec_context
        context.color_trc, context.color_primaries = curve, ColorPrimaries.BT2020
        context.colorspace = BT2020_NCL

    quiet = {"x265-params": "log-level=none:pools=1:frame-threads=1"}
    frames = shown(write_stamped(tmp_path / "a.mkv", "libx265", quiet, count=6, adapt=tag))
    grey = 255 * min(1, light(128 / 255) / 203) ** (1 / 2.4)  # the stamps are drawn on a grey of 128
    np.testing.assert_allclose(frames[:, 60:90, 20:100], grey, atol=8)  # one step of 8 bits is 3 levels in PQ
