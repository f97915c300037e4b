"""Count the common tests of Transformers that our classes and stock VideoMAE pass.

    python -m tests.transformers_suite [PATTERN]

The tests come from the source distribution of the installed version, which is downloaded into `build/`. A pattern such
as `test_save*` selects tests. The exit code is 1 if a test fails that is not named in `EXPECTED`, or if one passes that
is.
"""

import importlib
import os
import subprocess
import sys
import tarfile
import types
import unittest
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import transformers

from ..support.paths import ROOT
from .cases import CASES, EXPECTED, build_case

PACKAGE = "transformers_common_tests"


def download(folder: Path) -> Path:
    """Download and unpack the tests of the installed version."""
    name = f"transformers-{transformers.__version__}"
    if not (folder / name / "tests").is_dir():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--no-binary", "transformers", "--dest", str(folder), name.replace("-", "==")]
        subprocess.run(command, check=True)
        with tarfile.open(folder / f"{name}.tar.gz") as archive:
            archive.extractall(folder, filter="data")
    return folder / name / "tests"


def import_common_tests(folder: Path) -> Any:
    """Import `test_modeling_common`, whose two other parts the source distribution lacks."""
    for name, missing in ((PACKAGE, ""), ("exporters", "test_export"), ("generation", "test_utils")):
        package = types.ModuleType(name if name == PACKAGE else f"{PACKAGE}.{name}")
        package.__path__ = [str(folder)] if name == PACKAGE else []
        sys.modules[package.__name__] = package
        if missing:
            sys.modules[f"{package.__name__}.{missing}"] = types.ModuleType(missing)
    sys.modules[f"{PACKAGE}.exporters.test_export"].ExportTesterMixin = type("ExportTesterMixin", (), {})
    sys.modules[f"{PACKAGE}.generation.test_utils"].GenerationTesterMixin = type("GenerationTesterMixin", (), {})
    return importlib.import_module(f"{PACKAGE}.test_modeling_common")


class Outcomes(unittest.TestResult):
    """Keep one outcome per test: passed, skipped, or the last line of what failed."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}

    def stopTest(self, test: unittest.TestCase) -> None:
        self.found.setdefault(test._testMethodName, "passed")

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        self.found.setdefault(getattr(test, "test_case", test)._testMethodName, "skipped")

    def addFailure(self, test: unittest.TestCase, error: Any) -> None:
        self.found[test._testMethodName] = " ".join(str(error[1]).split())[:300] or type(error[1]).__name__

    def addError(self, test: unittest.TestCase, error: Any) -> None:
        self.addFailure(test, error)

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, error: Any) -> None:
        if error is not None:
            self.addFailure(test, error)


def main(pattern: str = "*") -> int:
    """Run the tests, print the counts and the failures, and return the exit code."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    folder = ROOT / "build"
    folder.mkdir(exist_ok=True)
    common = import_common_tests(download(folder))
    wrong = 0
    print("| class | passed | skipped | failed |\n|---|---|---|---|", flush=True)
    failures = []
    for model_class in CASES:
        case, outcomes = build_case(common.ModelTesterMixin, model_class), Outcomes()
        names = [name for name in unittest.defaultTestLoader.getTestCaseNames(case) if fnmatch(name, pattern)]
        unittest.TestSuite(map(case, names)).run(outcomes)
        found = outcomes.found
        failed = {name: text for name, text in found.items() if text not in ("passed", "skipped")}
        counts = [sum(text == kind for text in found.values()) for kind in ("passed", "skipped")]
        print(f"| {model_class.__name__} | {counts[0]} | {counts[1]} | {len(failed)} |", flush=True)
        expected = {name for name in found if (model_class.__name__, name) in EXPECTED}
        wrong += len(expected ^ set(failed))
        for name, text in failed.items():
            failures.append(f"{model_class.__name__}.{name}: {EXPECTED.get((model_class.__name__, name), text)}")
        failures += [f"{model_class.__name__}.{name} no longer fails" for name in sorted(expected - set(failed))]
    print("\n".join(["", *failures]))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
