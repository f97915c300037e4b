"""Build the rows of clips of any video dataset.

The builders turn recordings into labels, and labels into rows of clips that `datasets` caches. A dataset of coded video
adds a data sheet, constants and a parser (`find_recordings`, `read_labels`); see `disfa.py`.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, get_type_hints

import datasets
import numpy as np
from transformers.utils import logging

from ..faces.crop_files import index_path, read_index
from ..knowledge.facs import NOT_CODED, au_label
from ..system.names import find_path
from ..system.settings import check_range, check_type
from ..video.reading import num_frames
from .clips import fit_clip, rare_au_clips, segment_clips
from .files import DatasetLayoutError
from .folds import PARTS, fold_side, fold_subjects, k_fold_subjects, protocol_subjects, read_folds

logger = logging.get_logger(__name__)

INHERITED = {field.name for field in fields(datasets.BuilderConfig)} | {"config_id"}
RANGES = {
    "clip_length": "[1, inf)",
    "clip_stride": "[1, inf)",
    "fold": "[1, inf)",
    "repetition": "[0, inf)",
    "num_folds": "[2, inf)",
    "intensity_threshold": "(0, 5]",
}
"""Interval of each option, as for `check_range`."""


@dataclass(frozen=True)
class Recording:
    """Locate the frames of one video, and its labels if it is coded.

    Args:
        video: Video file, or folder of images.
        label_files: Label files in the order of the dataset's parser; empty if the video is not coded.
        subject: Name of the person.
        task: T1 to T8 for BP4D, "" elsewhere.
    """

    video: Path
    label_files: tuple[Path, ...]
    subject: str
    task: str = ""


@dataclass
class ClipConfig(datasets.BuilderConfig):
    """Hold the options of every dataset.

    Args:
        data_dir: Folder of the dataset.
        clip_length: Frames per clip.
        tail: "pad" or "drop", see `segment_clips`.
        drop_lost_faces: Mark frames without a detected face as not coded; uncoded video is cut there.
    """

    version: str = "1.3.0"  # part of the cache key: raise it whenever the same files would give other rows
    clip_length: int = 128
    tail: str = "pad"
    drop_lost_faces: bool = False


@dataclass
class AUClipConfig(ClipConfig):
    """Hold the options of a dataset of coded video, in addition to `ClipConfig`.

    Args:
        video_dir: Folder with the videos, e.g. face crops, laid out as in `data_dir`. Defaults to `data_dir`.
        fold: Number of the fold, from 1. A config named "fold2" selects the second.
        repetition: 0 for the published folds (for an `au_video_folder`, the folds of the sorted subjects). From 1 on,
            resplit the subjects into as many folds, in an order drawn with this seed.
        folds_file: File with other folds to use instead; see `read_folds`.
        rare_au_clips: Add the appendix's clips around rare AUs to the training side.
        clip_stride: Add overlapping clips to the training side, one every `clip_stride` frames. Clips that are always
            cut at the same frames of few subjects are soon overfitted. None, as in the paper, keeps only the tiles.
        intensities: Add intensities to the rows. Animated portraits always have them.
    """

    video_dir: str | None = None
    fold: int = 1
    repetition: int = 0
    folds_file: str | None = None
    rare_au_clips: bool = False
    clip_stride: int | None = None
    intensities: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if match := re.fullmatch(r"fold(\d+)", self.name):
            self.fold = int(match[1])


class ClipBuilder(datasets.GeneratorBasedBuilder):
    """Build rows of clips, cached until a file or an option changes.

    A row describes one clip and contains no pixels:

    * "video": path of the video file or image folder; "name": the same path relative to the folder that all videos of
      the dataset share.
    * "start_frame": index of the first frame (in a folder of images, the number in its name); "num_frames": number of
      real frames.
    * "subject", "task".
    * "augmented": whether the clip repeats frames of other clips. The un-augmented rows cover every frame of every
      video exactly once (with `tail="pad"`).
    * "labels": int8 (clip_length, N), 1 = active, 0 = inactive, -100 = not coded or past `num_frames`. N is 0 if the
      dataset is not coded.
    * "intensities", if the dataset has them: float32 (clip_length, N) in 0..5, NaN = not coded or past `num_frames`.

    The cache key combines the options with a fingerprint of the files: label files by content, video files by name,
    size and modification time, image folders by the names in them.

    Raises:
        ValueError: An option is unknown, or its value is of another type or out of range.
        DatasetLayoutError: The layout of the folder is not that of the dataset.
    """

    BUILDER_CONFIG_CLASS = ClipConfig

    config: ClipConfig
    aus: tuple[int, ...] = ()
    expected_tree: str

    def find_recordings(self) -> list[Recording]:
        """List the recordings under `self.root`, sorted by name.

        Raises:
            DatasetLayoutError: There is no recording, or one has no video or no labels.
        """
        raise NotImplementedError

    @property
    def has_intensities(self) -> bool:
        """Tell whether the rows have intensities."""
        return False

    @property
    def root(self) -> Path:
        """Return the absolute path of the dataset folder."""
        return _absolute(self.config.data_dir)

    @property
    def video_root(self) -> Path:
        """Return the absolute path of the folder of the videos."""
        return self.root

    @cached_property
    def common_folder(self) -> str:
        """Return the deepest folder that contains all videos.

        It may lie below `video_root`: the folders between the two differ from copy to copy of a dataset.
        """
        return os.path.commonpath({os.path.dirname(recording.video) for recording in self.recordings})

    def layout_error(self, problem: str, root: Path | None) -> DatasetLayoutError:
        """Create the error that shows the expected tree and the actual tree under `root`."""
        return DatasetLayoutError.of(f"{self.name}: {problem}", self.expected_tree, root)

    def _create_builder_config(self, *args: Any, **kwargs: Any) -> tuple[ClipConfig, str]:
        # this is the only hook of `datasets` that can extend the cache key before the cache is searched
        own = [field.name for field in fields(self.BUILDER_CONFIG_CLASS) if field.name not in INHERITED]
        unknown = [name for name in kwargs if name not in {*own, *INHERITED, "custom_features", "config_name"}]
        if unknown:
            raise ValueError(f"{self.name} has no option {', '.join(unknown)}; its options are {', '.join(own)}.")
        self.config, config_id = super()._create_builder_config(*args, **kwargs)
        hints = get_type_hints(self.BUILDER_CONFIG_CLASS)
        for name in own:
            check_type(name, getattr(self.config, name), hints[name])
            if name in RANGES:
                check_range(name, getattr(self.config, name), RANGES[name])
        if self.config.data_dir is None:
            raise self.layout_error("data_dir is missing. Set it to the folder of the dataset.", None)
        for root in {self.root, self.video_root}:
            if not root.is_dir():
                raise self.layout_error(f"{root} is not a folder.", root)
        segment_clips(0, self.config.clip_length, self.config.tail)
        self.recordings = self.find_recordings()
        if not self.recordings:
            raise self.layout_error(f"there is no {'coded ' if self.aus else ''}video under {self.root}.", self.root)
        return self.config, f"{config_id}-{_fingerprint(self.recordings)}"

    def _info(self) -> datasets.DatasetInfo:
        names = ",".join(au_label(au) for au in self.aus)
        size = (self.config.clip_length, len(self.aus))
        graded = {"intensities": datasets.Array2D(size, "float32")} if self.has_intensities else {}
        return datasets.DatasetInfo(
            description=(type(self).__doc__ or "").strip(),
            features=datasets.Features(
                video=datasets.Value("string"),
                name=datasets.Value("string"),
                start_frame=datasets.Value("int32"),
                num_frames=datasets.Value("int32"),
                subject=datasets.Value("string"),
                task=datasets.Value("string"),
                augmented=datasets.Value("bool"),
                # `id` is the only free field of a feature that survives saving, filtering and streaming
                labels=datasets.Array2D(size, "int8", id=names),
                **graded,
            ),
        )

    def clip_rows(
        self,
        recording: Recording,
        first: int,
        labels: np.ndarray,
        clips: Iterable[tuple[int, int, bool]],
        intensities: np.ndarray | None = None,
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the key and the row of each clip.

        Args:
            recording: The video.
            first: Index in the video of the frame that `labels[0]` belongs to.
            labels: int8 (frames, N).
            clips: (start, stop, augmented) of each clip, as rows of `labels`.
            intensities: float32 (frames, N), if the dataset has them.
        """
        name = recording.video.relative_to(self.common_folder).as_posix()
        for number, (start, stop, augmented) in enumerate(clips):
            padded = np.full((self.config.clip_length, len(self.aus)), NOT_CODED, np.int8)
            padded[: stop - start] = labels[start:stop]
            row: dict[str, Any] = {
                "video": str(recording.video),
                "name": name,
                "start_frame": first + start,
                "num_frames": stop - start,
                "subject": recording.subject,
                "task": recording.task,
                "augmented": augmented,
                "labels": padded,
            }
            if intensities is not None:
                row["intensities"] = np.full(padded.shape, np.nan, np.float32)
                row["intensities"][: stop - start] = intensities[start:stop]
            yield f"{recording.video}-{first}-{number}", row

    def tiles(self, num_frames: int) -> list[tuple[int, int, bool]]:
        """Tile `num_frames` frames with un-augmented clips."""
        return [(*clip, False) for clip in segment_clips(num_frames, self.config.clip_length, self.config.tail)]


