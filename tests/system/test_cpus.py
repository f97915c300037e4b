"""Test that threads and processes follow the CPUs that a process may use."""

import os
import subprocess
import sys

import pytest
import torch

from auvmae.cli.main import build_parser
from auvmae.system import cpus
from auvmae.system.cpus import default_processes, set_threads, usable_cpus, wait_asleep

from ..support.paths import ROOT


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


V2, V1 = "sys/fs/cgroup", "sys/fs/cgroup/cpu,cpuacct"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        ({"proc/self/cgroup": "0::/job\n", f"{V2}/job/cpu.max": "max 100000\n"}, 8),
        ({"proc/self/cgroup": "0::/job/step\n", f"{V2}/job/cpu.max": "300000 100000\n"}, 3),
        ({"proc/self/cgroup": "0::/\n", f"{V2}/cpu.max": "250000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/a:b\n", f"{V2}/a:b/cpu.max": "50000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/job\n", f"{V2}/job/cpu.max": "9900000 100000\n"}, 8),
        ({"proc/self/cgroup": "0::/job\n", f"{V2}/job/cpu.max": "\n"}, 8),
        (
            {
                "proc/self/cgroup": "4:memory:/x\n3:cpu,cpuacct:/docker/1\n0::/\n",
                f"{V1}/docker/1/cpu.cfs_quota_us": "400000\n",
                f"{V1}/docker/1/cpu.cfs_period_us": "100000\n",
            },
            4,
        ),
        (  # seen from inside the container
            {
                "proc/self/cgroup": "3:cpu,cpuacct:/docker/1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            2,
        ),
        (
            {
                "proc/self/cgroup": "3:cpu,cpuacct:/\n",
                f"{V1}/cpu.cfs_quota_us": "-1\n",
                f"{V1}/cpu.cfs_period_us": "100000\n",
            },
            8,
        ),
    ],
)
def test_limits_of_control_groups(tmp_path, monkeypatch, files, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {*range(8)}, raising=False)
    assert usable_cpus(write(tmp_path, files)) == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system pins no process")
def test_affinity():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cpus() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_processes_of_a_machine_share_its_cpus(monkeypatch):
    monkeypatch.setattr(cpus, "usable_cpus", lambda: 8)
    assert default_processes() == 8
    for local, expected in (("3", 2), ("16", 1), ("x", 8), ("0", 8)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", local)
        assert default_processes() == expected


def test_threads_of_torch(monkeypatch):
    found = []
    monkeypatch.setattr(torch, "set_num_threads", found.append)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    monkeypatch.setattr(cpus, "usable_cpus", lambda: 4)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    set_threads(None)
    assert found == []
    set_threads(3)
    monkeypatch.delenv("OMP_NUM_THREADS")
    set_threads(None)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    set_threads(None)
    assert found == [3, 4, 2]


def test_the_flags(capsys):
    assert build_parser().parse_args(["predict", "a.mp4", "-o", "out"]).threads is None
    assert build_parser().parse_args(["crop", "in", "out", "--threads", "2"]).threads == 2
    with pytest.raises(SystemExit):
        build_parser().parse_args(["predict", "a.mp4", "-o", "out", "--threads", "0"])
    assert "must be a whole number from 1, found '0'" in capsys.readouterr().err


def test_waiting_threads_sleep_unless_the_environment_says_otherwise(monkeypatch):
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        monkeypatch.delenv(name, raising=False)
    wait_asleep()
    assert "OMP_WAIT_POLICY" not in os.environ  # torch is there, and would not read it
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setenv("GOMP_SPINCOUNT", "5")
    wait_asleep()
    assert "OMP_WAIT_POLICY" not in os.environ
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setenv("OMP_WAIT_POLICY", "")
    monkeypatch.delenv("OMP_WAIT_POLICY")
    wait_asleep()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"


@pytest.mark.medium
@pytest.mark.parametrize("module", ["run_pretrain", "run_finetune", "auvmae.cli.main"])
def test_commands_set_the_policy_before_torch_is_loaded(module):
    names = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"}
    clean = {name: value for name, value in os.environ.items() if name not in names}
    code = f"import os, {module}; print(os.environ.get('OMP_WAIT_POLICY'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=clean, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["PASSIVE"]
