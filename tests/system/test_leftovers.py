"""Test which temporary files are removed, and which are kept or put back."""

import os
import subprocess
import sys

import pytest

from auvmae.system import leftovers
from auvmae.system.files import replacing_folder, whole_file
from auvmae.system.leftovers import PATIENCE, remove_leftovers, temporary_sibling

from ..support.paths import ROOT
from ..support.processes import dead_sibling

KILLED = """
import os, signal, sys
from pathlib import Path
from auvmae.system.files import replacing_folder, whole_file
folder = Path(sys.argv[1])
with whole_file(folder / "a.csv") as file, replacing_folder(folder / "model") as model:
    file.touch()
    (model / "weights").touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_what_a_killed_process_left_is_removed_by_the_next_write(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED, tmp_path], cwd=ROOT, check=False)
    assert len(list(tmp_path.glob("*.tmp"))) == 2
    with whole_file(tmp_path / "other.csv") as file:
        file.touch()
    assert os.listdir(tmp_path) == ["other.csv"]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no zombies")
def test_a_dead_process_that_nobody_has_waited_for_is_dead(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", KILLED, tmp_path], cwd=ROOT)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert os.listdir(tmp_path)
    remove_leftovers(tmp_path)
    assert not os.listdir(tmp_path)
    child.wait()


def test_a_living_process_and_other_files_are_left_alone(tmp_path):
    living = temporary_sibling(tmp_path / "a.csv")
    reused = living.with_name(
        living.name.replace(f"{os.getpid()}-", f"{os.getpid()}-1")
    )  # the number, but not the start
    others = [tmp_path / name for name in ("a.csv.123.tmp", "a.keep.tmp", "a.1-2-3-4.tmp", "thesis.old")]
    for path in (living, reused, *others):
        path.touch()
    remove_leftovers(tmp_path)
    assert {*tmp_path.iterdir()} == {living, *others}


def test_files_of_other_machines_are_kept_for_a_week(tmp_path, monkeypatch):
    young, old = dead_sibling(tmp_path / "young"), dead_sibling(tmp_path / "old")
    for path in (young, old):
        path.touch()
    os.utime(old, (0, os.path.getmtime(young) - PATIENCE - 60))
    monkeypatch.setattr(leftovers, "_machine", lambda: "00000000")
    remove_leftovers(tmp_path)
    assert [*tmp_path.iterdir()] == [young]


def test_a_folder_moved_aside_by_a_killed_process_is_put_back(tmp_path):
    """It was killed between the two renames of `replacing_folder`."""
    for name in ("model", "other"):
        dead_sibling(tmp_path / name, "old").mkdir()
        dead_sibling(tmp_path / name).mkdir()
    (tmp_path / "other").mkdir()
    (dead_sibling(tmp_path / "link")).symlink_to(tmp_path / "other")
    remove_leftovers(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["model", "other"]


def test_a_failed_write_leaves_what_was_there(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").touch()
    (tmp_path / "a.csv").write_text("before")
    for writer, path in ((replacing_folder, tmp_path / "model"), (whole_file, tmp_path / "a.csv")):
        with pytest.raises(KeyboardInterrupt), writer(path):
            raise KeyboardInterrupt
    assert sorted(os.listdir(tmp_path)) == ["a.csv", "model"]
    assert (tmp_path / "model" / "config.json").exists()


@pytest.mark.parametrize("letter", ["x", "ü"])
def test_the_longest_name_that_a_file_may_have_can_be_written(tmp_path, letter):
    path = tmp_path / (letter * (255 // len(letter.encode()) - 4) + ".csv")
    with whole_file(path) as temporary:
        temporary.write_text("all")
    assert path.read_text() == "all"
