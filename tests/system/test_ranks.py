"""Test which share of a job each launcher's environment gives, and that the shares make the outputs of one process."""

import json
import multiprocessing
import os
import threading

import pytest
import torch

from auvmae.cli.main import main
from auvmae.faces.crop_folder import crop_folder
from auvmae.system.files import locked
from auvmae.system.folder_report import VideoResult, add_to_report, save_report
from auvmae.system.hardware import choose_device
from auvmae.system.ranks import ALONE, Split, ending_together, local_rank, read_split

from ..support.drawn_faces import RECIPE, SquareDetector, write_video
from ..support.output_files import names

pytest.importorskip("cv2", reason="the extra `faces` is missing")


def array(task, first=0, count=3, step=1):
    numbers = {"ID": task, "MIN": first, "COUNT": count, "STEP": step}
    return {f"SLURM_ARRAY_TASK_{name}": str(number) for name, number in numbers.items()}


def step(rank, world):
    return {"SLURM_PROCID": str(rank), "SLURM_STEP_NUM_TASKS": str(world), "SLURM_LOCALID": str(rank)}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (0, 1)),
        ({"RANK": "1", "WORLD_SIZE": "3"}, (1, 3)),
        ({"RANK": "0", "WORLD_SIZE": "1"}, (0, 1)),
        (step(2, 8), (2, 8)),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "8"}, (0, 1)),  # the batch script, or a shell of salloc
        (step(0, 1) | {"SLURM_NTASKS": "1"}, (0, 1)),  # an interactive shell
        (step(1, 2) | {"RANK": "5", "WORLD_SIZE": "8"}, (5, 8)),  # srun starts torchrun
        (array(0, 0, 1), (0, 1)),
        (array(7, 3, 3, 2), (2, 3)),
        (array(1, count=2) | step(2, 4), (6, 8)),
        (array(1, count=2) | {"RANK": "1", "WORLD_SIZE": "2"}, (3, 4)),
    ],
)
def test_the_share_of_each_launcher(environment, expected):
    split = read_split(environment)
    assert (split.rank, split.world) == expected


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"RANK": "1"}, "RANK=1 is set without WORLD_SIZE: set both, or unset RANK"),
        ({"WORLD_SIZE": "3"}, "WORLD_SIZE=3 is set without RANK: set both"),
        ({"RANK": "3", "WORLD_SIZE": "3"}, "RANK=3 must be below WORLD_SIZE=3: number the processes from 0 to 2"),
        ({"RANK": "one", "WORLD_SIZE": "3"}, "RANK must be a whole number from 0, found 'one'"),
        ({"RANK": "-1", "WORLD_SIZE": "3"}, "RANK must be a whole number from 0, found '-1'"),
        ({"RANK": "0", "WORLD_SIZE": "0"}, "WORLD_SIZE must be a whole number from 1, found '0'"),
        ({"SLURM_STEP_NUM_TASKS": "3"}, "SLURM_STEP_NUM_TASKS=3 is set without SLURM_PROCID"),
        ({"SLURM_ARRAY_TASK_ID": "3"}, "SLURM_ARRAY_TASK_MIN must be a whole number from 0, found ''"),
        (array(5, 0, 2), "SLURM_ARRAY_TASK_ID=5 does not fit an array of 2 tasks from 0 in steps of 1: submit"),
        (array(6, 3, 3, 2), "SLURM_ARRAY_TASK_ID=6 does not fit"),
    ],
)
@pytest.mark.parametrize("command", ["predict", "crop"])
def test_a_number_that_does_not_fit_ends_the_command(monkeypatch, capsys, tmp_path, environment, message, command):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    words = ["in", "-o", str(tmp_path / "out")] if command == "predict" else ["in", str(tmp_path / "out")]
    assert main([command, *words]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"auvmae {command}: {message}")
    assert not (tmp_path / "out").exists()


def test_each_process_takes_a_gpu_of_its_own(monkeypatch):
    assert local_rank({}) == local_rank({"SLURM_LOCALID": "0", "SLURM_PROCID": "0"}) == 0
    assert local_rank(step(5, 8)) == 5
    assert local_rank(step(5, 8) | {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}) == 1
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch, "empty", lambda *_, **__: None)
    for name, value in {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "5"}.items():
        monkeypatch.setenv(name, value)
    assert str(choose_device(None)) == str(choose_device("cuda")) == "cuda:1"
    assert str(choose_device("cuda:3")) == "cuda:3"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)  # a launcher that shows each process its own GPU
    assert str(choose_device(None)) == "cuda:0"


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "in"
    for number in range(5):
        write_video(folder / f"{number % 2}" / f"{number}.mp4", 8, absent=[number])
    (folder / "broken.mp4").write_text("this is no video")
    (folder / "notes.txt").touch()
    return folder


def everything(folder):
    return {name: (folder / name).read_bytes() for name in names(folder)}


