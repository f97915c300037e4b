"""Read animated portraits as rows of clips."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...system.names import nfc
from ..builder import AUClipBuilder, AUClipConfig, Recording
from ..files import LabelError, find_files
from ..folds import k_fold_subjects
from ..tables import real_number, table_rows
from .action_units import NUMBERS, SCALE
from .writing import COLUMNS


@dataclass
class PortraitsConfig(AUClipConfig):
    """Hold the options of animated portraits, in addition to `AUClipConfig`.

    Args:
        intensity_threshold: Intensity from which an AU counts as active; 1 is a trace, a fifth of the maximum.
        num_folds: Number of folds into which the portraits are split.
    """

    intensity_threshold: float = 1.0
    num_folds: int = 5


class Portraits(AUClipBuilder):
    """Read animated portraits, rendered by `write_portraits`.

    * 200 portraits that show no real person, each moved by a face rig in several videos. Every action unit and its
      intensity is known exactly.
    * Intensities are those of the stronger side. A subject is a portrait, and the folds are split by portrait.
    * A model that reads these faces well need not read real ones well: a score on them is no score on faces.
    """

    BUILDER_CONFIG_CLASS = PortraitsConfig

    config: PortraitsConfig
    aus = NUMBERS
    rare_aus = ()
    expected_tree = """
    data_dir/
        labels/female_34/000.csv       (frame,AU1_R,AU1_L,...)
        videos/female_34/000.mp4
    """

    @property
    def has_intensities(self) -> bool:
        """Tell whether the rows have intensities."""
        return True

    def find_recordings(self) -> list[Recording]:
        """List the videos that have labels, sorted by name."""
        recordings = []
        for labels in find_files(self.root, r"labels/\w+/\d+\.csv"):
            subject = nfc(labels.parent.name)
            video = self.video_root / "videos" / subject / f"{labels.stem}.mp4"
            if not video.is_file():
                raise self.layout_error(f"{labels} has no video {video.relative_to(self.video_root)}.", self.video_root)
            recordings.append(Recording(video, (labels,), subject))
        return recordings

    def read_labels(self, recording: Recording) -> tuple[int, np.ndarray]:
        """Read the occurrence of the action units in every frame."""
        return 0, (self.read_intensities(recording) >= self.config.intensity_threshold).astype(np.int8)

    def read_intensities(self, recording: Recording) -> np.ndarray:
        """Read the intensity of the stronger side."""
        return read_sides(recording.label_files[0]).max(axis=2)

    def default_fold_subjects(self, split: str) -> set[str]:
        """Split the portraits with `k_fold_subjects` and return one side of the fold."""
        config = self.config
        return k_fold_subjects(self.subjects, config.fold, split, config.num_folds, config.repetition)

    def _warn_of_gaps(self) -> None:
        """Skip the warning, since any number of portraits will do."""


def read_sides(path: Path) -> np.ndarray:
    """Read a label file.

    Returns:
        Intensities of the right and the left side in 0..5, float32 of shape (frames, N, 2).

    Raises:
        LabelError: The file contains anything else.
    """
    rows = table_rows(path)
    number, header = next(rows, (1, []))
    if header != ["frame", *COLUMNS]:
        found = f"the columns {', '.join(header[:3]) or '(none)'}, ..."
        raise LabelError.at(path, number, found, f"Expected frame, {', '.join(COLUMNS[:2])}, ... Render it again.")
    values: list[list[float | None]] = []
    for number, cells in rows:
        row = [real_number(cell) for cell in cells[1:]]
        if len(row) != len(COLUMNS) or cells[0] != str(len(values)):
            raise LabelError.at(path, number, f"{len(cells)} cells from frame {cells[0]!r} on", "Render it again.")
        for column, cell in zip(row, cells[1:], strict=True):
            if column is None or not 0 <= column <= SCALE:
                raise LabelError.at(path, number, f"the intensity {cell!r}", "Expected 0 to 5. Render it again.")
        values.append(row)
    return np.array(values, np.float32).reshape(len(values), len(NUMBERS), 2)
