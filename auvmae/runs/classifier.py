"""Build the classifier that a run starts from.

If it comes from another classifier, the rows of the head are matched by the names of their action units.
"""

from collections.abc import Sequence
from typing import Any, cast

import datasets
import torch
from transformers.utils import logging

from ..configuration import AUVMAEConfig
from ..modeling_auvmae import AUVMAEForFrameAUClassification
from ..training.regularisation.drop_path import add_drop_path
from ..training.regularisation.partial_training import add_lora
from ..weights import DEFAULT_MODEL
from .arguments import ModelArguments

logger = logging.get_logger(__name__)


def build_classifier(
    model_args: ModelArguments,
    au_names: Sequence[str],
    do_train: bool,
    drop_path: float = 0.0,
    lora_rank: int = 0,
    **fields: Any,
) -> Any:
    """Build the model of a fine-tuning run; see `ModelArguments.build`.

    The head of a classifier keeps its rows for the action units of the data, in the order of the data. In training,
    action units that it lacks get new rows.

    Args:
        model_args: Checkpoint to start from.
        au_names: N action units of the data, in the order of the logits.
        do_train: Whether the model will be trained. If not, the thresholds of the checkpoint and the outcomes of its
            checks are also kept; training would invalidate them.
        drop_path: Rate for `add_drop_path`; 0 for none.
        lora_rank: Rank for `add_lora`; 0 for none. A model that is not trained gets no adapters.
        fields: Fields of the configuration for `ModelArguments.build`.

    Raises:
        ValueError: The checkpoint is only to be scored, but lacks an action unit of the data.
    """
    if model_args.names_no_start:
        logger.warning(
            f"No start is named, so the run starts from `{DEFAULT_MODEL}`, the packaged detector trained on animated "
            "portraits. Name another with --model_name_or_path, or `none` for random weights."
        )
    model = _load_classifier(model_args, list(au_names), do_train, fields)
    if drop_path:
        add_drop_path(model, drop_path)
    return add_lora(model, lora_rank) if lora_rank and do_train else model


def choose_heads(target: str | None, rows: datasets.DatasetDict) -> dict[str, bool]:
    """Choose the heads to train, as fields of the configuration.

    Args:
        target: `--target`; None leaves it to the model whether intensities are graded, if the rows have them.
        rows: Rows of the fold, see `load_au_dataset`.
    """
    heads = {"detect_occurrences": target != "intensity"}
    if target in ("intensity", "both"):
        heads["grade_intensities"] = True
    elif target == "occurrence" or "intensities" not in rows["train"].features:
        heads["grade_intensities"] = False  # nothing would train that head
    return heads


def scored_target(config: AUVMAEConfig, target: str | None, rows: datasets.DatasetDict) -> str:
    """Return the target that a model is scored on.

    It is "occurrence", "intensity" or "both".

    Args:
        config: Configuration of the model.
        target: `--target`, or None for everything.
        rows: Rows of the fold.

    Raises:
        ValueError: The model or the test rows lack what is to be scored.
    """
    graded = config.grade_intensities and "intensities" in rows["test"].features
    able = [name for name, is_able in (("occurrence", config.detect_occurrences), ("intensity", graded)) if is_able]
    wanted = ["occurrence", "intensity"] if target == "both" else [target] if target else able
    if lacking := [name for name in wanted if name not in able]:
        raise ValueError(
            f"--target {target} needs a model that was trained on {lacking[0]}, but this one was not. Train it with "
            f"this target, or score it with --target {able[0] if able else 'intensity'}."
        )
    if not able:
        raise ValueError("This model only grades intensities. Score it with --target intensity.")
    return wanted[0] if len(wanted) == 1 else "both"


def _load_classifier(
    model_args: ModelArguments, names: list[str], do_train: bool, fields: dict[str, Any]
) -> AUVMAEForFrameAUClassification:
    path = model_args.model_name_or_path
    fields |= {"id2label": dict(enumerate(names)), "label2id": {name: index for index, name in enumerate(names)}}
    config = None if path is None else _classifier_config(path)
    own = config.au_names if config else names
    if not do_train and not set(names) <= set(own):
        common = " ".join(name.removeprefix("AU") for name in names if name in own)
        raise ValueError(
            f"{path} detects {', '.join(own)}, but the data is coded for {', '.join(names)}. It cannot be scored on "
            f"{', '.join(name for name in names if name not in own)}. Train it on such data"
            + (f", or score only the common AUs: --aus {common}" if common else ".")
        )
    thresholds = checks = side_checks = relative = None  # those of other weights
    if config and not do_train:
        if config.thresholds:
            thresholds = [config.thresholds[own.index(name)] for name in names]
        if config.au_checks:
            checks = {name: config.au_checks[name] for name in names}
        if config.side_checks:
            side_checks = {name: outcome for name, outcome in config.side_checks.items() if name in names}
        if config.relative_aus:
            relative = [name for name in names if name in config.relative_aus]
    fields |= {"thresholds": thresholds, "au_checks": checks, "side_checks": side_checks, "relative_aus": relative}
    if own == names:
        return cast(AUVMAEForFrameAUClassification, model_args.build(AUVMAEForFrameAUClassification, **fields))

    start = AUVMAEForFrameAUClassification.from_pretrained(path, dtype=torch.float32)
    model = AUVMAEForFrameAUClassification(model_args.configure(**fields))
    weights, fresh = start.state_dict(), model.state_dict()
    if new := [name for name in names if name not in own]:
        logger.warning(
            f"{path} detects {', '.join(own)}, but the data is coded for {', '.join(names)}. The head starts with "
            f"random weights for {', '.join(new)}."
        )
    kept = [name for name in names if name in own]
    for name in [name for name in weights if "head.projection." in name and name in fresh]:
        # one row for each frame of a tubelet and each action unit
        rows, found = (
            tensors[name].unflatten(0, (start.config.tubelet_size, len(aus)))
            for tensors, aus in ((fresh, names), (weights, own))
        )
        rows[:, [names.index(au) for au in kept]] = found[:, [own.index(au) for au in kept]]
        weights[name] = rows.flatten(0, 1)
    model.load_state_dict(weights, strict=False)
    return model.eval()


def _classifier_config(path: str) -> AUVMAEConfig | None:
    """Return the configuration of a checkpoint with our head, else None."""
    fields, _ = AUVMAEConfig.get_config_dict(path)
    is_classifier = AUVMAEForFrameAUClassification.__name__ in (fields.get("architectures") or [])
    return AUVMAEConfig.from_dict(fields) if is_classifier else None
