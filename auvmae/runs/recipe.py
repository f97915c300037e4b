"""Parse a recipe and the command-line flags that override it.

A recipe is a YAML file of command-line flags without their dashes. The value `null` omits a flag. Scalars are those of
YAML 1.2: `no` is text, and `1e-4` is a number.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import HfArgumentParser

from ..system.yaml_file import read_yaml
from .ranges import RANGES, check_flags


def parse_arguments(
    argument_classes: Sequence[type], argv: Sequence[str] | None = None, default_recipe: str | Path | None = None
) -> tuple[Any, ...]:
    """Parse `[recipe.yaml] [--flag value ...]` into one object per class.

    Args:
        argument_classes: Dataclasses for `HfArgumentParser`.
        argv: Arguments without the name of the program; those of the process if None.
        default_recipe: Recipe to use if `argv` names none.

    Returns:
        One object per class, in order.

    Raises:
        FileNotFoundError: The recipe does not exist.
        ValueError: The recipe is not a mapping, contains an unknown flag, or a value is out of its range.
    """
    parser, arguments = _parser_and_arguments(argument_classes, argv, default_recipe)
    check_flags(vars(parser.parse_known_args(arguments)[0]), {name: parser.get_default(name) for name in RANGES})
    return parser.parse_args_into_dataclasses(arguments)


def given_flags(
    argument_classes: Sequence[type], argv: Sequence[str] | None = None, default_recipe: str | Path | None = None
) -> dict[str, str]:
    """Return the flags that differ from their defaults, by name, as text.

    The arguments are those of `parse_arguments`.
    """
    parser, arguments = _parser_and_arguments(argument_classes, argv, default_recipe)
    values, defaults = vars(parser.parse_args(arguments)), vars(parser.parse_args([]))
    return {name: str(value) for name, value in sorted(values.items()) if value != defaults[name]}


def _parser_and_arguments(
    argument_classes: Sequence[type], argv: Sequence[str] | None, default_recipe: str | Path | None
) -> tuple[HfArgumentParser, list[str]]:
    arguments = list(sys.argv[1:] if argv is None else argv)
    recipe = Path(arguments.pop(0)) if arguments and not arguments[0].startswith("-") else default_recipe
    parser = HfArgumentParser(list[Any](argument_classes))
    recipe_arguments = [] if recipe is None else _recipe_arguments(Path(recipe), parser, arguments)
    return parser, recipe_arguments + arguments


def _recipe_arguments(path: Path, parser: HfArgumentParser, overrides: list[str]) -> list[str]:
    if not path.is_file():
        raise FileNotFoundError(f"Recipe {str(path)!r} not found. The published recipes are in recipes/.")
    recipe = read_yaml(path)
    if not isinstance(recipe, dict):
        raise ValueError(f"{path}: a recipe must be a mapping of flags to values, found {type(recipe).__name__}.")
    known = {option.removeprefix("--"): action for action in parser._actions for option in action.option_strings}
    unknown = sorted(map(str, recipe.keys() - known.keys()))
    if unknown:
        raise ValueError(f"{path}: unknown flags: {', '.join(unknown)}. `--help` lists all flags.")
    dataset = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    dataset.add_argument("--dataset", default=recipe.get("dataset"))
    if dataset.parse_known_args(overrides)[0].dataset != recipe.get("dataset"):
        recipe.pop("dataset_options", None)  # they belong to the dataset of the recipe
    arguments = []
    for flag, value in recipe.items():
        if value is None:
            continue
        is_json = isinstance(value, list) and known[flag].nargs != "+" and all(isinstance(item, dict) for item in value)
        values = value if isinstance(value, list) and not is_json else [value]
        texts = (json.dumps(item) if isinstance(item, dict | list) else str(item) for item in values)
        arguments += [f"--{flag}", *texts]
    return arguments
