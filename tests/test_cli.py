"""The `auvmae` command: what it lists, and what it says to nonsense."""

import pytest

from auvmae.cli import build_parser, main


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    for command in ("predict", "crop", "stats"):
        assert f"\n    {command} " in printed


@pytest.mark.parametrize("argv", [[], ["no-such-command"]])
def test_nonsense_ends_with_usage(argv, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(argv)
    assert stopped.value.code == 2
    assert "usage: auvmae" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["predict", "a.mp4", "-m", "model", "-o", "out"], ["crop", "in", "out"], ["stats"]])
def test_every_command_has_a_run_function(argv):
    assert callable(build_parser().parse_args(argv).run)
