"""Write videos of synthetic faces with scripted action units in DISFA's layout.

    ROOT/Videos_LeftCamera/LeftVideoSN001_comp.avi
    ROOT/ActionUnit_Labels/SN001/SN001_au1.txt        lines `frame,intensity`; frame from 1, intensity 0..5

Every part of the package runs on such a tree without the licensed data. A model that cannot learn it is broken, but
scores on it say nothing about real faces.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from ...knowledge.facs import DISFA_AUS
from ...system.files import replacing_folder
from ...system.workers import run_jobs
from ...video.container import ffmpeg_path
from ..folds import fold_subjects
from .face import draw_identity, render_faces
from .script import FAMILIES, script_intensities

# Part of the parameters of a tree. Raise it whenever the same seed would give other pixels or labels.
RENDERER_VERSION = 3

FRAME_RATE = 20  # as in DISFA
LABELLED_AUS = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)
SUBJECTS = tuple(sorted(fold_subjects("disfa", 1, "train") | fold_subjects("disfa", 1, "test")))


def _draw_motion(num_frames: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw the motion `(T, 6)` for [`render_faces`].

    The head drifts slowly and smoothly, and the eyes blink every few seconds.
    """
    periods, phases = rng.uniform(60, 300, (3, 5)), rng.uniform(0, 2 * np.pi, (3, 5))
    waves = np.sin(2 * np.pi * np.arange(num_frames)[:, None, None] / periods + phases).mean(1)
    pose = waves * np.array((0.04, 0.03, 0.05, 0.025, 0.05)) + rng.normal(0, 0.01, 5)
    blink = np.zeros(num_frames)
    for start in np.cumsum(rng.integers(40, 120, num_frames // 40 + 1)):
        blink[start : start + 5] = (0.5, 1.0, 1.0, 0.6, 0.2)[: max(num_frames - start, 0)]
    return np.column_stack((pose, blink))


def render_subject(
    subject_index: int,
    num_frames: int = 320,
    image_size: int = 80,
    seed: int = 0,
    *,
    unlabelled: bool = False,
    rates: str = "balanced",
) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
    """Render one subject's video in memory.

    Args:
        subject_index: Index from 0. In a DISFA-layout tree, index i is `SUBJECTS[i]`.
        num_frames: Number of frames T.
        image_size: Height and width in pixels. 64 to 128 look best. The video codec requires an even number.
        seed: Random seed; with the index, it fixes identity, script, motion and noise. The identity does not depend on
            `num_frames`.
        unlabelled: Draw from the stream of identities of [`write_synthetic_faces`] instead.
        rates: Key of `FAMILIES`; see [`write_synthetic_disfa`].

    Returns:
        `uint8` RGB frames `(T, image_size, image_size, 3)`, and `int8` intensities `(T, 12)` in 0..5 with columns in
        the order of `LABELLED_AUS`. The four AUs outside DISFA's protocol stay 0.

    Example:
        >>> frames, intensities = render_subject(0, num_frames=4, image_size=64)
        >>> frames.shape, intensities.shape
        ((4, 64, 64, 3), (4, 12))
    """
    rng = np.random.default_rng([seed, subject_index, int(unlabelled)])
    identity = draw_identity(rng)
    scripted = script_intensities(subject_index, num_frames, rng, rates)
    frames = render_faces(identity, scripted, _draw_motion(num_frames, rng), image_size, rng)
    intensities = np.zeros((num_frames, len(LABELLED_AUS)), np.int8)
    intensities[:, [LABELLED_AUS.index(au) for au in DISFA_AUS]] = np.rint(scripted)
    return frames, intensities


def write_synthetic_disfa(
    root: str | os.PathLike[str],
    *,
    num_subjects: int = 27,
    frames_per_subject: int = 320,
    image_size: int = 80,
    seed: int = 0,
    rates: str = "balanced",
    num_proc: int | None = None,
    progress: bool = True,
) -> Path:
    """Write a labelled tree in DISFA's layout.

    It uses the names of DISFA's subjects, so that DISFA's folds apply.

    Args:
        root: Folder to create. A complete tree with the same parameters is kept.
        num_subjects: Number of subjects, 1 to 27, in the order of `SUBJECTS`.
        frames_per_subject: Frames per video, at 20 frames per second.
        image_size: Height and width in pixels; even.
        seed: Random seed of the whole tree. The tree depends only on the seed, the other three numbers and `rates`, not
            on `num_proc`.
        rates: Occurrence rates and co-occurrences of the AUs: "balanced", or "disfa" for those of the training side of
            DISFA's first fold.
        num_proc: Number of processes; defaults to the number of cores.
        progress: Show a progress bar.

    Returns:
        `root`. The tree is written under a temporary name and renamed once complete, so a killed run leaves no partial
        tree.

    Raises:
        ValueError: A number is out of range, or `rates` is unknown.
        FileExistsError: `root` contains something else.
    """
    if num_subjects > len(SUBJECTS):
        raise ValueError(f"num_subjects is {num_subjects}; it must be at most {len(SUBJECTS)}, as in DISFA.")
    if rates not in FAMILIES:
        raise ValueError(f"rates is {rates!r}; choose from {', '.join(FAMILIES)}.")
    counts = {"num_subjects": num_subjects, "frames_per_subject": frames_per_subject}
    # trees written before the option existed have no such entry and are balanced
    parameters = counts if rates == "balanced" else {**counts, "rates": rates}
    render = partial(_write_subject, num_frames=frames_per_subject, image_size=image_size, seed=seed, rates=rates)
    return _write_tree(Path(root), "disfa", parameters, render, num_subjects, image_size, seed, num_proc, progress)


def write_synthetic_faces(
    root: str | os.PathLike[str],
    *,
    num_videos: int = 64,
    frames_per_video: int = 320,
    image_size: int = 80,
    seed: int = 0,
    num_proc: int | None = None,
    progress: bool = True,
) -> Path:
    """Write a flat folder of unlabelled videos.

    The files are named `face00000.avi` and so on. Their identities do not occur in [`write_synthetic_disfa`], which
    describes the other arguments, the return value and the errors.

    Args:
        num_videos: Number of videos, each of a different person.
        frames_per_video: Frames per video.
    """
    parameters = {"num_videos": num_videos, "frames_per_video": frames_per_video}
    render = partial(_write_face, num_frames=frames_per_video, image_size=image_size, seed=seed)
    return _write_tree(Path(root), "faces", parameters, render, num_videos, image_size, seed, num_proc, progress)


def _write_tree(
    root: Path,
    layout: str,
    parameters: dict[str, Any],
    render: Callable[[Path, int], None],
    count: int,
    image_size: int,
    seed: int,
    num_proc: int | None,
    progress: bool,
) -> Path:
    if image_size % 2 or image_size < 32:
        raise ValueError(f"image_size is {image_size}; it must be even and at least 32.")
    for name, value in parameters.items():
        if isinstance(value, int) and value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1.")
    parameters = {"layout": layout, **parameters, "image_size": image_size, "seed": seed, "renderer": RENDERER_VERSION}
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        card = root / "synthetic.json"
        found = json.loads(card.read_text()) if card.is_file() else None
        if found == parameters:
            return root
        raise FileExistsError(f"{root} is not empty and holds {found or 'other files'}, not {parameters}. Remove it.")
    root.parent.mkdir(parents=True, exist_ok=True)
    with replacing_folder(root) as temporary:
        run_jobs(partial(render, temporary), count, num_proc, "synthetic faces", "video", progress)
        (temporary / "synthetic.json").write_text(json.dumps(parameters, indent=2) + "\n")
    return root


def _write_subject(root: Path, index: int, *, num_frames: int, image_size: int, seed: int, rates: str) -> None:
    frames, intensities = render_subject(index, num_frames, image_size, seed, rates=rates)
    subject = SUBJECTS[index]
    _write_video(root / "Videos_LeftCamera" / f"LeftVideo{subject}_comp.avi", frames)
    folder = root / "ActionUnit_Labels" / subject
    folder.mkdir(parents=True)
    for au, column in zip(LABELLED_AUS, intensities.T, strict=True):
        lines = "".join(f"{frame},{intensity}\n" for frame, intensity in enumerate(column, 1))
        (folder / f"{subject}_au{au}.txt").write_text(lines)


def _write_face(root: Path, index: int, *, num_frames: int, image_size: int, seed: int) -> None:
    frames, _ = render_subject(index, num_frames, image_size, seed, unlabelled=True)
    _write_video(root / f"face{index:05d}.avi", frames)


def _write_video(path: Path, frames: NDArray[np.uint8]) -> None:
    """Encode a video as motion JPEG.

    AVI would lose the frame order of H.264. With key frames only, every reader seeks exactly.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(ffmpeg_path(path), "w") as container:
        stream: Any = container.add_stream("mjpeg", rate=FRAME_RATE, options={"qmin": "2", "qmax": "2"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuvj420p"
        stream.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
