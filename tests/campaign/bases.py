"""Write the intact inputs that mutants are made of, once per campaign."""

import contextlib
import io
import os
import shutil
from pathlib import Path
from typing import Any

import av
import numpy as np
from safetensors.numpy import load_file, save_file

from auvmae.faces.crop import CropRecipe
from auvmae.faces.detection import DETECTORS

from ..support import forge_bp4d, forge_disfa, forge_folder
from ..support.drawn_faces import TRAINED, SquareDetector, draw
from ..support.random_predictions import random_predictions
from ..support.tiny import save_checkpoint
from .judging import run_command

FORMATS: dict[str, tuple[str, str, dict[str, str]]] = {
    "h264.mp4": ("libx264", "yuv420p", {"g": "12", "bf": "2"}),
    "h264_slices.mp4": ("libx264", "yuv420p", {"g": "10", "bf": "0", "x264-params": "slices=4"}),
    "hevc.mp4": ("libx265", "yuv420p", {"g": "12", "x265-params": "log-level=none:pools=1:frame-threads=1"}),
    "mpeg4.mp4": ("mpeg4", "yuv420p", {"g": "12", "bf": "2"}),
    "prores.mov": ("prores", "yuv422p10le", {}),
    "mjpeg.mov": ("mjpeg", "yuvj420p", {}),
    "h264.mkv": ("libx264", "yuv420p", {"g": "12", "bf": "2"}),
    "ffv1.mkv": ("ffv1", "yuv420p", {"level": "3", "slicecrc": "1"}),
    "vp8.webm": ("libvpx", "yuv420p", {"g": "12"}),
    "vp9.webm": ("libvpx-vp9", "yuv420p", {"g": "12"}),
    "mpeg4.avi": ("mpeg4", "yuv420p", {"g": "12", "bf": "0"}),
    "mpeg4_b.avi": ("mpeg4", "yuv420p", {"g": "12", "bf": "2"}),
    "mjpeg.avi": ("mjpeg", "yuvj420p", {}),
    "cinepak.avi": ("cinepak", "rgb24", {}),
    "mpeg2.mpg": ("mpeg2video", "yuv420p", {"g": "12", "bf": "2"}),
    "h264.ts": ("libx264", "yuv420p", {"g": "12", "bf": "2"}),
    "mpeg2.mts": ("mpeg2video", "yuv420p", {"g": "12"}),
    "flv1.flv": ("flv", "yuv420p", {"g": "12"}),
    "wmv2.wmv": ("wmv2", "yuv420p", {"g": "12"}),
    "mpeg4.3gp": ("mpeg4", "yuv420p", {"g": "12"}),
}
MUXERS = {".mkv": "matroska", ".ts": "mpegts", ".mts": "mpegts", ".wmv": "asf", ".mpg": "mpeg"}
COUNT = 36
"""Frames of a base video."""

LENGTHS = {"SN001": 24, "SN002": 20, "SN003": 22, "SN010": 18, "SN013": 20}
RECIPE = CropRecipe(**TRAINED)


def write_bases(root: Path) -> None:
    """Write videos, datasets, checkpoints, results and finished outputs under a folder."""
    DETECTORS["square"] = SquareDetector
    for name, (codec, pixels, options) in FORMATS.items():
        write_video(root / "videos" / name, codec, pixels, options)
    with contextlib.redirect_stdout(io.StringIO()):
        forge_disfa.forge_disfa(root / "disfa", LENGTHS)
        forge_bp4d.forge_bp4d(root / "bp4d", video="{subject}_{task}.mp4")
        forge_folder.write_tree(root / "own")
    checkpoint = save_checkpoint(root / "checkpoint", TRAINED)
    other = shutil.copytree(checkpoint, root / "other_checkpoint")
    weights = load_file(other / "model.safetensors")
    save_file({name: value[..., :1] for name, value in weights.items()}, other / "model.safetensors")
    for fold, subjects in ((1, ("S1", "S2")), (2, ("S3", "S4"))):
        random_predictions(fold, subjects, fold=fold).save(root / "runs" / f"fold{fold}")
    recordings = root / "recordings"
    recordings.mkdir()
    for name in ("a.mp4", "b.mp4"):
        shutil.copy2(root / "videos" / "h264.mp4", recordings / name)
    for command in (
        ["crop", recordings / "a.mp4", root / "crops", *crop_flags()],
        ["predict", recordings, "-m", checkpoint, "-o", root / "tables", "--events"],
    ):
        ran = run_command(*command)
        if ran.code:
            raise RuntimeError(ran.text)


def crop_flags() -> list[str]:
    """Return the flags of `auvmae crop` for drawn faces."""
    return [part for name, value in RECIPE.to_dict().items() for part in (f"--{name}", str(value))]


def write_video(path: Path, codec: str, pixels: str, options: dict[str, str]) -> None:
    """Write drawn faces before a texture, one shade per frame."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 40, (96, 128, 3)).astype(np.uint8)
    with av.open(str(path), "w", format=MUXERS.get(path.suffix)) as container:
        stream: Any = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width = noise.shape[:2]
        stream.pix_fmt = pixels
        stream.codec_context.thread_count = 1
        stream.codec_context.bit_rate = 800_000
        for number in range(COUNT):
            frame = np.maximum(draw(number), np.roll(noise, number, axis=1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def copy_tree(source: Path, target: Path) -> Path:
    """Copy a tree by links to its files; replace a file with `replace_file`."""
    return Path(shutil.copytree(source, target, copy_function=os.link))


def replace_file(path: Path, content: bytes) -> None:
    """Write a file in place of a link, so that the base stays intact."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)
