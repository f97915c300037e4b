import importlib

import pytest

from ..support.paths import ROOT


@pytest.fixture
def script(monkeypatch):
    """Import a script of benchmarks/, which are no package, by its name."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module
