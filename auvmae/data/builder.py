"""What every data set of video shares: recordings -> labels -> rows of clips, cached by `datasets`.

A data set of coded video adds a data sheet, constants and a parser (`find_recordings`, `read_labels`); see `disfa.py`.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from transformers.utils import logging

from ..faces.crop_files import index_path, read_index
from ..knowledge.facs import NOT_CODED, au_label
from ..video.reading import num_frames
from .clips import fit_clip, rare_au_clips, segment_clips
from .files import DatasetLayoutError
from .folds import PARTS, fold_side, fold_subjects, k_fold_subjects, protocol_subjects, read_folds

logger = logging.get_logger(__name__)


@dataclass(frozen=True)
class Recording:
    """One video: where its frames and its labels, if it is coded, are.

    Args:
        video: video file, or folder of images.
        label_files: label files, in the order of the data set's parser; none if the video is not coded.
        subject: name of the person.
        task: BP4D's T1 to T8; "" elsewhere.
    """

    video: Path
    label_files: tuple[Path, ...]
    subject: str
    task: str = ""


@dataclass
class ClipConfig(datasets.BuilderConfig):
    """How any data set is read.

    Args:
        data_dir: the data set's folder.
        clip_length: frames of a clip.
        tail: "pad" or "drop", see `segment_clips`.
        drop_lost_faces: of face crops, leave the frames where no face was found out: label them as not coded, or, in
            uncoded video, cut there.
    """

    version: str = "1.1.0"  # part of the cache's key: raise it when the same files would give other rows
    clip_length: int = 128
    tail: str = "pad"
    drop_lost_faces: bool = False


@dataclass
class AUClipConfig(ClipConfig):
    """How a data set of coded video is read, beside the options of any.

    Args:
        video_dir: folder with the videos (face crops, say), laid out as in `data_dir`; `data_dir` by default.
        fold: which subjects train and which test, from 1; a config called "fold2" takes the second.
        repetition: 0 for the published folds (of a folder: the sorted ones); from 1 on the subjects are dealt into as
            many folds anew, in an order drawn with this seed.
        folds_file: folds of another group, in their place; see `read_folds`.
        rare_au_clips: add the appendix's clips around rare AUs to the training side.
        clip_stride: add overlapping clips, one every so many frames, to the training side: few subjects in clips that
            are always cut at the same frames are soon learned by heart. None, the paper's way, for the tiles alone.

    Raises:
        ValueError: `clip_stride` is not positive.
    """

    video_dir: str | None = None
    fold: int = 1
    repetition: int = 0
    folds_file: str | None = None
    rare_au_clips: bool = False
    clip_stride: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if match := re.fullmatch(r"fold(\d+)", self.name):
            self.fold = int(match[1])
        if self.clip_stride is not None and self.clip_stride < 1:
            raise ValueError(f"clip_stride is a number of frames from 1; found {self.clip_stride}")


class ClipBuilder(datasets.GeneratorBasedBuilder):
    """Base of all builders: rows of clips, cached under a key that follows the files.

    A row is {"video": path of a video file or image folder, "name": the same below the folder that all videos of the
    data set share, "start_frame": index of the first frame (the stem of an image), "num_frames": frames that are there,
    "subject", "task", "augmented": whether the clip repeats frames of others, "labels": int8 (clip_length, N),
    1 = active, 0 = not, -100 = not coded or past `num_frames`; N = 0 in a data set that is not coded}. No pixels. The
    un-augmented rows hold every frame of every video once (with `tail="pad"`).

    The cache is keyed by the options and by a fingerprint of the files: labels by content, video files by name, size
    and time of change, image folders by the names in them.

    Raises:
        DatasetLayoutError: the folder is not laid out as the data set is.
    """

    BUILDER_CONFIG_CLASS = ClipConfig

    config: ClipConfig
    aus: tuple[int, ...] = ()
    expected_tree: str

    def find_recordings(self) -> list[Recording]:
        """List the recordings under `self.root`, sorted by name.

        Raises:
            DatasetLayoutError: there are none, or one of them lacks its video or labels.
        """
        raise NotImplementedError

    @property
    def root(self) -> Path:
        """The data set's folder, absolute."""
        return _absolute(self.config.data_dir)

    @property
    def video_root(self) -> Path:
        """The folder of its videos, absolute."""
        return self.root

    @cached_property
    def common_folder(self) -> str:
        """The folder that holds all its videos: not `video_root`, since copies of a data set differ in between."""
        return os.path.commonpath({os.path.dirname(recording.video) for recording in self.recordings})

    def layout_error(self, problem: str, root: Path | None) -> DatasetLayoutError:
        """The error that shows the tree expected and what was found under `root`."""
        return DatasetLayoutError.of(f"{self.name}: {problem}", self.expected_tree, root)

    def _create_builder_config(self, *args: Any, **kwargs: Any) -> tuple[ClipConfig, str]:
        # the one place where `datasets` lets the key of its cache be extended before it looks the cache up
        known = {
            "config_name",
            "custom_features",
            "config_id",
            *(field.name for field in fields(self.BUILDER_CONFIG_CLASS)),
        }
        unknown = [f"{name}={value!r}" for name, value in kwargs.items() if name not in known]
        if unknown:
            raise ValueError(f"{self.name} has no option {', '.join(unknown)}")
        self.config, config_id = super()._create_builder_config(*args, **kwargs)
        if self.config.data_dir is None:
            raise self.layout_error("data_dir is missing: name the folder that holds the data set.", None)
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
                # `id` is the one field of a feature that is free for use and survives saving, filtering and streaming
                labels=datasets.Array2D((self.config.clip_length, len(self.aus)), "int8", id=names),
            ),
        )

    def clip_rows(
        self, recording: Recording, first: int, labels: np.ndarray, clips: Iterable[tuple[int, int, bool]]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Keys and rows of clips.

        Args:
            recording: the video.
            first: index in it of the frame of `labels[0]`.
            labels: int8 (frames, N).
            clips: (start, stop, augmented) of each clip, in rows of `labels`.
        """
        name = recording.video.relative_to(self.common_folder).as_posix()
        for number, (start, stop, augmented) in enumerate(clips):
            padded = np.full((self.config.clip_length, len(self.aus)), NOT_CODED, np.int8)
            padded[: stop - start] = labels[start:stop]
            row = {
                "video": str(recording.video),
                "name": name,
                "start_frame": first + start,
                "num_frames": stop - start,
                "subject": recording.subject,
                "task": recording.task,
                "augmented": augmented,
                "labels": padded,
            }
            yield f"{recording.video}-{first}-{number}", row

    def tiles(self, num_frames: int) -> list[tuple[int, int, bool]]:
        """The un-augmented clips of so many frames."""
        return [(*clip, False) for clip in segment_clips(num_frames, self.config.clip_length, self.config.tail)]


class AUClipBuilder(ClipBuilder):
    """Base of the builders of coded video: the "train" and the "test" side of a fold.

    Raises:
        LabelError: a label file cannot be read or does not fit its video.
    """

    BUILDER_CONFIG_CLASS = AUClipConfig
    config: AUClipConfig
    protocol: str
    """Name of the data set in `folds.PARTS`."""
    rare_aus: tuple[int, ...]

    def read_labels(self, recording: Recording) -> tuple[int, np.ndarray]:
        """Read one recording's labels.

        Returns:
            Index of the first coded frame in the video, and int8 labels (frames, N), one row per consecutive frame.

        Raises:
            LabelError: a file holds anything else.
        """
        raise NotImplementedError

    @property
    def video_root(self) -> Path:
        """The folder of its videos, absolute."""
        return _absolute(self.config.video_dir or self.config.data_dir)

    @property
    def subjects(self) -> set[str]:
        """Those who have a recording here."""
        return {recording.subject for recording in self.recordings}

    def fold_subjects(self, split: str) -> set[str]:
        """The subjects of one side of the fold."""
        if self.config.folds_file is None:
            return self.deal_subjects(split)
        return fold_side(read_folds(self.config.folds_file, self.subjects), self.config.fold, split)

    def deal_subjects(self, split: str) -> set[str]:
        """The same where no file says it: the published folds or, in a repetition, their subjects dealt anew."""
        fold, repetition = self.config.fold, self.config.repetition
        if not repetition:
            return fold_subjects(self.protocol, fold, split)
        dealt = self.subjects & protocol_subjects(self.protocol)
        return k_fold_subjects(dealt, fold, split, len(PARTS[self.protocol]), repetition)

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
            (protocol - found, f"are not under {self.root}: scores do not compare with published ones"),
            (found - protocol, f"under {self.root} are in no fold and left out"),
        ):
            if subjects:
                logger.warning(f"{self.protocol.upper()}: the subjects {', '.join(sorted(subjects))} {problem}.")

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        generators = []
        for split in ("train", "test"):
            subjects = self.fold_subjects(split)
            recordings = [recording for recording in self.recordings if recording.subject in subjects]
            if not recordings:
                problem = f"no subject of the {split} side of fold {self.config.fold} is there."
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
            yield from self.clip_rows(recording, first, labels, clips)


def match_length(recording: Recording, labels: np.ndarray) -> np.ndarray:
    """Cut the labels of a video file to its length, with a warning where the two differ."""
    frames = num_frames(recording.video)
    if frames != len(labels):
        logger.warning(
            f"{recording.video} has {frames} frames and {len(labels)} labels in {recording.label_files[0].parent}: "
            f"the first {min(frames, len(labels))} of both are taken."
        )
    return labels[:frames]


def _absolute(path: str | None) -> Path:
    return Path(os.path.abspath(os.path.expanduser(path or "")))


def _fingerprint(recordings: list[Recording]) -> str:
    digest = hashlib.sha256()
    for path in sorted({path for recording in recordings for path in recording.label_files}):
        digest.update(path.read_bytes())
    for recording in recordings:
        digest.update(f"{recording}".encode())
        index = index_path(recording.video)
        if index.is_file():
            digest.update(index.read_bytes())
        if recording.video.is_dir():  # rows depend on which images there are; one stat per image would take minutes
            digest.update("/".join(sorted(os.listdir(recording.video))).encode())
        else:
            status = recording.video.stat()
            digest.update(f"{status.st_size} {status.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]
