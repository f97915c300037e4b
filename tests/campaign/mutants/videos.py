"""Damage videos, and compare the rows of what is left with the intact file's.

The model is replaced by fingerprints of single frames. A row then depends on its own frame only, so that the rows of a
damaged file can be compared with the intact file's one by one.
"""

import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas
from numpy.random import Generator

from auvmae.inference.detector import AUDetector
from auvmae.video.damage.faults import Faults
from auvmae.video.random_access import read_frames
from auvmae.video.reading import iter_frames

from ..bases import FORMATS
from ..judging import (
    DONE,
    FAILED,
    FEWER,
    INCOMPLETE,
    REFUSED,
    RIGHT,
    UNUSABLE,
    Fault,
    check_leftovers,
    check_sentence,
    check_unchanged,
    digests,
    run_command,
)
from ..mutations import mutate

SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".mpg", ".wmv", ".ts", ".webm")


def prepare(rng: Generator, bases: Path, work: Path) -> tuple[str, Callable[[], str]]:
    """Damage one video."""
    names = [*FORMATS]
    name, donor = (names[rng.integers(len(names))] for _ in range(2))
    how, content = mutate((bases / "videos" / name).read_bytes(), rng, (bases / "videos" / donor).read_bytes())
    suffix = Path(name).suffix
    if rng.random() < 0.1:
        suffix = SUFFIXES[rng.integers(len(SUFFIXES))]
        how += f", named {suffix}"
    path = work / "in" / f"recording{suffix}"
    path.parent.mkdir()
    path.write_bytes(content)
    cropped = bool(rng.random() < 0.6)
    how += ", cropped" if cropped else ""
    start = int(rng.integers(0, 20))
    wanted = sorted({start, *range(start, start + 12, int(rng.integers(1, 4)))})
    return f"{name}, {how}", lambda: _judge(path, bases / "videos" / name, bases / "checkpoint", cropped, wanted, work)


@dataclass(frozen=True)
class Rows:
    """Hold the rows with a face: frame numbers, times and fingerprints."""

    frames: np.ndarray
    times: np.ndarray
    prints: np.ndarray
    length: int


def _judge(path: Path, intact: Path, checkpoint: Path, cropped: bool, wanted: list[int], work: Path) -> str:
    AUDetector._predict = _fingerprints  # type: ignore[assignment, method-assign]
    flags = ["-m", checkpoint, *(["--cropped"] if cropped else [])]
    expected = _rows(intact, run_command("predict", intact, "-o", work / "intact", *flags), work / "intact")
    assert expected, f"{intact} cannot be predicted"
    assert len(expected.frames) > 30, f"{intact} has {len(expected.frames)} rows with a face"
    before = digests(path.parent)
    ran = run_command("predict", path, "-o", work / "out", *flags)
    check_leftovers(work / "out")
    check_unchanged(path.parent, before)
    found = _rows(path, ran, work / "out")
    outcome = _compare(path, ran, found, expected)
    _check_training(path, intact, wanted, found is None)
    return outcome


def _fingerprints(detector: AUDetector, windows: list[Any]) -> np.ndarray:
    """Project each frame of a window to one number per action unit, between 0 and 1."""
    crops = np.stack([window.crops for window in windows]) / 255
    weights = np.random.default_rng(0).random((crops[0, 0].size, len(detector.au_names)))
    return crops.reshape(*crops.shape[:2], -1) @ (weights / weights.sum(0))


def _rows(path: Path, ran: Any, folder: Path) -> Rows | None:
    table = folder / f"{path.stem}.csv"
    if not table.exists():
        return None
    rows = pandas.read_csv(table)
    sure = rows[rows["success"] == 1]
    prints = sure[[name for name in rows if name.endswith("_p")]].to_numpy()
    if not np.isfinite(prints).all():
        raise Fault("silent", "a row with success 1 has no probability")
    return Rows(sure["frame"].to_numpy(), sure["timestamp"].to_numpy(), prints, len(set(rows["frame"])))


