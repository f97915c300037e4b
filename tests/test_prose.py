"""The rules of the project's English that a program can check."""

import argparse
import dataclasses
import re

import pytest

from auvmae.cli.main import build_parser
from auvmae.runs import arguments, arguments_finetune, arguments_protocol

from .support.paths import ROOT
from .support.prose import (
    CODE,
    DOCUMENTS,
    VERBS,
    docstrings,
    prose_of_code,
    prose_of_document,
    sentences,
    translated,
)


def name(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", CODE, ids=name)
def test_docstrings_begin_with_an_imperative(path):
    wrong = []
    for line, text in docstrings(path):
        first, *rest = text.splitlines()
        verb = re.split(r"[ ,.]", first)[0]
        if len(first) > 80 or not first.endswith(".") or re.search(r"[:?]", first.replace("::", "")):
            wrong.append(f"line {line}: one sentence of at most 80 characters, no colon, no question: {first!r}")
        elif verb[:1].islower() or verb.lower() not in VERBS:
            wrong.append(f"line {line}: begins with {verb!r}, which is no imperative verb of VERBS: {first!r}")
        elif rest and rest[0]:
            wrong.append(f"line {line}: an empty line comes after {first!r}")
    assert wrong == []


@pytest.mark.parametrize("path", CODE, ids=name)
def test_code_uses_the_words_of_the_field(path):
    assert translated(prose_of_code(path)) == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_documents_use_the_words_of_the_field(path):
    assert translated(prose_of_document(path)) == []


@pytest.mark.parametrize(
    "path", [path for path in DOCUMENTS if "docs" in path.parts or path.name == "README.md"], ids=name
)
def test_sentences_are_short(path):
    assert [sentence for sentence in sentences(path) if len(sentence.split()) > 25] == []


def flags_of_commands():
    (commands,) = [action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction)]
    for command, parser in commands.choices.items():
        for action in parser._actions:
            if not isinstance(action, argparse._HelpAction):
                yield pytest.param(action.help, id=f"{command} {'/'.join(action.option_strings) or action.dest}")


def flags_of_scripts():
    for module in (arguments, arguments_finetune, arguments_protocol):
        for kind in vars(module).values():
            if dataclasses.is_dataclass(kind) and kind.__module__ == module.__name__:
                for field in dataclasses.fields(kind):
                    if field.name in kind.__annotations__ and "help" in field.metadata:
                        yield pytest.param(field.metadata["help"], id=f"{kind.__name__} {field.name}")


@pytest.mark.parametrize("text", [*flags_of_commands(), *flags_of_scripts()])
def test_help_is_complete_without_the_name_of_its_flag(text):
    assert text
    assert len(text.split()) > 1
    assert not re.match(r"(of|as|the same|and|or|for|to|by|also|with|likewise)\b|\(", text, re.IGNORECASE)


def test_before_the_first_release_everything_is_added():
    text = (ROOT / "CHANGELOG.md").read_text()
    if "## [" not in text and "## 0." not in text:
        assert {*re.findall(r"(?m)^### (.*)$", text)} == {"Added"}


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130
