"""State the ranges of the numeric flags of both scripts."""

from typing import Any

from ..system.settings import check_range

_SHARE, _POSITIVE, _COUNT, _NATURAL, _WEIGHT = "[0, 1)", "(0, inf)", "[1, inf)", "[0, inf)", "[0, inf)"

RANGES = {
    "adam_beta1": _SHARE,
    "adam_beta2": _SHARE,
    "adam_epsilon": _POSITIVE,
    "clip_length": _COUNT,
    "clip_stride": _COUNT,
    "cls_weight": _WEIGHT,
    "dataloader_num_workers": _NATURAL,
    "dataloader_prefetch_factor": _COUNT,
    "decoder_mask_ratio": _SHARE,
    "drop_path": _SHARE,
    "early_stopping_patience": _COUNT,
    "ema_decay": _SHARE,
    "eval_delay": _NATURAL,
    "eval_mask_ratio": _SHARE,
    "eval_steps": _POSITIVE,
    "false_alarm_rate": "(0, 1)",
    "gradient_accumulation_steps": _COUNT,
    "inner_val": _SHARE,
    "intensity_weight": _WEIGHT,
    "inter_weight": _WEIGHT,
    "intra_weight": _WEIGHT,
    "layer_decay": "(0, 1]",
    "learning_rate": _NATURAL,
    "logging_steps": _POSITIVE,
    "lora_rank": _NATURAL,
    "mask_ratio": "(0, 1)",
    "masks_per_clip": _COUNT,
    "max_grad_norm": _NATURAL,
    "max_skipped": "[0, 1]",
    "max_steps": _COUNT,
    "num_proc": _COUNT,
    "num_train_epochs": _NATURAL,
    "per_device_eval_batch_size": _COUNT,
    "per_device_train_batch_size": _COUNT,
    "ranking_weight": _WEIGHT,
    "repeats": _COUNT,
    "repetition": _NATURAL,
    "sampling_rate": _COUNT,
    "save_steps": _POSITIVE,
    "save_total_limit": _COUNT,
    "seed": "[0, 4294967295]",
    "data_seed": "[0, 4294967295]",
    "statistics_pool": _NATURAL,
    "train_share": "(0, 1]",
    "warmup_steps": _NATURAL,
    "weight_decay": _NATURAL,
}
"""Interval of each flag, as for `check_range`. A default outside it, such as -1 for `max_steps`, means not given."""


def check_flags(values: dict[str, Any], defaults: dict[str, Any]) -> None:
    """Check the flags that are not at their defaults.

    Raises:
        ValueError: A value is outside its range.
    """
    for name, value in values.items():
        if name in RANGES and value != defaults.get(name):
            check_range(f"--{name}", value, RANGES[name])
