"""Test the command itself; each sub-command is tested in its own module."""

import io
import sys

import pytest

from auvmae.cli.main import build_parser, main

COMMANDS = {
    "animate": ["a.jpg", "--sheet", "sheet.png"],
    "compare": ["a", "b"],
    "convert": ["in.pth", "out"],
    "crop": ["in", "out"],
    "demo": ["-m", "model"],
    "describe": ["predictions", "-o", "out"],
    "export": ["model", "-o", "out"],
    "predict": ["a.mp4", "-m", "model", "-o", "out"],
    "push": ["run", "me/name"],
    "reconstruct": ["in", "-m", "model", "-o", "out"],
    "stats": [],
    "summarize": ["run"],
}


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    assert [name for name in COMMANDS if f"\n    {name}" not in printed] == []


@pytest.mark.parametrize("argv", [[], ["no-such-command"]])
def test_nonsense_ends_with_usage(argv, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(argv)
    assert stopped.value.code == 2
    assert "usage: auvmae" in capsys.readouterr().err


def test_what_the_terminal_cannot_encode_is_written_as_escapes(monkeypatch, tmp_path):
    written = io.BytesIO()
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(written, "ascii", write_through=True))
    assert main(["reconstruct", str(tmp_path / "\u9762.mp4"), "-m", str(tmp_path / "\u8bd5"), "-o", str(tmp_path)]) == 2
    assert rb"\u" in written.getvalue()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_run_function(name):
    assert callable(build_parser().parse_args([name, *COMMANDS[name]]).run)
