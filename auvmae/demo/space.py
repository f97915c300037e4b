"""The page as a Hugging Face Space: a folder to upload, which needs nothing but what is on the Hub and on PyPI."""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import requires, version
from pathlib import Path

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id
from packaging.requirements import Requirement

from .limits import Limits

PACKAGE = Path(__file__).parents[1]

APP = '''\
"""The page of `auvmae demo`, as a Space."""

import os

from auvmae.demo.limits import Limits
from auvmae.demo.serve import serve_page

if __name__ == "__main__":
    serve_page(os.environ.get("AUVMAE_MODEL", "{model}"), Limits({megabytes:g}, {seconds:g}))
'''

CARD = """\
---
title: Facial action units in video
sdk: gradio
sdk_version: {gradio}
python_version: "{python}"
app_file: app.py
models:
- {model}
---

The page of `auvmae demo`: choose a recording, and watch it beside a timeline of its action units.

Upload this folder: `hf upload OWNER/NAME . . --repo-type space`. The model is `{model}`; the Space's variable
AUVMAE_MODEL names another, and its secret HF_TOKEN opens a private one. `auvmae/` is the package itself.
"""


def export_space(folder: str | Path, model: str, limits: Limits) -> Path:
    """Write the Space: `app.py`, `README.md` with its settings, `requirements.txt`, and the package.

    Args:
        folder: to make.
        model: name of a checkpoint on the Hub.
        limits: what recordings are taken.

    Returns:
        The folder.

    Raises:
        ValueError: `model` is no name on the Hub.
        FileExistsError: the folder is there.
    """
    try:
        validate_repo_id(model)
    except HFValidationError as error:
        raise ValueError(f"a Space loads its model from the Hub: {error}. `auvmae push` puts one there") from error
    if Path(model).is_dir():
        raise ValueError(f"{model} is a folder, but a Space loads its model from the Hub: `auvmae push` puts it there")
    folder = Path(folder)
    folder.mkdir(parents=True)
    shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    fields = {"model": model, "gradio": version("gradio"), "python": python, **asdict(limits)}
    (folder / "app.py").write_text(APP.format(**fields))
    (folder / "README.md").write_text(CARD.format(**fields))
    (folder / "requirements.txt").write_text("".join(f"{line}\n" for line in _requirements()))
    return folder


def _requirements() -> Iterator[str]:
    """What the package needs on this version of Python, as its metadata says; Gradio is the Space's own."""
    for requirement in map(Requirement, requires(PACKAGE.name) or ()):
        if requirement.marker is None or requirement.marker.evaluate({"extra": "faces"}):
            yield f"{requirement.name}{requirement.specifier}"
