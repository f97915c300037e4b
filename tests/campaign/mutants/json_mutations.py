"""Change single fields of JSON files."""

import json
import math
from typing import Any

from numpy.random import Generator

DELETED = "(deleted)"
VALUES: tuple[Any, ...] = (None, "x", "", -1, 0, 1.5, [], {}, True, 1e9, math.nan, [None], ["x"], {"x": 1}, DELETED)


def fields(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List the paths of all fields, of nested mappings and lists too."""
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    found = []
    for name, value in inner:
        found += [(*path, name), *fields(value, (*path, name))]
    return found


def change_field(text: str, rng: Generator) -> tuple[tuple[Any, ...], Any, str]:
    """Give one field of a JSON text another value, or delete it.

    Returns:
        The path of the field, its new value, and the new text.
    """
    content = json.loads(text)
    paths = fields(content)
    path = paths[rng.integers(len(paths))]
    holder = content
    for name in path[:-1]:
        holder = holder[name]
    value = VALUES[rng.integers(len(VALUES))]
    if value == DELETED:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return path, value, json.dumps(content, indent=1)
