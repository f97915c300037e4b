"""Save the predictions of a run to one Parquet file.

Every score can be recomputed from it.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..knowledge.facs import HIGHEST_INTENSITY, NOT_CODED, check_au_names
from ..system.files import whole_file

FILE_NAME = "predictions.parquet"
METADATA_KEY = b"auvmae"
MEASURED = ("train_runtime", "co2_grams")
"""What `metrics.json` says about the training itself. Without it, equal runs save equal files."""


@dataclass(frozen=True)
class FoldPredictions:
    """Hold the predictions and labels of every real frame of a test side.

    Frames that are not coded are included.

    Args:
        au_names: N names in column order.
        subjects: Subject of each frame, `(frames,)`.
        videos: Recording of each frame, `(frames,)`: its path relative to the folder of all videos of the dataset.
        frames: Index in the video, `(frames,)` int32. The rows are sorted by subject, video and frame.
        probs: Probabilities `(frames, N)`, float32 in [0, 1].
        labels: Labels `(frames, N)`, int8: 0, 1, or -100 where not coded.
        run: Description of the run, as in `metrics.json`. It includes `dataset`, `fold`, `level`, `thresholds` (N
            numbers in (0, 1); 0.5 for every AU if missing) and `tuned_on_test` (names of what was chosen on the scored
            data, e.g. `["epoch"]`). The file omits `MEASURED`. If its `target` is "intensity", `probs` are NaN, and the
            file has no such columns.
        intensities, coded_intensities: Predicted and coded intensities `(frames, N)`, float32 in 0..5, the coded ones
            NaN where not coded; None without intensities.

    Raises:
        ValueError: There is no frame, the shapes do not fit together, a value is out of range, two names are one action
            unit, or a frame or recording is repeated or out of order.
    """

    au_names: list[str]
    subjects: NDArray[np.str_]
    videos: NDArray[np.str_]
    frames: NDArray[np.int32]
    probs: NDArray[np.float32]
    labels: NDArray[np.int8]
    run: dict[str, Any] = field(default_factory=dict)
    intensities: NDArray[np.float32] | None = None
    coded_intensities: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        shape = (len(self.frames), len(self.au_names))
        check_au_names(self.au_names)
        if 0 in shape:
            raise ValueError(f"there are {shape[0]} frames and {shape[1]} action units.")
        if {self.probs.shape, self.labels.shape} != {shape} or not len(self.subjects) == len(self.videos) == shape[0]:
            raise ValueError(
                f"probs and labels must be {shape} (frames, AUs), found {self.probs.shape} and {self.labels.shape}."
            )
        if self.has_occurrences:
            self._check_range("probabilities", self.probs, 1)
        if self.intensities is not None and self.coded_intensities is not None:
            if {self.intensities.shape, self.coded_intensities.shape} != {shape}:
                raise ValueError(f"intensities must be {shape} (frames, AUs), found {self.intensities.shape}.")
            self._check_range("intensities", self.intensities, HIGHEST_INTENSITY)
            self._check_range("coded intensities", np.nan_to_num(self.coded_intensities), HIGHEST_INTENSITY)
        if self.thresholds.shape != shape[1:] or not ((self.thresholds > 0) & (self.thresholds < 1)).all():
            raise ValueError(
                f"thresholds must be one number in (0, 1) per AU ({shape[1]}), found {self.run['thresholds']}."
            )
        wrong = sorted(set(np.unique(self.labels).tolist()) - {0, 1, NOT_CODED})
        if wrong:
            raise ValueError(f"labels must be 0, 1 or {NOT_CODED}, found {wrong[:5]}.")
        last, this = slice(None, -1), slice(1, None)
        same = (self.subjects[last] == self.subjects[this]) & (self.videos[last] == self.videos[this])
        step = np.diff(self.frames)
        if (same & (step <= 0)).any():
            row = int(np.argmax(same & (step <= 0))) + 1
            problem = "occurs twice" if step[row - 1] == 0 else "is out of order"
            raise ValueError(f"frame {self.frames[row]} of {self.subjects[row]} {self.videos[row]} {problem}.")
        starts = np.flatnonzero(np.r_[True, np.diff(self.recordings) > 0])
        recordings = [*zip(self.subjects[starts].tolist(), self.videos[starts].tolist(), strict=True)]
        if repeated := [name for name, count in Counter(recordings).items() if count > 1]:
            raise ValueError(f"the rows of {' '.join(repeated[0])} occur twice, or are out of order.")

    def _check_range(self, what: str, values: NDArray[Any], highest: float) -> None:
        outside = ~((values >= 0) & (values <= highest))
        if outside.any():
            row, column = np.argwhere(outside)[0].tolist()
            raise ValueError(
                f"{what} must be in [0, {highest:g}]; found {values[row, column]} for {self.au_names[column]} in "
                f"frame {self.frames[row]} of {self.subjects[row]} {self.videos[row]}."
            )

    @classmethod
    def from_clips(
        cls,
        probs: NDArray[Any],
        labels: NDArray[Any],
        rows: datasets.DatasetDict,
        au_names: Sequence[str],
        run: dict[str, Any] | None = None,
        intensities: NDArray[Any] | None = None,
        coded_intensities: NDArray[Any] | None = None,
    ) -> "FoldPredictions":
        """Join the clips of a test side, without their padded tails.

        Args:
            probs: Probabilities `(clips, T, N)` in [0, 1] of the clips of `rows["test"]`, in order.
            labels: Labels `(clips, T, N)`: 0, 1, or -100.
            rows: Rows of the fold, see `load_au_dataset`. Only "test" is read.
            au_names: N names.
            run: See `FoldPredictions`.
            intensities, coded_intensities: Intensities `(clips, T, N)` of the same clips, or None.

        Raises:
            ValueError: See `FoldPredictions`; for example, two clips share a frame.
        """
        clips = rows["test"]
        lengths, starts = (np.asarray(clips[name], dtype=np.int32) for name in ("num_frames", "start_frame"))
        offsets = np.arange(probs.shape[1], dtype=np.int32)
        real = offsets < lengths[:, None]
        videos = np.repeat(np.asarray(clips["name"]), lengths)
        subjects = np.repeat(np.asarray(clips["subject"]), lengths)
        frames = (starts[:, None] + offsets)[real]
        order = np.lexsort((frames, videos, subjects))
        return cls(
            list(au_names),
            subjects[order],
            videos[order],
            frames[order],
            probs[real][order].astype(np.float32),
            labels[real][order].astype(np.int8),
            dict(run or {}),
            *(
                None if values is None else values[real][order].astype(np.float32)
                for values in (intensities, coded_intensities)
            ),
        )

    @property
    def has_occurrences(self) -> bool:
        """Tell whether occurrences were trained, so that there are probabilities."""
        return self.run.get("target") != "intensity"

    @property
    def thresholds(self) -> NDArray[np.float64]:
        """Return the threshold per AU, `(N,)`.

        An AU is predicted where its probability exceeds the threshold.
        """
        return np.array(self.run.get("thresholds") or [0.5] * len(self.au_names))

    @property
    def recordings(self) -> NDArray[np.int64]:
        """Number the recording of each frame, `(frames,)`, from 0 in row order."""
        changes = (self.subjects[1:] != self.subjects[:-1]) | (self.videos[1:] != self.videos[:-1])
        return np.concatenate([np.zeros(min(len(self.frames), 1), np.int64), np.cumsum(changes)])

    def save(self, output_dir: str | Path) -> Path:
        """Write `predictions.parquet` into a folder atomically."""
        columns = {
            "subject": pa.array(self.subjects).dictionary_encode(),
            "video": pa.array(self.videos).dictionary_encode(),
            "frame": pa.array(self.frames),
        }
        parts = {"prob": self.probs if self.has_occurrences else None, "label": self.labels}
        parts |= {"intensity": self.intensities, "coded_intensity": self.coded_intensities}
        for kind, values in parts.items():
            if values is not None:
                columns |= {f"{kind}_{name}": pa.array(values[:, i]) for i, name in enumerate(self.au_names)}
        run = {name: value for name, value in self.run.items() if name not in MEASURED}
        metadata = json.dumps({"au_names": self.au_names, "run": run})
        path = Path(output_dir) / FILE_NAME
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            table = pa.table(columns).replace_schema_metadata({METADATA_KEY: metadata.encode()})
            pq.write_table(table, temporary, write_page_checksum=True)
        return path

    @classmethod
    def load(cls, path: str | Path) -> "FoldPredictions":
        """Load a file written by `save`.

        Args:
            path: The file, or the folder of the run that contains it.

        Raises:
            FileNotFoundError: The file does not exist.
            ValueError: The file contains something else or is damaged.
        """
        path = Path(path) / FILE_NAME if Path(path).is_dir() else Path(path)
        if not path.is_file():
            raise FileNotFoundError(
                f"There is no {path}. Create it with run_finetune.py; --no_do_train scores without training."
            )
        try:
            table = pq.read_table(path, page_checksum_verification=True)
            names, run = _read_metadata(table)
            parts = {
                kind: np.stack([table[f"{kind}_{name}"].to_numpy() for name in names], axis=1)
                for kind in _kinds(table, names, run)
            }
            labels = parts["label"]
            probs = parts.get("prob", np.full(labels.shape, np.nan, np.float32))
            graded = parts.get("intensity"), parts.get("coded_intensity")
            subjects, videos = (np.asarray(table[name].to_pylist(), dtype=np.str_) for name in ("subject", "video"))
            return cls(names, subjects, videos, table["frame"].to_numpy(), probs, labels, run, *graded)
        except (pa.ArrowException, OSError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path} holds no AU-vMAE predictions ({' '.join(str(error).split())}). Recreate it with "
                "run_finetune.py --no_do_train."
            ) from error


def _read_metadata(table: pa.Table) -> tuple[list[str], dict[str, Any]]:
    """Read the names of the AUs and the description of the run, and check columns.

    Raises:
        ValueError: The description or a column is missing, or a column has empty cells or another type.
    """
    metadata = json.loads((table.schema.metadata or {}).get(METADATA_KEY, b"null"))
    names, run = (metadata.get(name) if isinstance(metadata, dict) else None for name in ("au_names", "run"))
    if not isinstance(run, dict) or not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("there is no description of a run.")
    if not isinstance(run.get("tuned_on_test", []), list):
        raise ValueError(f"tuned_on_test must be a list, found {run['tuned_on_test']!r}.")
    fold = run.get("fold", 1)
    if isinstance(fold, bool) or not isinstance(fold, int) or fold < 1:
        raise ValueError(f"fold must be a whole number from 1, found {fold!r}.")
    columns = {"subject": _is_text, "video": _is_text, "frame": pa.types.is_integer}
    for kind in _kinds(table, names, run):
        fits_kind = pa.types.is_integer if kind == "label" else pa.types.is_floating
        columns |= {f"{kind}_{name}": fits_kind for name in names}
    for name, fits in columns.items():
        if table.column_names.count(name) != 1:
            raise ValueError(f"there are {table.column_names.count(name)} columns {name} instead of one.")
        if table[name].null_count:
            raise ValueError(f"{table[name].null_count} cells of the column {name} are empty.")
        if not fits(table[name].type):
            raise ValueError(f"the column {name} has the type {table[name].type}.")
    return names, run


def _kinds(table: pa.Table, names: list[str], run: dict[str, Any]) -> list[str]:
    """Return the kinds of columns that each AU must have."""
    kinds = ["label"] if run.get("target") == "intensity" else ["prob", "label"]
    graded = [f"{kind}_{name}" for kind in ("intensity", "coded_intensity") for name in names]
    return [*kinds, "intensity", "coded_intensity"] if {*graded} & {*table.column_names} else kinds


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind.value_type if pa.types.is_dictionary(kind) else kind)
