"""What the tests of data sets share: quiet, and the forged tree that several modules read."""

import shutil
from pathlib import Path

import datasets
import pytest

from ..support.forge_folder import write_tree


@pytest.fixture(autouse=True, scope="session")
def quiet() -> None:
    """No progress bars of `datasets` between the tests."""
    datasets.disable_progress_bars()


@pytest.fixture(scope="session")
def forged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's own recordings, see `forge_folder`; not to be written to."""
    return write_tree(tmp_path_factory.mktemp("folder") / "mine")


@pytest.fixture
def tree(forged: Path, tmp_path: Path) -> Path:
    """A copy of them, to spoil."""
    return Path(shutil.copytree(forged, tmp_path / "mine"))
