"""Describe the machine and the versions, as every benchmark prints them first."""

import platform
from importlib.metadata import version

import torch

PACKAGES = ("torch", "transformers", "numpy")


def describe_machine(*packages: str) -> str:
    """Describe processor, cores, threads and versions in one line."""
    with open("/proc/cpuinfo") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    versions = ", ".join(f"{name} {version(name)}" for name in (*PACKAGES, *packages))
    name = models[0] if models else platform.processor()
    cores = f"{len(models)} cores, {torch.get_num_threads()} threads"
    return f"{name}, {cores}, Python {platform.python_version()}, {versions}"
