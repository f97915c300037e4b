"""Check examples without running them: commands by their real parsers, Python by its imports."""

import ast
import importlib
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from accelerate.commands.launch import launch_command_parser

import run_finetune
import run_pretrain
from auvmae.cli.main import build_parser
from auvmae.runs.arguments_finetune import FoldArguments
from auvmae.runs.recipe import given_flags

from .doc_examples import Example
from .paths import ROOT

SCRIPTS = {
    "run_finetune.py": (FoldArguments.CLASSES, run_finetune.DEFAULT_RECIPE),
    "run_pretrain.py": (run_pretrain.ARGUMENTS, run_pretrain.DEFAULT_RECIPE),
}
JSON_FLAGS = ("dataset_options", "test_dataset_options", "more_datasets", "model_config")
SEPARATORS = {"&&", "||", "|", ";", "&", ">", ">>", "<", "(", ")"}
WORDS_BEFORE = {"do", "then", "else", "if", "while", "time", "exec", "!"}


def commands_of(code: str) -> Iterator[list[str]]:
    """Split shell code into commands, each a list of words; comments and redirections are left out.

    >>> list(commands_of("A=1 auvmae crop 'a b' \\\\\\n  c  # why\\nls | wc -l > x"))
    [['auvmae', 'crop', 'a b', 'c'], ['ls'], ['wc', '-l'], ['x']]
    """
    for line in code.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word not in SEPARATORS:
                words.append(word)
                continue
            while words and (words[0] in WORDS_BEFORE or re.match(r"[A-Za-z_]\w*=", words[0])):
                words.pop(0)
            if words:
                yield words
            words = []


def check_example(example: Example) -> None:
    """Parse every command of ours in a shell block, or compile a Python block and look up its imports.

    The working folder is the repository's root, where recipes and scripts are.

    Raises:
        AssertionError: A command, a flag, a file or a name does not exist.
    """
    if example.language == "python":
        check_imports(example)
        return
    for words in commands_of(example.code):
        try:
            check_command(words)
        except SystemExit as error:  # argparse has written why to standard error
            if error.code:
                raise AssertionError(f"{example}: {shlex.join(words)}") from error
        except (ValueError, OSError) as error:
            raise AssertionError(f"{example}: {shlex.join(words)}: {error}") from error


def check_command(words: list[str]) -> None:
    """Parse one command; a last word `...` stands for what the reader adds."""
    if words[-1] == "..." and not words[-2].startswith("--"):
        words = words[:-1]
    match words:
        case ["auvmae", *arguments]:
            build_parser().parse_args(arguments)
        case ["accelerate", "launch", *arguments]:
            launched = launch_command_parser().parse_args(arguments)
            assert launched.config_file is None or Path(launched.config_file).is_file(), launched.config_file
            check_command(["python", launched.training_script, *launched.training_script_args])
        case ["python", "-m", module, *_]:
            assert importlib.util.find_spec(module), f"there is no module {module}"
        case ["python", script, *arguments] if script.endswith(".py"):
            assert (ROOT / script).is_file(), f"there is no {script}"
            if script in SCRIPTS:
                _check_script(script, arguments)
        case ["make", *targets]:
            known = re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text())
            assert {*targets} <= {*known}, f"the Makefile has no target {' '.join(targets)}"


def _check_script(script: str, arguments: list[str]) -> None:
    if {"-h", "--help"} & {*arguments}:
        return
    classes, recipe = SCRIPTS[script]
    given = given_flags(classes, arguments, recipe)
    for name in JSON_FLAGS:
        if name in given and given[name] != "...":
            json.loads(given[name])


def check_imports(example: Example) -> None:
    """Compile Python code; whatever it imports of this package must be there."""
    for node in ast.walk(ast.parse(example.code)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                importlib.import_module(alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "auvmae":
            module = importlib.import_module(node.module)
            missing = [alias.name for alias in node.names if not hasattr(module, alias.name)]
            assert not missing, f"{example}: {node.module} has no {', '.join(missing)}"
