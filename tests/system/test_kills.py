"""Kill writers before every change to the file system, and write again."""

import itertools
import os
import signal
import sys

import pytest

from auvmae.evaluation.tables import Row, Table
from auvmae.system.files import replacing_folder, save_json
from auvmae.system.leftovers import remove_leftovers_once

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir"}
WRITING = os.O_WRONLY | os.O_RDWR


def write_model(folder):
    """As `export` and `convert` do."""
    with replacing_folder(folder / "model") as model:
        for name in ("config.json", "model.onnx"):
            (model / name).write_text(f"the {name} of this run")


def write_tables(folder):
    """As `summarize` does."""
    Table("f1", "F1", ["AU1"], [Row("ours", "computed", [0.5])], []).save(folder)


def write_record(folder):
    """As `stats` and the training scripts do."""
    save_json({"steps": 4}, folder / "metrics.json")


def killed(write, folder, moment):
    """Write in a fork that is killed before its change number `moment`; False if it had finished."""
    child = os.fork()
    if not child:
        moments = itertools.count()

        def kill(event, arguments):
            changes = event in CHANGES or (event == "open" and arguments[2] & WRITING)
            if changes and next(moments) == moment:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(kill)
        write(folder)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("again", [False, True], ids=["new", "again"])
@pytest.mark.parametrize("write", [write_model, write_tables, write_record])
def test_a_writer_killed_at_any_moment_leaves_nothing_after_the_next_run(tmp_path, write, again):
    whole = tmp_path / "whole"
    whole.mkdir()
    write(whole)
    for moment in itertools.count():
        folder = tmp_path / f"{moment:02d}"
        folder.mkdir()
        if again:
            write(folder)
        remove_leftovers_once.cache_clear()
        if not killed(write, folder, moment):
            break
        remove_leftovers_once.cache_clear()  # the next run is another process
        write(folder)
        assert contents(folder) == contents(whole)
        assert not [path for path in folder.rglob("*") if path.suffix in (".tmp", ".old")]
    assert moment >= 2
