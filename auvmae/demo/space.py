"""Export the page as a Hugging Face Space, a folder ready to upload.

The Space needs nothing beyond the Hub and PyPI.
"""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import requires, version
from pathlib import Path

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id
from packaging.requirements import Requirement

from ..weights import PACKAGED
from .limits import Limits

PACKAGE = Path(__file__).parents[1]

APP = '''\
"""Serve the page of `auvmae demo` as a Space."""

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
{models}---

This Space is the page of `auvmae demo`. Choose a recording, and watch it next to a timeline of its action units.

Upload this folder with `hf upload OWNER/NAME . . --repo-type space`. The model is `{model}`. To use another model, set
the Space's variable AUVMAE_MODEL. For a private model, set its secret HF_TOKEN. `auvmae/` is a copy of the package.
"""


def export_space(folder: str | Path, model: str, limits: Limits) -> Path:
    """Write the folder of a Space.

    It contains `app.py`, `README.md` with the settings, `requirements.txt`, and the package.

    Args:
        folder: Folder to create.
        model: Name of a checkpoint on the Hub, or of a packaged one, which the copy of the package contains.
        limits: Limits for recordings.

    Returns:
        The folder.

    Raises:
        ValueError: If `model` is not a name on the Hub.
        FileExistsError: If the folder exists.
    """
    try:
        validate_repo_id(model)
    except HFValidationError as error:
        raise ValueError(f"a Space loads its model from the Hub: upload it with `auvmae push` ({error})") from error
    if model not in PACKAGED and Path(model).is_dir():
        raise ValueError(f"{model} is a folder, but a Space loads its model from the Hub: upload it with `auvmae push`")
    folder = Path(folder)
    folder.mkdir(parents=True)
    shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    models = "" if model in PACKAGED else f"models:\n- {model}\n"
    fields = {"model": model, "models": models, "gradio": version("gradio"), "python": python, **asdict(limits)}
    (folder / "app.py").write_text(APP.format(**fields))
    (folder / "README.md").write_text(CARD.format(**fields))
    (folder / "requirements.txt").write_text("".join(f"{line}\n" for line in _requirements()))
    return folder


def _requirements() -> Iterator[str]:
    """List the package's requirements on this version of Python.

    They come from its metadata. Gradio is left out, since the Space provides it.
    """
    for requirement in map(Requirement, requires(PACKAGE.name) or ()):
        if requirement.marker is None or requirement.marker.evaluate({"extra": "faces"}):
            yield f"{requirement.name}{requirement.specifier}"
