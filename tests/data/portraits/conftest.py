"""Provide the forged rig and a portrait to the tests of portraits."""

from pathlib import Path

import numpy as np
import pytest

from auvmae.data.portraits.drawing.mesh import rotate
from auvmae.data.portraits.fitting import Fit, fit_portrait
from auvmae.data.portraits.rig import Rig, load_rig

from ...support.forge_rig import write_rig

SIDE = 256
SCALE = 9.0


@pytest.fixture(scope="session")
def rig_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forge the rig; read-only."""
    return write_rig(tmp_path_factory.mktemp("rig"))


@pytest.fixture(scope="session")
def rig(rig_folder: Path) -> Rig:
    return load_rig(rig_folder)


def see(rig: Rig, identity: np.ndarray, head: tuple[float, float, float], expression: np.ndarray | None = None):
    """Return the 68 landmarks of a face in the middle of a portrait, float of shape (68, 2)."""
    expression = np.zeros(len(rig.names)) if expression is None else expression
    turned = rig.morph(identity, expression)[rig.landmarks] @ rotate(*head).T
    return SCALE * turned[:, :2] * (1, -1) + SIDE / 2


@pytest.fixture(scope="session")
def fit(rig: Rig) -> Fit:
    """Fit a frontal neutral face."""
    return fit_portrait(rig, see(rig, np.zeros(1), (0.0, 0.0, 0.0)))


@pytest.fixture(scope="session")
def image() -> np.ndarray:
    """Draw a portrait of smooth colours, with a dark iris in each eye."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE]
    waves = [np.sin(x / rng.uniform(15, 30) + rng.uniform(0, 6)) + np.cos(y / rng.uniform(15, 30)) for _ in range(3)]
    image = np.stack(waves, axis=-1) * 25 + 160
    for eye in (-3.0, 3.0):
        distance = np.hypot(x - SIDE / 2 - SCALE * eye, y - SIDE / 2 + SCALE * 3.5)
        image[distance < 0.55 * SCALE] = 20
    return np.clip(image, 0, 255).astype(np.uint8)
