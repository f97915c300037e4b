"""Test which names `import auvmae` provides, and which libraries it does not load."""

import subprocess
import sys

import auvmae

PROGRAM = "import sys, auvmae; print(*sorted({'matplotlib', 'pandas', 'datasets', 'cv2', 'decord'} & {*sys.modules}))"


def test_importing_the_package_loads_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_every_public_name_is_there():
    assert [name for name in auvmae.__all__ if not hasattr(auvmae, name)] == []
    assert {*auvmae.__all__} <= {*dir(auvmae)}
    assert auvmae.KnowledgeGuidedLoss.__module__ == "auvmae.knowledge.losses"
    assert not hasattr(auvmae, "AUDetectr")
