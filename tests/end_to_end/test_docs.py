"""Every code example of the README and of the site runs, and prints what its page shows."""

import importlib.util
import os
import subprocess
import sys

import pytest
from filelock import FileLock
from PIL import Image

import auvmae
from docs.folders_figure import FOLDERS, WAYS, describe_imports, direct_imports

from ..support.doc_commands import check_example
from ..support.doc_examples import DOCUMENTS, Example, matches, read_examples, run_examples
from ..support.doc_inputs import prepare_folder
from ..support.layout import MAY_IMPORT
from ..support.paths import ROOT

EXAMPLES = {path.name: read_examples(path) for path in DOCUMENTS}
EXECUTED = {page: code for page, examples in EXAMPLES.items() if (code := [e for e in examples if not e.skipped])}


@pytest.mark.parametrize("example", [example for examples in EXAMPLES.values() for example in examples], ids=str)
def test_examples_name_what_exists(example, monkeypatch):
    monkeypatch.chdir(ROOT)
    check_example(example)


@pytest.mark.slow
@pytest.mark.parametrize("page", EXECUTED)
def test_examples_print_what_their_page_shows(page, tmp_path, tmp_path_factory, monkeypatch):
    base = tmp_path_factory.getbasetemp()
    made = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "doc_inputs"  # shared within one session
    made.mkdir(exist_ok=True)
    with FileLock(made / ".lock"):
        prepare_folder(tmp_path, "".join(example.code for example in EXECUTED[page]), made)
    monkeypatch.chdir(tmp_path)
    differences = run_examples(EXAMPLES[page], tmp_path)
    assert not differences, "\n\n".join(differences)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("sphinx") is None, reason="needs the extra `docs`")
def test_the_site_builds_strictly(tmp_path):
    build = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-d", str(tmp_path / "doctrees"), "docs"]
    done = subprocess.run([*build, str(tmp_path / "html")], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for path in ROOT.glob("docs/*.md"):
        assert (tmp_path / "html" / f"{path.stem}.html").is_file()


PAGE = """\
```python
print(1)
```

```text
1
```

<!-- not run: needs a camera -->
```bash
auvmae predict --webcam
```

In words:

```text
no output
```

1. In a list:

   ```bash
   echo F1 70.1
   ```

   <!-- numbers vary -->
   ```text
   F1 9
   ```

```{toctree}
index
```

```python
x = 1
```
"""


def test_the_api_page_has_every_public_name():
    text = (ROOT / "docs" / "api.md").read_text()
    assert [name for name in auvmae.__all__ if f":: auvmae.{name}\n" not in text] == []


def test_the_figure_of_the_folders_is_up_to_date():
    assert {*FOLDERS} == {*MAY_IMPORT} - {"__init__"}
    assert all(target in direct_imports()[source] for source, target in WAYS)
    with Image.open(ROOT / "docs" / "images" / "folders.png") as figure:
        assert figure.text["imports"] == describe_imports(), "draw it again: python -m docs.figures folders"


def page_of(tmp_path, text):
    path = tmp_path / "page.md"
    path.write_text(text)
    return read_examples(path)


def test_a_page_is_read_with_its_outputs(tmp_path):
    first, second, third, fourth = page_of(tmp_path, PAGE)
    assert first == Example("page.md", 1, "python", "print(1)\n", printed="1\n")
    assert (second.skipped, second.printed) == (True, None)
    assert (third.code, third.printed, third.numbers_vary) == ("echo F1 70.1\n", "F1 9\n", True)
    assert (fourth.code, fourth.printed, fourth.skipped) == ("x = 1\n", None, False)


def test_blocks_share_folder_and_namespace_and_differences_are_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reading = "from pathlib import Path\nprint(x * int(Path('seven').read_text()))\n"
    blocks = ["python\nx = 6\n", "bash\necho 7 > seven\n", f"python\n{reading}", "text\n43\n"]
    examples = page_of(tmp_path, "".join(f"```{block}```\n" for block in blocks))
    (wrong,) = run_examples(examples, tmp_path)
    assert wrong == "page.md:7 shows:\n43\n\nbut printed:\n42\n"


def test_a_command_that_fails_fails_its_page(tmp_path):
    examples = page_of(tmp_path, "```bash\nfalse\necho done\n```\n")
    with pytest.raises(subprocess.CalledProcessError):
        run_examples(examples, tmp_path)


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("bash", "auvmae predict a.mp4 -m model -o out --no_such_flag"),
        ("bash", "auvmae no_such_command"),
        ("bash", "cd x && auvmae crop"),
        ("bash", "python run_finetune.py recipes/no_such.yaml"),
        ("bash", "python run_finetune.py recipes/disfa_video.yaml --dataset_options '{no json}'"),
        ("bash", "python run_pretrain.py --balanced_sampling"),
        ("bash", "accelerate launch --config_file recipes/no_such.yaml run_pretrain.py"),
        ("bash", "accelerate launch run_pretrain.py --no_such_flag 1"),
        ("bash", "python benchmarks/no_such.py"),
        ("bash", "make no-such-target"),
        ("python", "from auvmae import NoSuchClass"),
    ],
)
def test_what_does_not_exist_fails(language, code, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(AssertionError):
        check_example(Example("page.md", 1, language, code + "\n"))


def test_numbers_are_compared_unless_they_vary():
    shown, printed = "| AU1 |  8.0 |\n|----:|-----:|\n", "| AU1 | 88.1 |\n|----:|-----:|\n"
    assert not matches(shown, printed)
    assert matches(shown, printed, numbers_vary=True)
    assert not matches(shown, printed.replace("AU1", "AU2"), numbers_vary=True)
