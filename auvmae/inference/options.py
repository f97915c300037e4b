"""Check the options of a detector, and what comes with its model."""

from pathlib import Path
from typing import Any

import numpy as np

from ..configuration import LEVELS
from ..faces.crop import CropRecipe
from ..knowledge.facs import check_au_names
from ..processors import AUVMAEImageProcessor


def check_whole(name: str, value: Any) -> int:
    """Check that an option is a whole number, and return it.

    Raises:
        ValueError: It is another number, or no number.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ValueError(f"{name} must be a whole number, found {value!r}")
    return int(value)


def check_thresholds(chosen: Any, count: int) -> list[float]:
    """Return one threshold per action unit.

    Args:
        chosen: One number for all, or one for each.
        count: Number of action units.

    Raises:
        ValueError: A threshold does not lie in (0, 1), or their number is wrong.
    """
    try:
        values = np.asarray(chosen, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.full(1, np.nan)
    if values.shape not in ((), (count,)) or not ((values > 0) & (values < 1)).all():
        raise ValueError(f"threshold must be one number in (0, 1), or {count}, found {chosen}")
    return np.broadcast_to(values, (count,)).tolist()


def check_names(names: list[str], checkpoint: str) -> None:
    """Check that the model names its action units, each with its own column.

    Args:
        names: Labels of the model.
        checkpoint: Folder of the model, for the message.

    Raises:
        ValueError: The model does not name them, or two share a column.
    """
    file = Path(checkpoint, "config.json")
    if any(name.startswith("LABEL_") for name in names):
        raise ValueError(f"{file} does not name the action units: id2label is {', '.join(names)}")
    try:
        check_au_names(names)
    except ValueError as error:
        raise ValueError(f"{file}: {error}; correct id2label") from error


def check_processor(processor: AUVMAEImageProcessor, config: Any) -> None:
    """Check that the processor makes the input that the model was trained on.

    Raises:
        ValueError: Sizes or normalisations differ.
    """
    side = config.image_size
    for name, found, wanted in (
        ("size", processor.size, {"height": side, "width": side}),
        ("image_mean", list(processor.image_mean), list(config.image_mean)),
        ("image_std", list(processor.image_std), list(config.image_std)),
    ):
        if found != wanted:
            raise ValueError(f"{name} is {found} in the processor, but {wanted} in the model's configuration")


def read_recipe(fields: dict[str, Any]) -> CropRecipe:
    """Read the crop recipe of a processor.

    Raises:
        ValueError: A field is unknown or out of range.
    """
    try:
        return CropRecipe(**fields)
    except (TypeError, ValueError) as error:
        raise ValueError(f"crop in preprocessor_config.json is no recipe of `auvmae crop`: {error}") from error


def read_level(name: str) -> tuple[int, float]:
    """Return sampling rate and mask ratio of an input level.

    Raises:
        ValueError: There is no such level.
    """
    if name not in LEVELS:
        raise ValueError(f"unknown level {name!r}; choose from {', '.join(LEVELS)}")
    return LEVELS[name]
