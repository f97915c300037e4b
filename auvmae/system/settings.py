"""Check the types and ranges of settings, and parse them from JSON."""

import json
import math
import re
from argparse import ArgumentTypeError
from collections.abc import Mapping
from numbers import Integral, Real
from os import PathLike
from types import NoneType, UnionType
from typing import Any, get_args

INTERVAL = re.compile(r"([\[(])(\S+), (\S+)([\])])")


def check_range(name: str, value: Any, interval: str) -> None:
    """Check that a setting lies in an interval.

    Args:
        name: Name for the error message, e.g. `--learning_rate`.
        value: A number, or None for a setting that is not given.
        interval: Interval in mathematical notation, e.g. `[0, 1)` or `(0, inf)`. Infinity is never in it.

    Raises:
        ValueError: The value is not a finite number in the interval.
    """
    if value is None:
        return
    parts = INTERVAL.fullmatch(interval)
    assert parts is not None
    low, high = float(parts[2]), float(parts[3])
    above = low <= value if parts[1] == "[" else low < value
    below = value <= high if parts[4] == "]" else value < high
    if not (above and below and math.isfinite(value)):
        smallest = f"at least {low:g}" if parts[1] == "[" else f"above {low:g}"
        finite = "" if math.isfinite(value) else "a finite number "
        expected = f"{finite}{smallest}" if math.isinf(high) else f"a number in {interval}"
        raise ValueError(f"{name} must be {expected}, found {value!r}.")


def parse_json(text: str, name: str, kind: type = dict) -> Any:
    """Parse a setting that is given as JSON.

    Args:
        text: The JSON.
        name: Name for the error message, e.g. `--dataset_options`.
        kind: Expected type: dict or list.

    Raises:
        ValueError: The text is not JSON or holds another type, a key twice, or NaN or infinity.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for key, _ in pairs:
            if [other for other, _ in pairs].count(key) > 1:
                raise ValueError(f"the key {key!r} is there twice")
        return dict(pairs)

    def finite(constant: str) -> float:
        raise ValueError(f"{constant} is not a finite number")

    example = '{"key": value}' if kind is dict else "[...]"
    try:
        value = json.loads(text, object_pairs_hook=unique, parse_constant=finite)
    except ValueError as error:
        raise ValueError(f"{name} must be JSON such as {example}, found {text!r}: {error}.") from None
    if not isinstance(value, kind):
        raise ValueError(f"{name} must be JSON such as {example}, found {text!r}.")
    return value


def parse_options(text: str, flag: str, flags: Mapping[str, str]) -> dict[str, Any]:
    """Parse options that are given as JSON, and refuse those that a flag sets.

    Args:
        text: The JSON.
        flag: Name of the flag that holds the options.
        flags: Flag of each option that has one.

    Raises:
        ValueError: The text is not a JSON mapping, or an option repeats a flag.
    """
    options: dict[str, Any] = parse_json(text, flag)
    refuse_repeated(options, flag, flags)
    return options


def refuse_repeated(options: Mapping[str, Any], flag: str, flags: Mapping[str, str]) -> None:
    """Refuse options that a flag sets; see `parse_options`."""
    for name in options.keys() & flags.keys():
        raise ValueError(f"{flag} sets {name} to {options[name]!r}. Set it with {flags[name]} only.")


def check_type(name: str, value: Any, expected: Any) -> None:
    """Check the type of a setting.

    Args:
        name: Name for the error message.
        value: The setting.
        expected: Annotation made of bool, int, float, str, None and sequences of them. Text includes paths.

    Raises:
        ValueError: The value has another type.
    """
    kinds = get_args(expected) if isinstance(expected, UnionType) else (expected,)
    if not any(_fits(value, kind) for kind in kinds):
        words = " or ".join(_WORDS.get(kind, "a list of whole numbers") for kind in kinds if kind is not NoneType)
        raise ValueError(f"{name} must be {words}, found {value!r}.")


_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", list[str]: "a list of names"}


def _fits(value: Any, kind: Any) -> bool:
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    if get_args(kind):
        return isinstance(value, list | tuple) and all(_fits(item, get_args(kind)[0]) for item in value)
    return isinstance(value, {int: Integral, float: Real, str: str | PathLike}.get(kind, kind))


def at_least_one(text: str) -> int:
    """Read a whole number from 1, as the `type` of a flag.

    Raises:
        ArgumentTypeError: It is something else.
    """
    if not re.fullmatch(r"0*[1-9]\d*", text, re.ASCII):
        raise ArgumentTypeError(f"must be a whole number from 1, found {text!r}")
    return int(text)
