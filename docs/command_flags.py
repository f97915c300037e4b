"""Render the flags of `auvmae` and of the two scripts from their parsers.

The directive `command-flags` takes "auvmae" for a section per sub-command, or the name of a script. Every flag becomes
a Sphinx option, so that pages can link to it and a link to a flag that does not exist fails the build.
"""

import argparse
import dataclasses
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from textwrap import dedent
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from transformers import HfArgumentParser, TrainingArguments

import run_pretrain
from auvmae.cli.main import build_parser
from auvmae.runs.arguments_finetune import FoldArguments

SCRIPTS: dict[str, tuple[type, ...]] = {
    "run_finetune.py": FoldArguments.CLASSES,
    "run_pretrain.py": run_pretrain.ARGUMENTS,
}
"""Script -> the classes of its arguments."""

CODE = re.compile(
    r"`[^`]*`"  # is code already
    r"|(?<![\w-])--?[a-zA-Z][\w-]*(?:=\w+)?"  # a flag
    r"|(?<!\w)\{[^}]*\}"  # JSON
    r"|[\w./{}*-]*[\w}*]_\w*[\w./]*"  # a name with an underscore
    r"|\b[A-Z]+/[\w./]+|\b[\w*/][\w*/.]*\.(?:py|csv|png|mp4|json|onnx|eaf|parquet|pt|pth|yaml|npz)\b"  # a file
)


class CommandFlags(SphinxDirective):
    """Add the flags of one program to a page."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Render Markdown and let the page's parser read it."""
        self.env.note_dependency(str(Path(__file__)))
        name = self.arguments[0]
        text = "\n".join(_script(name) if name in SCRIPTS else _commands(build_parser()))
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def markdown(text: str) -> str:
    """Mark flags, files and names in a help text as code, and escape the rest."""
    pieces, end = [], 0
    for match in CODE.finditer(text):
        pieces += [_escaped(text[end : match.start()]), f"`{match[0].strip('`')}`"]
        end = match.end()
    return "".join([*pieces, _escaped(text[end:])])


def _escaped(text: str) -> str:
    return re.sub(r"([\\*_<>\[\]#$~])", r"\\\1", text)


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Give the parser of each sub-command."""
    (action,) = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return action.choices


def _commands(parser: argparse.ArgumentParser) -> Iterator[str]:
    for name, command in subcommands(parser).items():
        yield f"## `{command.prog}`\n"
        yield from _description(command.description or "")
        yield f"```text\n{_usage(command)}\n```\n"
        yield from _options(f"auvmae {name}", command._actions)


def _description(text: str) -> Iterator[str]:
    """Render paragraphs as text, and what is indented as a code block."""
    for indented, lines in groupby(text.strip().splitlines(), key=lambda line: line.startswith("  ")):
        block = "\n".join(lines)
        yield f"```text\n{dedent(block)}\n```\n" if indented else markdown(block) + "\n"


def _usage(parser: argparse.ArgumentParser) -> str:
    formatter = argparse.HelpFormatter(parser.prog, width=72)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups, "")
    return formatter.format_help().strip()


def _script(name: str) -> Iterator[str]:
    parser = HfArgumentParser(list[Any](SCRIPTS[name]))
    actions = {action.dest: action for action in parser._actions}
    for title, fields in _own_fields(SCRIPTS[name]):
        yield f"### {title}\n"
        yield from _options(name, [actions[field] for field in fields], with_defaults=True)


def _own_fields(classes: tuple[type, ...]) -> Iterator[tuple[str, list[str]]]:
    """Give a title and fields for each of our argument classes and their bases."""
    shown: set[str] = set()
    theirs = set(TrainingArguments.__mro__)
    for kind in classes:
        for base in reversed(kind.__mro__):
            if dataclasses.is_dataclass(base) and base not in theirs:
                names = [name for name in base.__annotations__ if name in base.__dataclass_fields__]
                if new := [name for name in names if name not in shown]:
                    shown.update(new)
                    yield TITLES[base.__name__], new


TITLES = {
    "ModelArguments": "Weights",
    "DataArguments": "Dataset",
    "ProtocolArguments": "Protocol",
    "LevelArguments": "Input levels",
    "LossArguments": "Loss",
    "PretrainArguments": "Masking",
    "FinetuneArguments": "Fine-tuning techniques",
    "RunArguments": "Flags of TrainingArguments with another default",
}
"""Class of arguments -> the heading of its flags."""


def _options(program: str, actions: list[argparse.Action], with_defaults: bool = False) -> Iterator[str]:
    yield f"```{{program}} {program}\n```\n"
    for action in actions:
        if not isinstance(action, argparse._HelpAction):
            default = _default(action.default) if with_defaults else ""
            yield f"```{{option}} {_signature(action)}\n{markdown(action.help or '')}{default}\n```\n"


def _signature(action: argparse.Action) -> str:
    value = "" if action.nargs == 0 or isinstance(action.default, bool) else _value(action)
    names = [name for name in action.option_strings if "_" not in name or name.replace("_", "-") not in _twins(action)]
    if action.default is True:
        names.append(f"--no_{action.dest}")
    return ", ".join(f"{name} {value}".strip() for name in names) or str(action.metavar or action.dest)


def _twins(action: argparse.Action) -> set[str]:
    return {name for name in action.option_strings if "-" in name.lstrip("-")}


def _value(action: argparse.Action) -> str:
    if action.choices:
        value = "{" + ",".join(map(str, action.choices)) + "}"
    else:
        value = str(action.metavar or action.dest.upper())
    return {"?": f"[{value}]", "+": f"{value} ...", "*": f"[{value} ...]"}.get(str(action.nargs), value)


def _default(value: object) -> str:
    if value is None or isinstance(value, bool) or value in ("{}", "[]"):
        return ""
    shown = " ".join(map(str, value)) if isinstance(value, list) else getattr(value, "value", value)
    return f" Default: `{shown}`."


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("command-flags", CommandFlags)
    return {"parallel_read_safe": True}
