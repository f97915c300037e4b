"""Read YAML without the surprises of its version 1.1."""

import re
from pathlib import Path
from typing import Any

import yaml

AMBIGUOUS = re.compile(r"[-+]?(0[0-9_]+|0[xob]\w+|[0-9][0-9_]*_[0-9_.]*|[0-9][0-9_]*(:[0-9]+)+(\.[0-9]*)?)")
"""What YAML 1.1 reads as an octal, hexadecimal, sexagesimal or grouped number: 010 as 8, 1:30 as 90."""


class _Loader(yaml.SafeLoader):
    """Load each key once, and the scalars of YAML 1.2.

    There, `no` is text and `1e-4` is a number.
    """

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping without repeated keys."""
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key.value!r} is there twice; keep one", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def refuse(self, node: yaml.ScalarNode) -> None:
        """Refuse a number that YAML 1.1 reads in another way than people do."""
        problem = f'{node.value} is another number to some readers; write "{node.value}" in quotes, or a plain number'
        raise yaml.constructor.ConstructorError(problem=problem, problem_mark=node.start_mark)


for _tag, _pattern, _first in (
    ("tag:auvmae,2026:ambiguous", AMBIGUOUS.pattern, "-+0123456789"),
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:bool", "true|True|TRUE|false|False|FALSE", "tTfF"),
    ("tag:yaml.org,2002:int", "[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    (
        "tag:yaml.org,2002:float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
):
    _Loader.add_implicit_resolver(_tag, re.compile(f"(?:{_pattern})$"), list(_first))
_Loader.add_constructor("tag:auvmae,2026:ambiguous", _Loader.refuse)
_Loader.add_constructor(
    "tag:yaml.org,2002:float", lambda loader, node: float(node.value.replace(".inf", "inf").replace(".nan", "nan"))
)


def read_yaml(path: Path) -> Any:
    """Read a YAML file.

    Raises:
        ValueError: The file is not YAML, or holds a key twice or an ambiguous number. The message names the line.
    """
    try:
        return yaml.load(path.read_bytes(), _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise ValueError(f"{path}{line}: {error.problem}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} is not a YAML file in UTF-8: {reason}.") from None
