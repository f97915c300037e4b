"""Every test: offline, its own seed, caches in a folder that goes away."""

import os
import tempfile

_CACHE = tempfile.TemporaryDirectory(prefix="auvmae-tests-")
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HOME": _CACHE.name, "HF_DATASETS_CACHE": f"{_CACHE.name}/datasets"}

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402


@pytest.fixture(autouse=True)
def seed() -> None:
    """The same random numbers for a test whichever ran before it."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
