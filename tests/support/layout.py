"""The folders of the package, from the ground up, and which of them each may import.

`tests/test_layout.py` holds the code to this table, and `docs/figures.py` draws it.
"""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "auvmae"

MAY_IMPORT: dict[str, set[str]] = {
    "model": set(),  # what lies flat in the package: it travels to the Hub with a checkpoint
    "system": set(),
    "knowledge": set(),
    "video": {"system"},
    "plotting": {"system"},
    "faces": {"video", "system"},
    "evaluation": {"knowledge", "video", "system"},
    "data": {"faces", "video", "knowledge", "system", "model"},
    "training": {"evaluation", "knowledge", "system", "model"},
    "inference": {"faces", "video", "plotting", "knowledge", "system", "model"},
    "summaries": {"inference", "plotting", "knowledge", "system"},
    "runs": {"training", "data", "evaluation", "plotting", "knowledge", "system", "model"},
    "conversion": {"inference", "system", "model"},
    "demo": {"inference", "faces", "video", "knowledge", "system", "model"},
}
MAY_IMPORT["cli"] = set(MAY_IMPORT)
MAY_IMPORT["__init__"] = set(MAY_IMPORT) - {"cli", "demo"}  # the public names


def folder_of(module: str) -> str:
    """The row of the table for a module: `auvmae.data.loading.loader` -> `data`, `auvmae.head` -> `model`."""
    name = [*module.split("."), "__init__"][1]
    return name if (PACKAGE / name).is_dir() or name == "__init__" else "model"


def imports_of(path: Path, root: Path = PACKAGE.parent) -> set[tuple[str, str]]:
    """Pairs (importing module, imported module) within the package, imports inside functions included."""
    parts = path.relative_to(root).with_suffix("").parts
    module = ".".join(parts).removesuffix(".__init__")
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*parts[: len(parts) - node.level], *filter(None, [node.module])])
            base = base if node.level else str(node.module)
            names = [f"{base}.{alias.name}" for alias in node.names]
        for name in names:
            while name and not ((root / name.replace(".", "/")).is_dir() or _file(root, name).is_file()):
                name = name.rpartition(".")[0]  # a function or class of that module
            if name.split(".")[0] == PACKAGE.name:
                found.add((module, name))
    return found


def _file(root: Path, module: str) -> Path:
    return root / (module.replace(".", "/") + ".py")
