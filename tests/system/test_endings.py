"""Test the exit codes and lines of commands that are stopped."""

import errno
import os
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import pytest
from torch.utils.data import DataLoader, Dataset

from auvmae.system.endings import EXPECTED, failed, is_disk_full, run_command
from auvmae.system.files import check_writable, replacing

from ..support.paths import ROOT


def send(number):
    os.kill(os.getpid(), number)
    raise AssertionError("the signal was not delivered")


def raise_error(error):
    raise error


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals")
def test_a_signal_ends_in_one_line_and_removes_unfinished_files(tmp_path, capsys):
    def write(number):
        with replacing(tmp_path / "a.csv"):
            send(number)

    before = signal.getsignal(signal.SIGINT)  # ignored in the background of a shell
    assert run_command(lambda: write(signal.SIGINT), "auvmae") == 130
    assert capsys.readouterr().err == "auvmae: interrupted\n"
    with pytest.raises(SystemExit, match="143"):
        run_command(lambda: write(signal.SIGTERM), "auvmae")

    def write_in_vain(number):
        try:
            send(number)
        except BaseException:
            raise RuntimeError("a process of the pool was terminated") from None

    assert run_command(lambda: write_in_vain(signal.SIGINT), "auvmae") == 130
    assert run_command(lambda: write_in_vain(signal.SIGTERM), "auvmae") == 143
    assert not os.listdir(tmp_path)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals")
def test_a_signal_that_a_library_swallows_still_ends_the_command():
    def swallow():
        try:
            send(signal.SIGINT)
        except BaseException:
            return 0

    class Late:
        def __del__(self):
            send(signal.SIGINT)

    def lose():
        Late()
        signal.pause()

    assert run_command(swallow, "auvmae") == 130
    assert run_command(lose, "auvmae") == 130


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals")
@pytest.mark.parametrize(("number", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_what_a_constructor_left_half_built_says_nothing(number, code):
    program = f"""
import os, signal, sys
from auvmae.system.endings import run_command

class Bar:
    def __init__(self):
        os.kill(os.getpid(), signal.{number})
        self.pos = 0

    def __del__(self):
        self.pos

def command():
    bars = [Bar() for _ in range(2)]

sys.exit(run_command(command, "auvmae"))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (code, "auvmae: interrupted\n" if code == 130 else "")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "/out/a.csv"),
        OSError(errno.EDQUOT, "Disk quota exceeded", "/out/a.csv"),
        RuntimeError("I/O error: No space left on device (os error 28), /out/a.csv"),
    ],
)
def test_a_full_disk_is_one_line(error, capsys):
    assert run_command(lambda: raise_error(error), "run_pretrain.py") == 1
    line = capsys.readouterr().err
    assert line.startswith("run_pretrain.py: ")
    assert "/out/a.csv" in line
    assert line.count("\n") == 1
    assert failed("auvmae", error) == 1
    assert failed("auvmae", ValueError("no")) == 2
    with pytest.raises(ZeroDivisionError):
        run_command(lambda: 1 / 0, "auvmae")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device")
def test_a_file_on_a_full_disk_is_named_and_removed(tmp_path):
    def write():
        with replacing(tmp_path / "a.csv") as file:
            os.dup2(os.open("/dev/full", os.O_WRONLY), file.fileno())
            file.write("rows")

    with pytest.raises(OSError, match="No space left") as caught:
        write()
    assert caught.value.filename == str(tmp_path / "a.csv")
    assert not os.listdir(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")
@pytest.mark.parametrize(("target", "code", "line"), [("pipe", 141, b""), ("/dev/full", 1, b"auvmae: ")])
def test_output_that_nobody_takes(target, code, line):
    script = "import sys; from auvmae.system.endings import run_command\n"
    script += "sys.exit(run_command(lambda: print('row\\n' * 9), 'auvmae'))"
    if target == "pipe":
        reader, out = os.pipe()
        os.close(reader)
    else:
        out = os.open(target, os.O_WRONLY)
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, stdout=out, stderr=subprocess.PIPE, check=False)
    os.close(out)
    assert done.returncode == code
    assert done.stderr.startswith(line)
    assert done.stderr.count(b"\n") == bool(line)


@pytest.mark.parametrize("name", ["file", "file/below", "/proc/auvmae"])
def test_an_output_that_cannot_be_written_is_refused(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"is a file|cannot write to .*Choose another output folder"):
        check_writable(tmp_path / name)
    check_writable(tmp_path / "new" / "folder")
    assert not os.listdir(tmp_path / "new" / "folder")


def test_errors_that_lead_to_each_other_end():
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__context__ = second, first
    assert not is_disk_full(first)
    second.__context__ = OSError(errno.ENOSPC, "full")
    assert is_disk_full(first)


def test_a_killed_worker_is_said_in_one_line(capsys):
    with ProcessPoolExecutor(1) as pool:
        assert run_command(lambda: pool.submit(os._exit, 1).result(), "auvmae") == 1
    assert capsys.readouterr().err.startswith("auvmae: a worker process was killed (out of memory?)")


class Failing(Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        try:
            raise EOFError("too short")
        except EOFError as error:
            raise OSError(f"a.tar is damaged: {error}. Copy it again.") from error


def test_an_error_of_a_loader_worker_is_one_line(capsys):
    command = partial(list, DataLoader(Failing(), num_workers=1))
    assert run_command(command, "run_pretrain.py", EXPECTED) == 2
    assert capsys.readouterr().err == "run_pretrain.py: a.tar is damaged: too short. Copy it again.\n"
