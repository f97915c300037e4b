"""The `auvmae` command: what it lists, and what it says to nonsense."""

import pytest

from auvmae.cli import build_parser, main


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    for command in ("compare", "crop", "reconstruct", "stats", "summarize"):
        assert f"    {command}" in printed


@pytest.mark.parametrize("argv", [[], ["no-such-command"]])
def test_nonsense_ends_with_usage(argv, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(argv)
    assert stopped.value.code == 2
    assert "usage: auvmae" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv",
    [
        ["compare", "a", "b"],
        ["crop", "in", "out"],
        ["reconstruct", "in", "-m", "model", "-o", "out"],
        ["stats"],
        ["summarize", "run"],
    ],
)
def test_every_command_has_a_run_function(argv):
    assert callable(build_parser().parse_args(argv).run)
