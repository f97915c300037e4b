"""Unlabelled video of faces, as it lies on the disk: what the masked autoencoder is pre-trained on."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from transformers.utils import logging

from ..faces.crop_files import read_index
from ..video.container import VideoDecodeError
from ..video.random_access import read_frames
from ..video.reading import image_files, iter_frames, num_frames
from .builder import ClipBuilder, ClipConfig, Recording
from .files import find_videos

logger = logging.get_logger(__name__)

REPORT_FILE = "unreadable_videos.csv"

SUBJECTS: dict[str, re.Pattern[str]] = {
    "VoxCeleb2": re.compile(r"(?:^|/)(id\d{5})/"),  # dev/mp4/id00012/21Uxsk56VDQ/00001.mp4
    "MEAD": re.compile(r"(?:^|/)([MW]\d{3})/video/"),  # M003/video/front/angry/level_1/001.mp4
    "VFHQ": re.compile(r"(?:^|/)Clip\+(.+?\+P\d+)\+C\d+"),  # Clip+7HVYYQ2wCyg+P0+C1+F1532-1725.mp4
    # of a manipulated video 183_253.mp4 the person filmed, whose head moves, is 183
    "FaceForensics++": re.compile(r"(?:original|manipulated)_sequences/\w+/\w+/(?:videos|images)/(\d+)"),
    "CelebV-HQ": re.compile(r"(?:^|/)([\w-]{11})(?:_\d+)+(?:\.\w+)?$"),  # M2Ohb0FAaJU_1.mp4: the video on YouTube
}
"""Where a path, with slashes, names the subject, in the trees as they are distributed; tried in this order."""


@dataclass
class FaceVideosConfig(ClipConfig):
    """How unlabelled video is read, beside the options of every data set.

    Args:
        decode_all: decode every frame while indexing. By default the frames are counted, and the first and the last
            one decoded: that finds files that are cut off, empty or no video, in a hundredth of the time, but not a
            damaged frame in between, which ends the training run that meets it.
    """

    decode_all: bool = False


class FaceVideos(ClipBuilder):
    """Videos of faces without labels: any tree of video files and folders of images, all of it for training.

    * Searched to its depths, hidden files left out. A folder with images named by their number is one video; where
      numbers are missing, it is cut there.
    * The trees of VoxCeleb2, CelebV-HQ, FaceForensics++, VFHQ and MEAD name their subjects (`SUBJECTS`; of CelebV-HQ
      the video that a clip is from). Elsewhere a subject is the folder that a video lies in, or in `data_dir` itself
      the video.
    * Videos that do not decode, or are stills, are left out and listed with the reason in `unreadable_videos.csv`
      (columns `video`, `reason`) in the cache, whose path is logged.
    """

    BUILDER_CONFIG_CLASS = FaceVideosConfig

    config: FaceVideosConfig
    expected_tree = """
    data_dir/
        any/folders/clip.mp4              (a video file)
        any/folders/clip/0001.png ...     (or a folder of images named by their number: one video)
    """

    def find_recordings(self) -> list[Recording]:
        """List the video files and the folders of images; see the base class."""
        return [Recording(video, (), subject_of(video, self.root)) for video in find_videos(self.root)]

    def download_and_prepare(self, *args: Any, **kwargs: Any) -> None:
        """Index the videos, once, and say how many cannot be read; see the base class.

        Raises:
            DatasetLayoutError: none can, or none is long enough.
        """
        self.unreadable: list[list[str]] = []
        super().download_and_prepare(*args, **kwargs)
        if self.unreadable:
            logger.warning(f"{self._unreadable()} and left out: see {Path(self._output_dir, REPORT_FILE)}")

    def _download_and_prepare(self, *args: Any, **kwargs: Any) -> None:
        # `_output_dir` is a temporary folder here, which becomes the real one if there is no error
        super()._download_and_prepare(*args, **kwargs)
        report = Path(self._output_dir, REPORT_FILE)
        if report.exists():
            with report.open(newline="") as file:
                self.unreadable = sorted(csv.reader(file))
            with report.open("w", newline="") as file:
                csv.writer(file).writerows([("video", "reason"), *self.unreadable])
        if not self.info.splits["train"].num_examples:
            reasons = "".join(f"\n    {video}: {reason}" for video, reason in self.unreadable[:3])
            problem = f"no clip of {self.config.clip_length} frames with tail={self.config.tail!r} is there."
            raise self.layout_error(f"{problem} {self._unreadable()}.{reasons}", self.root)

    def _unreadable(self) -> str:
        return f"{len(self.unreadable)} of {len(self.recordings)} videos under {self.root} cannot be read"

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        report = None if dl_manager.is_streaming else Path(self._output_dir, REPORT_FILE)
        return [datasets.SplitGenerator("train", {"recordings": self.recordings, "report": report})]

    def _generate_examples(
        self, recordings: list[Recording], report: Path | None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        for recording in recordings:
            try:
                pieces = self._pieces(recording.video)
            except VideoDecodeError as error:
                _note(recording.video, error, report)
                continue
            for first, length in pieces:
                labels = np.empty((length, 0), np.int8)
                yield from self.clip_rows(recording, first, labels, self.tiles(length))

    def _pieces(self, video: Path) -> list[tuple[int, int]]:
        """First frame and length of each piece without a gap; frames that stand alone show no motion and are no piece.

        Raises:
            VideoDecodeError: the video does not decode, or has no piece.
        """
        frames = np.array(list(image_files(video))) if video.is_dir() else np.arange(num_frames(video))
        if self.config.decode_all:
            sizes = [frame.shape for _, _, frame in iter_frames(video)]
            if len(sizes) < len(frames) or len(set(sizes)) > 1:
                raise VideoDecodeError.of(video, "frames are missing, or their size changes")
        else:
            read_frames(video, frames[[0, -1]], "pyav")  # decord hangs in a process forked from one that has used it
        if self.config.drop_lost_faces:
            frames = frames[read_index(video).found]
        runs = np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1)
        pieces = [(int(run[0]), len(run)) for run in runs if len(run) > 1]
        if not pieces:
            raise VideoDecodeError.of(video, "no two frames of it follow each other")
        return pieces


def subject_of(video: Path, root: Path) -> str:
    """The person in a video under `root`, as far as its path tells; see `FaceVideos`.

    >>> subject_of(Path("/d/mp4/id00012/21Uxsk56VDQ/00001.mp4"), Path("/d"))
    'id00012'
    >>> subject_of(Path("/d/anna/monday.mp4"), Path("/d")), subject_of(Path("/d/monday.mp4"), Path("/d"))
    ('anna', 'monday')
    """
    path = video.relative_to(root.parent).as_posix()
    for pattern in SUBJECTS.values():
        if match := pattern.search(path):
            return match[1]
    return video.stem if video.parent in (root, root.parent) else video.parent.name


def _note(video: Path, error: VideoDecodeError, report: Path | None) -> None:
    if report is None:  # a stream has no cache
        logger.warning(f"left out: {error}")
        return
    with report.open("a", newline="") as file:  # one write per line: lines of several processes do not mix
        csv.writer(file).writerow((video, error))
