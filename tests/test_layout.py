"""Every import goes down the table of folders, whatever depth it stands at; folders are small, and nothing circles."""

import shutil
from graphlib import TopologicalSorter

import pytest

from .support.layout import MAY_IMPORT, PACKAGE, folder_of, imports_of

MODULES = sorted(PACKAGE.rglob("*.py"))


def forbidden(path, root=PACKAGE.parent):
    pairs = [(source, target, folder_of(source), folder_of(target)) for source, target in imports_of(path, root)]
    return {(source, target) for source, target, low, high in pairs if low != high and high not in MAY_IMPORT[low]}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path):
    assert forbidden(path) == set()


@pytest.mark.parametrize("inside", [False, True], ids=["module level", "in a function"])
@pytest.mark.parametrize("folder", [name for name in MAY_IMPORT if name != "cli"])
def test_a_forbidden_import_is_found(tmp_path, folder, inside):
    higher = next(name for name in ("cli", "runs", "inference") if name not in MAY_IMPORT[folder] and name != folder)
    name = {"__init__": "__init__.py", "model": "planted.py"}.get(folder, f"{folder}/planted.py")
    copied = tmp_path / PACKAGE.name
    shutil.copytree(PACKAGE, copied, ignore=lambda place, names: {n for n in names if n.endswith("cache__")})
    dots = ".." if "/" in name else "."
    line = f"from {dots}{higher} import {min(p.stem for p in (PACKAGE / higher).glob('[a-z]*.py'))}\n"
    (copied / name).write_text(f"def load():\n    {line}" if inside else line)
    assert len(forbidden(copied / name, tmp_path)) == 1


def test_the_model_imports_its_siblings_only(tmp_path):
    flat = [path for path in PACKAGE.glob("*.py") if path.name != "__init__.py"]
    pairs = {pair for path in flat for pair in imports_of(path)}
    assert {folder_of(target) for _, target in pairs} == {"model"}
    # what the Hub's code loader copies is what the file system holds: no file lies there that does not travel
    reached, waiting = set(), ["auvmae.modeling_auvmae", "auvmae.processors"]
    while waiting:
        module = waiting.pop()
        reached.add(module)
        waiting += [target for source, target in pairs if source == module and target not in reached]
    assert reached == {f"auvmae.{path.stem}" for path in flat}


def test_nothing_circles():
    graph: dict[str, set[str]] = {}
    for path in MODULES:
        for source, target in imports_of(path):
            graph.setdefault(source, set()).add(target)
    TopologicalSorter(graph).prepare()  # raises CycleError, with the files of the circle


def test_folders_are_few_levels_deep():
    depth: dict[str, int] = {}
    for folder in TopologicalSorter(MAY_IMPORT).static_order():
        depth[folder] = 1 + max((depth[lower] for lower in MAY_IMPORT[folder]), default=0)
    assert max(depth.values()) <= 7


def test_folders_are_small_and_all_in_the_table():
    folders = {path.parent for path in MODULES} - {PACKAGE}
    for folder in [*folders, PACKAGE]:
        assert len([path for path in folder.glob("*.py") if path.name != "__init__.py"]) <= 12, folder
    assert {folder.relative_to(PACKAGE).parts[0] for folder in folders} == set(MAY_IMPORT) - {"model", "__init__"}