class AUClipBuilder(ClipBuilder):
    """Build the "train" and "test" rows of one fold of coded video.

    Raises:
        LabelError: A label file cannot be read or does not fit its video.
    """

    BUILDER_CONFIG_CLASS = AUClipConfig
    config: AUClipConfig
    protocol: str
    """Name of the dataset in `folds.PARTS`."""
    rare_aus: tuple[int, ...]

    def read_labels(self, recording: Recording) -> tuple[int, np.ndarray]:
        """Read the labels of one recording.

        Returns:
            Index of the first coded frame in the video, and int8 labels (frames, N), one row per consecutive frame.

        Raises:
            LabelError: A file contains anything else.
        """
        raise NotImplementedError

    def read_intensities(self, recording: Recording) -> np.ndarray:
        """Read the intensities of the frames of `read_labels`, if the rows have them.

        Returns:
            float32 (frames, N) in 0..5, NaN where not coded. Frames past those of `read_labels` are ignored.
        """
        raise NotImplementedError

    @property
    def has_intensities(self) -> bool:
        """Tell whether the rows have intensities."""
        return self.config.intensities

    @property
    def video_root(self) -> Path:
        """Return the absolute path of the folder of the videos."""
        return _absolute(self.config.video_dir or self.config.data_dir)

    @property
    def subjects(self) -> set[str]:
        """List the subjects that have a recording."""
        return {recording.subject for recording in self.recordings}

    def fold_subjects(self, split: str) -> set[str]:
        """Return the subjects of one side of the fold."""
        if self.config.folds_file is None:
            return self.default_fold_subjects(split)
        return fold_side(read_folds(self.config.folds_file, self.subjects), self.config.fold, split)

    def default_fold_subjects(self, split: str) -> set[str]:
        """Return one side of the published fold or, in a repetition, of its resplit."""
        fold, repetition = self.config.fold, self.config.repetition
        if not repetition:
            return fold_subjects(self.protocol, fold, split)
        subjects = self.subjects & protocol_subjects(self.protocol)
        return k_fold_subjects(subjects, fold, split, len(PARTS[self.protocol]), repetition)

    def _create_builder_config(self, *args: Any, **kwargs: Any) -> tuple[ClipConfig, str]:
        config, config_id = super()._create_builder_config(*args, **kwargs)
        if self.config.folds_file is not None:
            folds = read_folds(self.config.folds_file, self.subjects)
            return config, f"{config_id}-{hashlib.sha256(json.dumps(folds).encode()).hexdigest()[:16]}"
        self._warn_of_gaps()
        return config, config_id

    def _warn_of_gaps(self) -> None:
        found, protocol = self.subjects, protocol_subjects(self.protocol)
        for subjects, problem in (
            (protocol - found, f"are not under {self.root}, so scores are not comparable with published ones"),
            (found - protocol, f"under {self.root} are in no fold and are skipped"),
        ):
            if subjects:
                logger.warning(f"{self.protocol.upper()}: the subjects {', '.join(sorted(subjects))} {problem}.")

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        generators = []
        for split in ("train", "test"):
            subjects = self.fold_subjects(split)
            recordings = [recording for recording in self.recordings if recording.subject in subjects]
            if not recordings:
                problem = f"no subject of the {split} side of fold {self.config.fold} was found."
                raise self.layout_error(problem, self.root)
            generators.append(datasets.SplitGenerator(split, {"recordings": recordings, "split": split}))
        return generators

    def _generate_examples(self, recordings: list[Recording], split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        rare = [self.aus.index(au) for au in self.rare_aus]
        for recording in recordings:
            first, labels = self.read_labels(recording)
            if self.config.drop_lost_faces:
                labels[~read_index(recording.video).found[first : first + len(labels)]] = NOT_CODED
            clips = self.tiles(len(labels))
            if self.config.rare_au_clips and split == "train":
                for start, stop in rare_au_clips(labels, rare):
                    clips += [(*clip, True) for clip in fit_clip(start, stop, len(labels), self.config.clip_length)]
            if self.config.clip_stride and split == "train":
                starts = range(0, len(labels) - self.config.clip_length + 1, self.config.clip_stride)
                more = [(start, start + self.config.clip_length) for start in starts]
                clips += [(*clip, True) for clip in more if (*clip, False) not in clips]
            yield from self.clip_rows(recording, first, labels, clips, self._intensities_of(recording, labels))

    def _intensities_of(self, recording: Recording, labels: np.ndarray) -> np.ndarray | None:
        """Read the intensities of `labels`, NaN where these are not coded."""
        if not self.has_intensities:
            return None
        intensities = self.read_intensities(recording)[: len(labels)]
        intensities[labels == NOT_CODED] = np.nan
        return intensities


def match_length(recording: Recording, labels: np.ndarray) -> np.ndarray:
    """Trim the labels of a video file to its length, and warn if the lengths differ."""
    frames = num_frames(recording.video)
    if frames != len(labels):
        logger.warning(
            f"{recording.video} has {frames} frames but {len(labels)} labels in {recording.label_files[0].parent}. "
            f"Only the first {min(frames, len(labels))} of each are used."
        )
    return labels[:frames]


def _absolute(path: str | None) -> Path:
    return find_path(os.path.abspath(os.path.expanduser(path or "")))


def _fingerprint(recordings: list[Recording]) -> str:
    digest = hashlib.sha256()
    for path in sorted({path for recording in recordings for path in recording.label_files}):
        digest.update(path.read_bytes())
    for recording in recordings:
        digest.update(f"{recording}".encode())
        index = index_path(recording.video)
        if index.is_file():
            digest.update(index.read_bytes())
        if recording.video.is_dir():  # rows depend only on which images exist; one stat per image would take minutes
            digest.update("/".join(sorted(os.listdir(recording.video))).encode())
        else:
            status = recording.video.stat()
            digest.update(f"{status.st_size} {status.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]
