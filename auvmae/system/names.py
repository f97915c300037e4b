"""Compare names of files and people, however their accents are encoded."""

import unicodedata
from pathlib import Path


def nfc(name: str) -> str:
    r"""Return a name in the normal form in which names are compared.

    macOS may write an accented letter as two characters, other systems write one.

    >>> nfc("cafe\u0301") == "caf\u00e9"
    True
    """
    return unicodedata.normalize("NFC", name)


def find_path(path: str | Path) -> Path:
    """Find a path on disk, in whatever normal form its name is written.

    A path that does not exist is returned as it is.

    Raises:
        ValueError: Several names on disk differ in their normal form only.
    """
    path = Path(path)
    if path.exists() or str(path).isascii():
        return path
    parent = find_path(path.parent)
    same = [one for one in parent.iterdir() if nfc(one.name) == nfc(path.name)] if parent.is_dir() else []
    if len(same) > 1:
        raise ValueError(f"{path} fits {len(same)} names that look alike (Unicode NFC and NFD). Rename one of them.")
    return same[0] if same else path
