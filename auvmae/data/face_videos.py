"""Read unlabelled face video for pre-training the masked autoencoder."""

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
from ..system.names import nfc
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
    # in a manipulated video such as 183_253.mp4, subject 183 is the person filmed
    "FaceForensics++": re.compile(r"(?:original|manipulated)_sequences/\w+/\w+/(?:videos|images)/(\d+)"),
    "CelebV-HQ": re.compile(r"(?:^|/)([\w-]{11})(?:_\d+)+(?:\.\w+)?$"),  # M2Ohb0FAaJU_1.mp4: the YouTube identifier
}
"""Pattern of the subject in a path with forward slashes, for each dataset as distributed; tried in this order."""


@dataclass
class FaceVideosConfig(ClipConfig):
    """Hold the options of unlabelled video, in addition to `ClipConfig`.

    Args:
        decode_all: Decode every frame while indexing. By default the frames are counted, and only the first and the
            last are decoded. This takes a hundredth of the time and finds truncated files, empty files and files that
            are not videos. It misses damaged frames in between, which stop a training run when it reads them.
    """

    decode_all: bool = False


class FaceVideos(ClipBuilder):
    """Read face videos without labels from any folder tree, all for training.

    * The tree is searched recursively, without hidden files. A folder of numbered images is one video, cut wherever a
      number is missing.
    * The trees of VoxCeleb2, CelebV-HQ, FaceForensics++, VFHQ and MEAD name their subjects (`SUBJECTS`); for CelebV-HQ
      the subject is the source video. In other trees the subject is the folder of the video, or the video itself if it
      lies directly in `data_dir`.
    * Videos that cannot be decoded and still images are skipped. The file `unreadable_videos.csv` in the cache lists
      them with the reason (columns `video`, `reason`), and its path is logged.
    """

    BUILDER_CONFIG_CLASS = FaceVideosConfig

    config: FaceVideosConfig
    expected_tree = """
    data_dir/
        any/folders/clip.mp4              (a video file)
        any/folders/clip/0001.png ...     (or a folder of images, each named by its number: one video)
    """

    def find_recordings(self) -> list[Recording]:
        """List the video files and the folders of images."""
        return [Recording(video, (), subject_of(video, self.root)) for video in find_videos(self.root)]

    def download_and_prepare(self, *args: Any, **kwargs: Any) -> None:
        """Index the videos once, and warn of those that cannot be read.

        Raises:
            DatasetLayoutError: No video can be read, or none is long enough.
        """
        self.unreadable: list[list[str]] = []
        super().download_and_prepare(*args, **kwargs)
        if self.unreadable:
            logger.warning(f"{self._unreadable()} and are skipped; see {Path(self._output_dir, REPORT_FILE)}")

    def _download_and_prepare(self, *args: Any, **kwargs: Any) -> None:
        # at this point `_output_dir` is a temporary folder, which is renamed if no error occurs
        super()._download_and_prepare(*args, **kwargs)
        report = Path(self._output_dir, REPORT_FILE)
        if report.exists():
            with report.open(newline="") as file:
                self.unreadable = sorted(csv.reader(file))
            with report.open("w", newline="") as file:
                csv.writer(file).writerows([("video", "reason"), *self.unreadable])
        if not self.info.splits["train"].num_examples:
            reasons = "".join(f"\n    {video}: {reason}" for video, reason in self.unreadable[:3])
            problem = f"found no clip of {self.config.clip_length} frames with tail={self.config.tail!r}."
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
        """Return first frame and length of each piece of consecutive frames.

        A single frame shows no motion and is not a piece.

        Raises:
            VideoDecodeError: The video cannot be decoded, or has no piece.
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
            raise VideoDecodeError.of(video, "it has no two consecutive frames")
        return pieces


def subject_of(video: Path, root: Path) -> str:
    """Infer the subject of a video from its path below `root`; see `FaceVideos`.

    >>> subject_of(Path("/d/mp4/id00012/21Uxsk56VDQ/00001.mp4"), Path("/d"))
    'id00012'
    >>> subject_of(Path("/d/anna/monday.mp4"), Path("/d")), subject_of(Path("/d/monday.mp4"), Path("/d"))
    ('anna', 'monday')
    """
    path = nfc(video.relative_to(root.parent).as_posix())
    for pattern in SUBJECTS.values():
        if match := pattern.search(path):
            return match[1]
    return nfc(video.stem if video.parent in (root, root.parent) else video.parent.name)


def _note(video: Path, error: VideoDecodeError, report: Path | None) -> None:
    if report is None:  # a stream has no cache
        logger.warning(f"Skipped a video: {error}")
        return
    with report.open("a", newline="") as file:  # one write per line, so that lines of several processes do not mix
        csv.writer(file).writerow((video, error))
