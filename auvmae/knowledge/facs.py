"""Define the action units of the Facial Action Coding System (FACS).

Numbers and names follow Ekman, Friesen and Hager (2002).
"""

from collections.abc import Sequence

NOT_CODED = -100
"""Label of a frame that losses and metrics ignore because it is not coded, lost or padding."""

HIGHEST_INTENSITY = 5.0
"""Highest intensity; FACS calls it E. 1 is a trace, A."""

AU_NAMES: dict[int, str] = {
    1: "Inner Brow Raiser",
    2: "Outer Brow Raiser",
    4: "Brow Lowerer",
    5: "Upper Lid Raiser",
    6: "Cheek Raiser",
    7: "Lid Tightener",
    9: "Nose Wrinkler",
    10: "Upper Lip Raiser",
    11: "Nasolabial Deepener",
    12: "Lip Corner Puller",
    13: "Sharp Lip Puller",
    14: "Dimpler",
    15: "Lip Corner Depressor",
    16: "Lower Lip Depressor",
    17: "Chin Raiser",
    18: "Lip Pucker",
    20: "Lip Stretcher",
    22: "Lip Funneler",
    23: "Lip Tightener",
    24: "Lip Pressor",
    25: "Lips Part",
    26: "Jaw Drop",
    27: "Mouth Stretch",
    28: "Lip Suck",
    43: "Eyes Closed",
    45: "Blink",
    46: "Wink",
}
"""FACS name of each action unit in common use."""

BP4D_AUS: tuple[int, ...] = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)
"""The 12 action units of the BP4D protocol (Sec. 4.1), in the order of its columns."""

DISFA_AUS: tuple[int, ...] = (1, 2, 4, 6, 9, 12, 25, 26)
"""The 8 action units of the DISFA protocol. The paper's text lists AUs 24 and 25; its Table 2 and
other work on DISFA have 25 and 26."""


def au_label(au: int) -> str:
    """Return the label of an action unit, as in `id2label` and column names.

    >>> au_label(12)
    'AU12'
    """
    return f"AU{au}"


def au_number(name: str) -> int | None:
    """Return the number in the label of an action unit, or None for other labels.

    >>> au_number("AU12"), au_number("smile")
    (12, None)
    """
    digits = name.removeprefix("AU")
    return int(digits) if digits != name and digits.isdecimal() else None


def au_column(name: str) -> str:
    """Return the column name that OpenFace and Py-Feat use for an action unit.

    It has two digits. A label that is not an action unit is returned unchanged.

    >>> au_column("AU1")
    'AU01'
    """
    number = au_number(name)
    return name if number is None else f"AU{number:02d}"


def check_au_names(names: Sequence[str]) -> None:
    """Check that every action unit has a column of its own.

    Raises:
        ValueError: Two labels share a column, e.g. "AU1" and "AU01". The message names both.
    """
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        other = first.setdefault(au_column(name), index)
        if other != index:
            raise ValueError(f"{names[other]!r} and {name!r} name one action unit ({au_column(name)})")