def _compare(path: Path, ran: Any, found: Rows | None, expected: Rows) -> str:
    if found is None:
        if ran.code not in (FAILED, UNUSABLE):
            raise Fault("exit code", f"no table, but exit code {ran.code}")
        check_sentence(ran, path.name)
        return REFUSED
    if ran.code not in (DONE, INCOMPLETE):
        raise Fault("exit code", f"a table of {found.length} frames, but exit code {ran.code}")
    differing = _differing(found, expected)
    if ran.code == DONE:
        if not differing and len(found.frames) >= len(expected.frames):
            return RIGHT
        if "begins between two keyframes" in ran.text:
            return FEWER
        _check_sound(path, found, expected, differing)
        return RIGHT
    check_sentence(ran, path.name, most_lines=8)
    decoded = _decoded(path)[0]
    if len(decoded) == found.length:  # the times of AVI are ours, since FFmpeg's are wrong with B-frames
        corrupt: set[float] = {number for number, (_, is_corrupt) in enumerate(decoded) if is_corrupt}
        wrong = [number for number, _ in differing if number in corrupt]
    else:
        corrupt = {round(time, 3) for time, is_corrupt in decoded if is_corrupt}
        wrong = [number for number, time in differing if round(time, 3) in corrupt]
    if wrong:
        raise Fault("silent", f"frames {wrong[:8]} are damaged, but have success 1")
    return FEWER


def _differing(found: Rows, expected: Rows) -> list[tuple[int, float]]:
    """List frame and time of the rows that the intact file does not have."""
    places = {int(frame): place for place, frame in enumerate(expected.frames)}
    differing = []
    for frame, time, prints in zip(found.frames, found.times, found.prints, strict=True):
        place = places.get(int(frame))
        same = place is not None and np.isclose(time, expected.times[place], atol=2e-3, equal_nan=True)
        if not same or np.abs(prints - expected.prints[place]).max() > 1e-4:
            differing.append((int(frame), float(time)))
    return differing


def _check_sound(path: Path, found: Rows, expected: Rows, differing: list[tuple[int, float]]) -> None:
    """Check that FFmpeg takes the whole file for sound, with as many frames."""
    frames, errors, duration = _decoded(path)
    what = f"{len(differing)} rows differ, {len(expected.frames) - len(found.frames)} fewer, exit code 0"
    if errors or any(is_corrupt for _, is_corrupt in frames):
        raise Fault("silent", f"{what}; FFmpeg: {errors or 'frames flagged as corrupt'}")
    if len(frames) != found.length:
        raise Fault("silent", f"{what}; FFmpeg decodes {len(frames)} frames, the table has {found.length}")
    times = [time for time, _ in frames]
    if duration and times and times[-1] + 0.5 < duration:
        raise Fault("silent", f"{what}; the header promises {duration:.2f} s, the last frame is at {times[-1]:.2f} s")
    log = _ffmpeg_log(path)
    if log:
        raise Fault("silent", f"{what}; ffmpeg says: {log[:200]}")


def _decoded(path: Path) -> tuple[list[tuple[float, bool]], str, float]:
    """Decode a file in order; return time and damage of its frames, the first error, and the header's duration."""
    frames, first = [], ""
    with av.open(str(path), metadata_errors="replace") as container:
        stream: Any = container.streams.video[0]
        stream.codec_context.thread_count = 1
        duration = container.duration / av.time_base if container.duration else 0.0
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets)
                frames += [(float(frame.time or 0), bool(frame.is_corrupt)) for frame in packet.decode()]
            except StopIteration:
                return frames, first, duration
            except av.FFmpegError as error:
                first = first or str(error)
                if isinstance(error, av.EOFError) or len(frames) > 10_000:
                    return frames, first, duration


def _ffmpeg_log(path: Path) -> str:
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-threads",
        "1",
        "-i",
        path,
        "-map",
        "0:v:0",
        "-f",
        "rawvideo",
        "/dev/null",
        "-y",
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=60, stdin=subprocess.DEVNULL
    )
    lines = [line for line in done.stderr.splitlines() if "non monoton" not in line and "[rawvideo" not in line]
    return "; ".join(lines)


def _check_training(path: Path, intact: Path, wanted: list[int], refused: bool) -> None:
    """Check that clips are read as prediction reads the file, or refused."""
    in_order: list[np.ndarray | None] = []
    with suppress(OSError, ValueError):
        in_order.extend(frame for _, _, frame in iter_frames(path, Faults()))
    sound = [frame for _, _, frame in iter_frames(intact)]
    for backend in ("decord", "pyav"):
        try:
            clip = read_frames(path, wanted, backend)
        except (OSError, ValueError):
            continue
        if refused and not in_order:
            raise Fault("training", f"{backend} reads a file that prediction refuses")
        for number, frame in zip(wanted, clip, strict=True):
            same = [frames[number] for frames in (in_order, sound) if number < len(frames)]
            same = [other for other in same if other is not None]
            if not any(other.shape == frame.shape and (other == frame).all() for other in same):
                raise Fault("training", f"{backend} reads another frame {number} than prediction")
