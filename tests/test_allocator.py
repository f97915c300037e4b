"""Freed memory that stays with the process, by the pages that the system has to hand out."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from auvmae.allocator import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()
import torch

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

for _ in range(3):
    torch.ones(16_000_000)  # 64 MB
before = faults()
for _ in range(5):
    torch.ones(16_000_000)
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_memory_is_handed_out_once():
    faults = {}
    for name in ("keep", "leave"):
        done = subprocess.run([sys.executable, "-c", PROGRAM, name], capture_output=True, text=True, check=True)
        faults[name] = int(done.stdout)
    assert faults["leave"] > 100
    assert faults["keep"] < 10
