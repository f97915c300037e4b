"""Run every test offline, with its own seed, and with caches in a temporary folder."""

import os
import tempfile
from pathlib import Path

_CACHE = tempfile.TemporaryDirectory(prefix="auvmae-tests-")
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HOME": _CACHE.name, "HF_DATASETS_CACHE": f"{_CACHE.name}/datasets"}

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402

from auvmae.faces.detection import DETECTORS  # noqa: E402
from auvmae.inference.detector import AUDetector  # noqa: E402
from auvmae.inference.runtimes import engines  # noqa: E402

from .support.drawn_faces import TRAINED, SquareDetector  # noqa: E402
from .support.tiny import save_checkpoint  # noqa: E402


@pytest.fixture(autouse=True)
def seed() -> None:
    """Seed each test, so that its random numbers do not depend on the tests before it."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002


@pytest.fixture(autouse=True)
def torch_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep `auvmae predict` in torch where OpenVINO is installed, which takes a second to convert each model."""
    monkeypatch.setattr(engines, "fastest_engine", lambda *_: "torch")


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a tiny fine-tuned model for drawn faces, which `square` detects. Tests must not write to it."""
    return save_checkpoint(tmp_path_factory.mktemp("checkpoint"), TRAINED)


@pytest.fixture
def square(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the detector of drawn faces under its name in `checkpoint`."""
    monkeypatch.setitem(DETECTORS, "square", SquareDetector)


@pytest.fixture
def detector(checkpoint: Path) -> AUDetector:
    """Load `checkpoint` for prediction."""
    return AUDetector.from_pretrained(checkpoint, device="cpu", dtype="float32")
