"""Compute the label statistics of a fold.

They are the numbers behind the paper's Figs. 3, 4 and 5 and behind its loss. The input is one label array per video.
The weights and priors of the loss are computed by the same functions.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save

from ..knowledge.facs import NOT_CODED
from ..knowledge.fsm import CooccurrenceCounts, TransitionCounts, cooccurrence_counts, transition_counts
from ..knowledge.losses import label_weights, occurrence_rates
from ..system.files import whole_file
from .clips import fit_clip, rare_au_clips, segment_clips

SELF_LOOPS = (0, 5, 10, 15)
"""States of `transition_tensor` in which neither AU of the pair changes."""


@dataclass(frozen=True)
class FoldStatistics:
    """Hold the label statistics of some videos.

    Rates and probabilities are fractions in [0, 1].

    Args:
        au_names: N names.
        clip_length: Frames per clip.
        num_videos, num_subjects, num_frames: Number of each; `num_subjects` is None if no names were given.
        num_coded_frames: Frames in which at least one AU is coded.
        num_clips: Clips that tile the videos, including the shorter ones at the ends.
        num_whole_clips: Clips of exactly `clip_length` frames.
        rare_aus: Names of the AUs that are augmented (appendix, Sec. 2).
        num_rare_clips, num_rare_frames, median_rare_frames: Number of rare-AU clips as cut from the videos, their
            total number of frames, and their median length.
        num_added_clips: Number of rare-AU clips once short clips are extended to `clip_length` and long ones split.
        occurrence_rates: r_i, `(N,)`, over the original frames (Fig. 5, before).
        occurrence_rates_added: `(N,)`, over the original frames and the rare-AU clips as cut (Fig. 5, after).
        occurrence_rates_extended: `(N,)`, over the original frames and the added clips, as in training.
        label_weights: w_i of Eq. 2, `(N,)`; NaN if an AU never occurs.
        flip_rates: `(N,)`, probability that the label changes from one frame to the next.
        cooccurrence: K_intra, `(N, N)` (Eq. 3, Fig. 3); NaN for a pair in which neither AU ever occurs.
        transitions: K_inter, `(N, N, 16)` (Fig. 4), index `i_t + 2 j_t + 4 i_t+1 + 8 j_t+1`.
        self_loop_mass: Share of the transitions in which neither AU of a pair changes, averaged over the pairs of
            different AUs that have transitions; NaN if there are none.
        source: Origin of the labels (dataset, fold, ...), included in `to_dict`.
    """

    au_names: list[str]
    clip_length: int
    num_videos: int
    num_subjects: int | None
    num_frames: int
    num_coded_frames: int
    num_clips: int
    num_whole_clips: int
    rare_aus: list[str]
    num_rare_clips: int
    num_rare_frames: int
    median_rare_frames: float
    num_added_clips: int
    occurrence_rates: NDArray[np.float64]
    occurrence_rates_added: NDArray[np.float64]
    occurrence_rates_extended: NDArray[np.float64]
    label_weights: NDArray[np.float64]
    flip_rates: NDArray[np.float64]
    cooccurrence: NDArray[np.float64]
    transitions: NDArray[np.float64]
    self_loop_mass: float
    source: dict[str, Any] = field(default_factory=dict)

    def pair(self, first: str, second: str) -> tuple[int, int]:
        """Return the indices of a pair of AUs in `cooccurrence` and `transitions`.

        Raises:
            ValueError: An AU is unknown, or both are the same.
        """
        for name in (first, second):
            if name not in self.au_names:
                raise ValueError(f"there is no {name}; choose from {', '.join(self.au_names)}.")
        if first == second:
            raise ValueError(f"a pair must have two different AUs, found {first} twice.")
        return self.au_names.index(first), self.au_names.index(second)

    def to_dict(self) -> dict[str, Any]:
        """Convert the statistics to a dictionary for JSON, without the arrays of pairs.

        Values per AU are keyed by its name, and NaN becomes None. `save` also writes the arrays of pairs.
        """
        return {name: self._plain(value) for name, value in self._items() if np.ndim(value) < 2}

    def save(self, folder: str | Path) -> list[Path]:
        """Write the statistics to two files atomically.

        `statistics.json` holds the result of `to_dict`, and `statistics.safetensors` the arrays.

        Returns:
            The paths of both files.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {name: np.ascontiguousarray(value) for name, value in self._items() if isinstance(value, np.ndarray)}
        files = {
            folder / "statistics.json": (json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n").encode(),
            folder / "statistics.safetensors": save(arrays, {"au_names": ",".join(self.au_names)}),
        }
        for path, content in files.items():
            with whole_file(path) as temporary:
                temporary.write_bytes(content)
        return list(files)

    def _items(self) -> list[tuple[str, Any]]:
        return [(entry.name, getattr(self, entry.name)) for entry in fields(self)]

    def _plain(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return {name: self._plain(number) for name, number in zip(self.au_names, value.tolist(), strict=True)}
        return None if isinstance(value, float) and np.isnan(value) else value


def fold_statistics(
    videos: Sequence[NDArray[Any]],
    au_names: Sequence[str],
    rare: Sequence[int] = (),
    clip_length: int = 128,
    subjects: Sequence[str] | None = None,
    source: dict[str, Any] | None = None,
) -> FoldStatistics:
    """Compute the label statistics of a fold before and after rare-AU augmentation.

    Args:
        videos: One un-augmented `(T_v, N)` integer array per video, in time order: 0, 1, or -100 where not coded.
        au_names: N names.
        rare: Columns of the rare AUs; for the paper's see `auvmae.data.clips.RARE_AUS`. Empty for no augmentation.
        clip_length: Frames per clip.
        subjects: Subject of each video.
        source: See `FoldStatistics`.

    Raises:
        ValueError: There is no video, or one does not have N columns.

    Example:
        >>> labels = np.zeros((200, 2), dtype=int)
        >>> labels[100:110, 0] = 1
        >>> found = fold_statistics([labels], ["AU1", "AU2"], rare=[0])
        >>> found.num_clips, found.num_rare_frames, found.occurrence_rates[0], found.occurrence_rates_added[0].round(3)
        (2, 25, np.float64(0.05), np.float64(0.089))
    """
    arrays = [np.asarray(video) for video in videos]
    if not arrays or any(array.ndim != 2 or array.shape[1] != len(au_names) for array in arrays):
        found = ", ".join(sorted({str(array.shape) for array in arrays})[:5]) or "none"
        raise ValueError(f"labels must be (T, {len(au_names)}) for at least one video, found {found}.")
    tiles = [stop - start for array in arrays for start, stop in segment_clips(len(array), clip_length)]
    cuts, added = _rare_frames(arrays, rare, clip_length)
    cooccurrence, transitions = _pair_counts(arrays)
    prior = transitions.normalise().numpy()
    pairs = ~np.eye(len(au_names), dtype=bool) & transitions.defined.numpy()
    rates = occurrence_rates(arrays)
    # for an AU paired with itself, 3 is the state (on, then off) and 12 the state (off, then on)
    flips = prior[..., [3, 12]].sum(-1).diagonal()
    return FoldStatistics(
        au_names=list(au_names),
        clip_length=clip_length,
        num_videos=len(arrays),
        num_subjects=None if subjects is None else len(set(subjects)),
        num_frames=sum(map(len, arrays)),
        num_coded_frames=sum(int((array != NOT_CODED).any(1).sum()) for array in arrays),
        num_clips=len(tiles),
        num_whole_clips=tiles.count(clip_length),
        rare_aus=[au_names[column] for column in rare],
        num_rare_clips=len(cuts),
        num_rare_frames=sum(map(len, cuts)),
        median_rare_frames=float(np.median([len(cut) for cut in cuts])) if cuts else float("nan"),
        num_added_clips=len(added),
        occurrence_rates=rates.numpy(),
        occurrence_rates_added=occurrence_rates([*arrays, *cuts]).numpy(),
        occurrence_rates_extended=occurrence_rates([*arrays, *added]).numpy(),
        label_weights=(label_weights(arrays).double() if rates.all() else torch.full_like(rates, torch.nan)).numpy(),
        flip_rates=flips,
        cooccurrence=torch.where(cooccurrence.defined, cooccurrence.normalise(), torch.nan).numpy(),
        transitions=prior,
        self_loop_mass=float(prior[pairs][:, SELF_LOOPS].sum(-1).mean()) if pairs.any() else float("nan"),
        source=dict(source or {}),
    )


def _rare_frames(
    videos: list[NDArray[Any]], rare: Sequence[int], clip_length: int
) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
    """Collect the labels of the rare-AU clips, as cut and as added."""
    cuts, added = [], []
    for video in videos:
        for start, stop in rare_au_clips(video, rare):
            cuts.append(video[start:stop])
            added += [video[slice(*clip)] for clip in fit_clip(start, stop, len(video), clip_length)]
    return cuts, added


def _pair_counts(videos: list[NDArray[Any]]) -> tuple[CooccurrenceCounts, TransitionCounts]:
    """Sum both pair statistics over the videos.

    No transition runs from one video into the next.
    """
    sums: list[torch.Tensor] = []
    for video in videos:
        labels = torch.as_tensor(video)
        # float64, because float32 sums stop counting at 2^24 frames
        arguments = labels.clamp(min=0).double(), labels != NOT_CODED
        counts = [*cooccurrence_counts(*arguments), *transition_counts(*arguments)]
        sums = [before + count for before, count in zip(sums, counts, strict=True)] if sums else counts
    return CooccurrenceCounts(*sums[:2]), TransitionCounts(*sums[2:])
