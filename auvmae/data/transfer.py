"""Train on some datasets and test on another, over shared AUs (appendix, Table 3)."""

from collections.abc import Sequence

import datasets

from .clips import au_names


def over_shared_aus(training: Sequence[datasets.DatasetDict], test: datasets.DatasetDict) -> datasets.DatasetDict:
    """Combine the training sides of some datasets with the test side of another.

    The labels are restricted to the AUs that all datasets share.

    Args:
        training: One or more datasets of `load_au_dataset`, with the same clip length.
        test: Dataset to test on. The AUs keep its order.

    Returns:
        "train" and "test" rows.

    Raises:
        ValueError: The datasets share no AU.

    >>> from auvmae.knowledge.facs import BP4D_AUS, DISFA_AUS
    >>> [au for au in DISFA_AUS if au in BP4D_AUS]  # the AUs shared by BP4D and DISFA
    [1, 2, 4, 6, 12]
    """
    shared = [name for name in au_names(test) if all(name in au_names(one) for one in training)]
    if not shared:
        found = "; ".join(", ".join(au_names(one)) for one in [*training, test])
        raise ValueError(f"the datasets share no action unit, so there is nothing to train or test on: {found}.")
    parts = [select_aus(one["train"], shared) for one in training]
    if not all("intensities" in part.features for part in parts):
        parts = [part.remove_columns("intensities") if "intensities" in part.features else part for part in parts]
    train = datasets.concatenate_datasets(parts)
    return datasets.DatasetDict({"train": train, "test": select_aus(test["test"], shared)})


def select_aus(rows: datasets.Dataset, names: Sequence[str]) -> datasets.Dataset:
    """Select AUs from the labels of clips, in the given order.

    The result is written to the cache, like any rows.

    Args:
        rows: Rows of `load_au_dataset`.
        names: M AUs of the dataset. Labels and intensities become (clip_length, M).

    Raises:
        ValueError: An AU is not coded in the dataset.
    """
    if unknown := [name for name in names if name not in au_names(rows)]:
        raise ValueError(
            f"the dataset has no labels of {', '.join(unknown)}; it is coded for {', '.join(au_names(rows))}."
        )
    columns = [au_names(rows).index(name) for name in names]
    length = rows.features["labels"].shape[0]
    changed = {"labels": datasets.Array2D((length, len(names)), "int8", id=",".join(names))}
    if "intensities" in rows.features:
        changed["intensities"] = datasets.Array2D((length, len(names)), "float32")
    features = rows.features | changed
    narrowed = rows.with_format("numpy", columns=list(changed)).map(
        _take, fn_kwargs={"columns": columns}, batched=True, features=datasets.Features(features)
    )
    return narrowed.with_format(None)


def _take(batch: dict, columns: list[int]) -> dict:
    return {name: batch[name][:, :, columns] for name in ("labels", "intensities") if name in batch}
