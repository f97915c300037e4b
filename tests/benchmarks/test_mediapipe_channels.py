"""Test the channels of videos with a stand-in for MediaPipe, which is not installed with the package."""

import ast
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest

from auvmae.video import VideoWriter

from ..support.paths import ROOT

pytest.importorskip("cv2")


@pytest.fixture
def command(script, tmp_path, monkeypatch):
    """Build the command; its MediaPipe scores the brightness of a frame, and sees no face in the dark."""
    landmarker = SimpleNamespace(detect=detect)
    vision = SimpleNamespace(
        FaceLandmarkerOptions=SimpleNamespace,
        FaceLandmarker=SimpleNamespace(create_from_options=lambda options: nullcontext(landmarker)),
    )
    stand_in = SimpleNamespace(
        tasks=SimpleNamespace(vision=vision, BaseOptions=SimpleNamespace),
        Image=SimpleNamespace,
        ImageFormat=SimpleNamespace(SRGB="srgb"),
        __version__="0",
    )
    monkeypatch.setitem(sys.modules, "mediapipe", stand_in)
    monkeypatch.delitem(sys.modules, "mediapipe_channels", raising=False)
    channels = script("mediapipe_channels")
    (tmp_path / "model.task").touch()
    (tmp_path / "videos").mkdir()

    def run():
        flags = [tmp_path / "videos", "-o", tmp_path / "channels.npz", "--model", tmp_path / "model.task"]
        monkeypatch.setattr(sys, "argv", ["mediapipe_channels.py", *map(str, flags)])
        channels.main()

    yield run
    del sys.modules["mediapipe_channels"]


def detect(image):
    light = image.data.mean() / 255
    scores = [SimpleNamespace(score=light, category_name=f"channel{number}") for number in range(52)]
    found = int(light > 0.1)
    return SimpleNamespace(
        face_blendshapes=[scores] * found, facial_transformation_matrixes=[light * np.eye(4)] * found
    )


def test_it_imports_nothing_that_mediapipe_lacks():
    tree = ast.parse((ROOT / "benchmarks" / "mediapipe_channels.py").read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {
        (node.module if isinstance(node, ast.ImportFrom) else alias.name) or ""
        for node in imports
        for alias in node.names
    }
    assert {name.split(".")[0] for name in names} - sys.stdlib_module_names == {"cv2", "mediapipe", "numpy"}


def test_every_frame_has_a_row(command, tmp_path, capsys):
    brightness = {"b": [40, 0, 120, 200], "a": [250, 130]}
    for name, values in brightness.items():
        with VideoWriter(tmp_path / "videos" / f"{name}.mp4", 25, 32, 32) as writer:
            for value in values:
                writer.write(np.full((32, 32, 3), value, np.uint8))
    (tmp_path / "videos" / "README.md").touch()
    command()
    with np.load(tmp_path / "channels.npz") as saved:
        assert [*zip(saved["clip"], saved["frame"], strict=True)] == [
            *[("a", 0), ("a", 1)],
            *[("b", 0), ("b", 1), ("b", 2), ("b", 3)],
        ]
        expected = np.array([250, 130, 40, np.nan, 120, 200]) / 255
        np.testing.assert_allclose(saved["scores"], np.repeat(expected[:, None], 52, axis=1), atol=0.02)
        assert saved["channels"][51] == "channel51"
    assert "2/2 b.mp4: 4 frames, 3 with a face" in capsys.readouterr().out


def test_a_video_that_does_not_decode_leaves_no_file(command, tmp_path):
    (tmp_path / "videos" / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(SystemExit, match=r"broken\.mp4 cannot be decoded"):
        command()
    assert not [*tmp_path.glob("channels*")]
