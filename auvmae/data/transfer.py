"""Train on some data sets and test on another, over the action units that all of them have (appendix, Table 3)."""

from collections.abc import Sequence

import datasets

from .clips import au_names


def over_shared_aus(training: Sequence[datasets.DatasetDict], test: datasets.DatasetDict) -> datasets.DatasetDict:
    """The training sides of some data sets and the test side of another, with the columns of the AUs that all have.

    Args:
        training: as of `load_au_dataset`, one or more; all with clips of one length.
        test: another one. The AUs keep the order that they have here.

    Returns:
        "train" and "test" rows.

    Raises:
        ValueError: they share no AU.

    >>> from auvmae.knowledge.facs import BP4D_AUS, DISFA_AUS
    >>> [au for au in DISFA_AUS if au in BP4D_AUS]  # what it comes to for these two
    [1, 2, 4, 6, 12]
    """
    shared = [name for name in au_names(test) if all(name in au_names(one) for one in training)]
    if not shared:
        found = "; ".join(", ".join(au_names(one)) for one in [*training, test])
        raise ValueError(f"the data sets share no action unit, so there is nothing to train and test: {found}")
    train = datasets.concatenate_datasets([select_aus(one["train"], shared) for one in training])
    return datasets.DatasetDict({"train": train, "test": select_aus(test["test"], shared)})


def select_aus(rows: datasets.Dataset, names: Sequence[str]) -> datasets.Dataset:
    """Rows of clips with these columns of `labels` alone, in this order; written to the cache as rows are.

    Args:
        rows: of `load_au_dataset`.
        names: M of its AUs; the labels become int8 (clip_length, M).

    Raises:
        ValueError: it does not code one of them.
    """
    if unknown := [name for name in names if name not in au_names(rows)]:
        raise ValueError(
            f"no label of {', '.join(unknown)} is there: the data is coded for {', '.join(au_names(rows))}"
        )
    columns = [au_names(rows).index(name) for name in names]
    length = rows.features["labels"].shape[0]
    features = rows.features | {"labels": datasets.Array2D((length, len(names)), "int8", id=",".join(names))}
    narrowed = rows.with_format("numpy", columns=["labels"]).map(
        _take, fn_kwargs={"columns": columns}, batched=True, features=datasets.Features(features)
    )
    return narrowed.with_format(None)


def _take(batch: dict, columns: list[int]) -> dict:
    return {"labels": batch["labels"][:, :, columns]}
