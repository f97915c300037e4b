"""Render portraits to a tree of videos with labels.

    ROOT/portraits.json                 parameters, and the SHA-256 of all other files
    ROOT/videos/female_34/000.mp4       face crops, as `auvmae crop` would cut them
    ROOT/labels/female_34/000.csv       frame,AU1_R,AU1_L,...; intensities of both sides in 0..5, frame from 0

The portraits and the rig are not part of this package. A tree depends only on them, the parameters and this code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ...system.files import replacing, save_json
from ...system.settings import check_range
from ...system.workers import run_jobs
from ...video.writing import VideoWriter
from .action_units import NUMBERS
from .drawing.rendering import Renderer
from .filming import film
from .fitting import SOURCE, Fit, digest, load_fits, read_portrait
from .rig import load_rig
from .script import FRAME_RATE, UNEVEN, write_script

RENDERER_VERSION = 2
"""Part of the parameters of a tree. Raise it whenever the same seed would give other pixels or labels."""

CARD, NOTE = "portraits.json", "unfinished.json"
"""Files with the parameters of a complete and of an unfinished tree."""

VARIATIONS = ("wrinkles", "morphs", "speech", "expressions")
"""What a tree can do without, so that its worth can be measured. See `write_script` and `film`."""

COLUMNS = tuple(f"AU{number}_{side}" for number in NUMBERS for side in "RL")
"""Columns of a label file after the frame."""

BEST, WORST = 18, 38
"""Range of the constant rate factors with which H.264 encodes the videos."""


def find_portraits(folder: str | Path) -> dict[str, Path]:
    """Find the portraits of the fits by their content.

    Args:
        folder: Copy of the repository assets-person-portrait.

    Returns:
        Name of the subject, such as "female_34" -> image, sorted by name.

    Raises:
        FileNotFoundError: The folder does not hold the portraits.
        ValueError: A portrait has other content than the one that was fitted.
    """
    folder = Path(folder)
    _, sums = load_fits()
    paths = {subject_name(name): folder / name for name in sums}
    missing = [path for path in paths.values() if not path.is_file()]
    if missing:
        found = f"{len(sums) - len(missing)} of them" if folder.is_dir() else "no such folder"
        raise FileNotFoundError(
            f"{folder} does not hold the portraits: expected {len(sums)} images such as {next(iter(sums))}, found "
            f"{found}. Get them with `{SOURCE}` and name that folder."
        )
    for name, path in zip(sums, paths.values(), strict=True):
        if digest(path) != sums[name]:
            raise ValueError(f"{path} is not the portrait that was fitted. Get it again with `{SOURCE}`.")
    return dict(sorted(paths.items()))


def subject_name(portrait: str) -> str:
    """Return the name of a subject, such as `female_34` for `female/512/34.jpg`."""
    path = Path(portrait)
    return f"{path.parts[0]}_{int(path.stem):02d}"


def write_portraits(
    root: str | Path,
    portraits_dir: str | Path,
    rig_dir: str | Path,
    *,
    videos_per_portrait: int = 24,
    frames_per_video: int = 32,
    image_size: int = 128,
    seed: int = 0,
    leave_out: Sequence[str] = (),
    uneven: float = UNEVEN,
    cache_dir: str | Path | None = None,
    num_proc: int | None = None,
    progress: bool = True,
) -> Path:
    """Render a tree of animated portraits.

    It is rendered under the name `ROOT.unfinished`. The same call continues an interrupted one.

    Args:
        root: Folder to create. A complete tree with the same parameters is kept.
        portraits_dir: Folder of the portraits, see `find_portraits`.
        rig_dir: Folder of the rig, see `load_rig`.
        videos_per_portrait: Videos of each of the 200 portraits.
        frames_per_video: Frames of each video, at 25 frames per second.
        image_size: Height and width in pixels; even.
        seed: Random seed of the whole tree.
        leave_out: Names among `VARIATIONS` of what the videos do not have.
        uneven: Share of the action units that are one-sided or uneven, in [0, 1].
        cache_dir: Folder where the rig's arrays are kept.
        num_proc: Number of processes; defaults to the number of cores. It does not change the tree.
        progress: Show a progress bar.

    Returns:
        `root`.

    Raises:
        FileNotFoundError, ValueError: The portraits or the rig are missing or damaged, or a number is out of range.
        FileExistsError: `root` holds something else.
        ImportError: OpenCV is not installed.
    """
    if find_spec("cv2") is None:
        raise ImportError("rendering needs the extra `faces`: pip install auvmae[faces]")
    root = Path(root)
    if image_size % 2 or image_size < 32:
        raise ValueError(f"image_size is {image_size}; it must be even and at least 32.")
    parameters: dict[str, Any] = {
        "videos_per_portrait": videos_per_portrait,
        "frames_per_video": frames_per_video,
        "image_size": image_size,
        "seed": seed,
        "leave_out": sorted(leave_out),
        "uneven": uneven,
        "renderer": RENDERER_VERSION,
    }
    if unknown := {*leave_out} - {*VARIATIONS}:
        raise ValueError(f"leave_out has {', '.join(sorted(unknown))}; choose from {', '.join(VARIATIONS)}.")
    for name in ("videos_per_portrait", "frames_per_video"):
        if parameters[name] < 1:
            raise ValueError(f"{name} is {parameters[name]}; it must be at least 1.")
    check_range("uneven", uneven, "[0, 1]")
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        if parameters.items() <= read_card(root).items():
            return root
        raise FileExistsError(
            f"{root} is not empty and holds {read_card(root) or 'other files'}, not {parameters}. Remove it."
        )
    portraits = find_portraits(portraits_dir)
    unfinished = root.with_name(f"{root.name}.unfinished")
    unfinished.mkdir(parents=True, exist_ok=True)
    _keep_parameters(unfinished, parameters)
    job = _Job(portraits, str(rig_dir), None if cache_dir is None else str(cache_dir), parameters)
    job.renderer()  # before workers are forked
    run_jobs(partial(job.run, unfinished), len(portraits), num_proc, "portraits", "portrait", progress)
    save_json({**parameters, "sha256": tree_digest(unfinished)}, unfinished / CARD)
    (unfinished / NOTE).unlink()
    if root.exists():
        root.rmdir()
    unfinished.rename(root)
    return root


def read_card(root: Path) -> dict[str, Any]:
    """Read the parameters of a tree, {} if there is none."""
    path = root / CARD
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def tree_digest(root: Path) -> str:
    """Return the SHA-256 of the videos and labels of a tree, by name and content."""
    whole = hashlib.sha256()
    for path in sorted([*root.glob("videos/*/*.mp4"), *root.glob("labels/*/*.csv")]):
        whole.update(f"{path.relative_to(root).as_posix()} {digest(path)}\n".encode())
    return whole.hexdigest()


def _keep_parameters(unfinished: Path, parameters: Mapping[str, Any]) -> None:
    """Note the parameters of an unfinished tree, or check that they are the same."""
    note = unfinished / NOTE
    if not note.is_file():
        save_json(dict(parameters), note)
    elif (found := json.loads(note.read_text(encoding="utf-8"))) != parameters:
        raise FileExistsError(f"{unfinished} holds an unfinished rendering of {found}, not {parameters}. Remove it.")


@lru_cache(1)
def _renderer(rig_dir: str, cache_dir: str | None, image_size: int) -> Renderer:
    import cv2

    cv2.setNumThreads(1)
    return Renderer(load_rig(rig_dir, cache_dir), image_size)


@lru_cache(1)
def _fits() -> dict[str, Fit]:
    return {subject_name(name): fit for name, fit in load_fits()[0].items()}


class _Job:
    """Render the videos of one portrait; a job is its number."""

    def __init__(
        self, portraits: Mapping[str, Path], rig_dir: str, cache_dir: str | None, parameters: Mapping[str, Any]
    ) -> None:
        self.portraits, self.parameters = portraits, parameters
        self.rig_dir, self.cache_dir = rig_dir, cache_dir

    def renderer(self) -> Renderer:
        """Return the renderer, which a process keeps."""
        return _renderer(self.rig_dir, self.cache_dir, self.parameters["image_size"])

    def run(self, root: Path, index: int) -> None:
        """Render the videos of portrait `index` that are missing under `root`."""
        subject, path = list(self.portraits.items())[index]
        wanted = [
            video
            for video in range(self.parameters["videos_per_portrait"])
            if not (root / "labels" / subject / f"{video:03d}.csv").is_file()
        ]
        if not wanted:
            return
        renderer, leave_out = self.renderer(), self.parameters["leave_out"]
        portrait = renderer.prepare(read_portrait(path), _fits()[subject])
        for folder in ("videos", "labels"):
            (root / folder / subject).mkdir(parents=True, exist_ok=True)
        for video in wanted:
            rng = np.random.default_rng([self.parameters["seed"], index, video])
            script = write_script(
                renderer.mesh.rig, self.parameters["frames_per_video"], rng, leave_out, self.parameters["uneven"]
            )
            size, crf = renderer.size, int(rng.integers(BEST, WORST))
            rows = []
            with VideoWriter(root / "videos" / subject / f"{video:03d}.mp4", FRAME_RATE, size, size, crf=crf) as writer:
                for frame, intensities in film(portrait, script, rng, leave_out):
                    writer.write(frame)
                    rows.append(intensities.ravel())
            # the label file comes last: a video that has one is complete
            with replacing(root / "labels" / subject / f"{video:03d}.csv") as file:
                file.write(",".join(["frame", *COLUMNS]) + "\n")
                for number, row in enumerate(rows):
                    file.write(",".join([str(number), *(f"{value:.2f}" for value in row)]) + "\n")