def as_ranks(monkeypatch, order, world, run):
    """Run one process after the other, in an order, and return their exit codes."""
    codes = []
    for rank in order:
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", str(world))
        codes.append(run())
    monkeypatch.delenv("RANK")
    monkeypatch.delenv("WORLD_SIZE")
    return codes


@pytest.mark.usefixtures("square")
def test_ranks_predict_what_one_process_predicts(checkpoint, videos, tmp_path, monkeypatch, capsys):
    words = [
        "predict",
        str(videos),
        "-m",
        str(checkpoint),
        "--device",
        "cpu",
        "--events",
        "--threads",
        "1",
        "-o",
        "out",
    ]
    for folder in ("one", "split"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "one")
    assert main(words) == 1
    monkeypatch.chdir(tmp_path / "split")
    assert as_ranks(monkeypatch, [2], 3, lambda: main(words)) == [0]
    assert "rank 2 of 3 (RANK, WORLD_SIZE) does 2 of 6 recordings" in capsys.readouterr().err
    report = json.loads((tmp_path / "split" / "out" / "predict_report.json").read_text())
    assert [report["done"], len(report["videos"]), len(report["left_out"])] == [2, 2, 1]
    assert as_ranks(monkeypatch, [0, 1], 3, lambda: main(words)) == [1, 0]
    assert everything(tmp_path / "split") == everything(tmp_path / "one")
    assert as_ranks(monkeypatch, range(8), 8, lambda: main(words)) == [1] + [0] * 7  # others, some without a file
    assert "rank 7 of 8 (RANK, WORLD_SIZE) does 0 of 6 recordings" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path / "one")
    assert main(words) == 1
    assert everything(tmp_path / "split") == everything(tmp_path / "one")
    assert as_ranks(monkeypatch, [0], 2, lambda: main([*words, "--neutral-from", "people.csv"])) == [2]
    assert "predict without it first, and then in one process with it" in capsys.readouterr().err


def test_ranks_crop_what_one_process_crops(videos, tmp_path, monkeypatch, capsys):
    def crop(split=ALONE):
        return crop_folder(videos, "out", RECIPE, 1, SquareDetector, split)

    monkeypatch.setattr(
        "auvmae.faces.crop_folder._in_processes", lambda crop_one, pending, *_: [crop_one(*one) for one in pending]
    )
    for folder, splits in (("one", [ALONE]), ("split", [Split(rank, 3, "RANK") for rank in (1, 0, 2)])):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        assert sum(len(crop(split)) for split in splits) == 6
    assert "rank 0 of 3 (RANK) does 2 of 6 videos" in capsys.readouterr().err
    assert everything(tmp_path / "split") == everything(tmp_path / "one")


def result(number, status="done"):
    return VideoResult(f"{number}.mp4", f"{number}.csv", status, frames=number)


def _add(path, rank, start):
    start.wait()
    add_to_report(path, [f"{number}.csv" for number in range(40)], [result(n) for n in range(rank, 40, 4)])


def test_reports_of_processes_that_end_together_lose_nothing(tmp_path):
    path = tmp_path / "report.json"
    context = multiprocessing.get_context("fork" if hasattr(os, "fork") else None)
    start = context.Barrier(4)
    processes = [context.Process(target=_add, args=(path, rank, start)) for rank in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    save_report(tmp_path / "one.json", [*map(result, range(40))])
    assert path.read_bytes() == (tmp_path / "one.json").read_bytes()
    assert names(tmp_path) == ["one.json", "report.json"]


@pytest.mark.parametrize("content", [b"", b"[]", b'{"videos": 3}', b'{"videos": [3]}', b'{"videos": [{"a": 1}]}'])
def test_a_damaged_report_is_written_anew(tmp_path, content):
    path = tmp_path / "report.json"
    path.write_bytes(content)
    add_to_report(path, ["1.csv", "2.csv"], [result(2)])
    assert [one["output"] for one in json.loads(path.read_text())["videos"]] == ["2.csv"]


def test_a_file_system_without_locks_is_refused(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", flock)
    with (
        pytest.raises(OSError, match=r"cannot lock .*report.json \(Function not implemented\): give each rank"),
        locked(tmp_path / "report.json"),
    ):
        pass


def test_ranks_of_an_elastic_launcher_end_together(monkeypatch):
    server = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True)
    for name, value in {
        "TORCHELASTIC_RUN_ID": "none",
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(server.port),
        "RANK": "0",
        "WORLD_SIZE": "2",
    }.items():
        monkeypatch.setenv(name, value)
    ended = []

    def run(name):
        with ending_together(Split(0, 2)):
            ended.append(name)
        ended.append(name)

    first = threading.Thread(target=run, args=("first",))
    first.start()
    first.join(0.3)
    assert ended == ["first"]
    run("second")
    first.join()
    assert sorted(ended) == ["first", "first", "second", "second"]
