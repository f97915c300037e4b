"""Provide the fixtures that the dataset tests share."""

import shutil
from pathlib import Path

import datasets
import pytest

from ..support.forge_folder import write_tree


@pytest.fixture(autouse=True, scope="session")
def quiet() -> None:
    """Disable the progress bars of `datasets`."""
    datasets.disable_progress_bars()


@pytest.fixture(scope="session")
def forged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forge a user's own recordings, see `forge_folder`; read-only."""
    return write_tree(tmp_path_factory.mktemp("folder") / "mine")


@pytest.fixture
def tree(forged: Path, tmp_path: Path) -> Path:
    """Copy the forged recordings, so that a test may damage them."""
    return Path(shutil.copytree(forged, tmp_path / "mine"))
