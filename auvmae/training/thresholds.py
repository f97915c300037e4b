"""Tune the threshold of each action unit on held-out training subjects."""

from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset
from transformers import Trainer
from transformers.utils import CONFIG_NAME, logging

from ..configuration import AUVMAEConfig
from ..knowledge.facs import NOT_CODED
from ..system.files import replacing
from .finetuning import ClipPrediction

logger = logging.get_logger(__name__)


def best_thresholds(probs: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.float64]:
    """Find the threshold of each AU with the highest F1 over the given frames.

    Of several thresholds with that F1, the one nearest to 0.5 is taken.

    Args:
        probs: Probabilities `(frames, N)`, in [0, 1].
        labels: Labels `(frames, N)`: 0, 1, or -100 where not coded.

    Returns:
        Thresholds `(N,)`, in (0, 1). Each lies half-way between two occurring probabilities. It is 0.5 if the AU is
        never present.

    Example:
        >>> best_thresholds(np.array([[0.1], [0.3], [0.4]]), np.array([[0], [1], [1]]))
        array([0.2])
    """
    coded = labels != NOT_CODED
    columns = zip(probs.T, labels.T, coded.T, strict=True)
    return np.array([_best(au_probs[used], au_labels[used] == 1) for au_probs, au_labels, used in columns])


def limit_false_alarms(
    thresholds: NDArray[Any], probs: NDArray[Any], labels: NDArray[Any], share: float
) -> NDArray[np.float64]:
    """Raise thresholds until neutral frames seldom reach them.

    A frame is neutral if every AU is coded as absent.

    Args:
        thresholds: Thresholds `(N,)`.
        probs: Probabilities `(frames, N)`, in [0, 1].
        labels: Labels `(frames, N)`: 0, 1, or -100 where not coded.
        share: Largest share of the neutral frames in which an AU may be detected, in (0, 1).

    Returns:
        Thresholds `(N,)`, none lower than before.

    Raises:
        ValueError: No frame is neutral.

    Example:
        >>> probs, labels = np.array([[0.2], [0.6], [0.7], [0.9]]), np.array([[0], [0], [0], [1]])
        >>> limit_false_alarms(np.array([0.5]), probs, labels, 0.4)
        array([0.65])
    """
    neutral = probs[(labels == 0).all(axis=1)].astype(np.float64)
    if not len(neutral):
        raise ValueError(
            "No held-out frame is coded as neutral, so --false_alarm_rate has no frames to count. Omit it."
        )
    neutral.sort(axis=0)
    allowed = int(share * len(neutral))
    highest = neutral[-1 - allowed]  # the highest probability that must stay below the threshold
    above = neutral[-allowed] if allowed else np.ones(neutral.shape[1])
    return np.maximum(thresholds, (highest + above) / 2)


def _best(probs: NDArray[Any], present: NDArray[np.bool_]) -> float:
    if not probs[present].any():  # no threshold detects a present frame
        return 0.5
    order = np.argsort(-probs)
    # A threshold below the k-th highest probability predicts k frames as present. 0 itself is never above a threshold.
    edges = np.append(probs[order].astype(np.float64), 0)
    last = np.flatnonzero(edges[:-1] > edges[1:])
    f1 = 2 * present[order].cumsum()[last] / (last + 1 + present.sum())
    thresholds = ((edges[:-1] + edges[1:]) / 2)[last][f1 == f1.max()]
    return float(thresholds[np.abs(thresholds - 0.5).argmin()])


def tune_thresholds(trainer: Trainer, clips: Dataset, false_alarm_rate: float | None = None) -> None:
    """Store the `best_thresholds` on the given clips in the model's configuration.

    After training, the configuration in the output folder is updated, too.

    Args:
        trainer: Trainer with the trained model.
        clips: Clips of training subjects that were held out of training.
        false_alarm_rate: See `limit_false_alarms`. None sets no limit.
    """
    prediction = ClipPrediction.of(trainer.predict(clips))
    config = cast(AUVMAEConfig, cast(Any, trainer.model).config)
    probs, labels = (np.reshape(values, (-1, len(config.au_names))) for values in (prediction.probs, prediction.labels))
    absent = [name for name, column in zip(config.au_names, labels.T, strict=True) if not (column == 1).any()]
    if absent:
        logger.warning(f"Never present in the --inner_val subjects: {', '.join(absent)}. Their threshold is 0.5.")
    thresholds = best_thresholds(probs, labels)
    if false_alarm_rate is not None:
        thresholds = limit_false_alarms(thresholds, probs, labels, false_alarm_rate)
    config.thresholds = thresholds.tolist()
    if trainer.args.do_train and trainer.args.should_save:
        with replacing(Path(str(trainer.args.output_dir), CONFIG_NAME)) as file:
            file.write(config.to_json_string())
