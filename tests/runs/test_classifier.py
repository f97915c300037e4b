"""Test that the head of a checkpoint is matched to the action units of the data by name."""

import logging

import pytest
import torch

from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification, AUVMAEForVideoPretraining
from auvmae.runs.arguments import ModelArguments
from auvmae.runs.classifier import build_classifier

from ..support.tiny import randomise, save_checkpoint, tiny_clip, tiny_config

OWN = ["AU1", "AU2", "AU12"]  # thresholds 0.4, 0.5, 0.6


@pytest.fixture
def path(tmp_path):
    return str(save_checkpoint(tmp_path / "start"))


def start(path, names, do_train=False, **fields):
    return build_classifier(ModelArguments(path, **fields), names, do_train, clip_length=8)


@pytest.mark.parametrize(
    ("names", "do_train"),
    [(OWN, False), (["AU12", "AU1", "AU2"], False), (["AU12", "AU1", "AU2"], True), (["AU12", "AU2"], False)],
)
def test_logits_go_by_name(path, names, do_train):
    theirs, model = AUVMAEForFrameAUClassification.from_pretrained(path), start(path, names, do_train)
    clip = tiny_clip(num_frames=8)
    columns = [OWN.index(name) for name in names]
    torch.testing.assert_close(model(clip).logits, theirs(clip).logits[..., columns])
    assert model.config.au_names == names
    assert model.config.label2id == {name: index for index, name in enumerate(names)}
    expected = None if do_train else [[0.4, 0.5, 0.6][column] for column in columns]
    assert model.config.thresholds == expected


def test_given_thresholds_go_over_those_of_the_checkpoint(path):
    model = start(path, ["AU12", "AU2"], model_config='{"thresholds": [0.1, 0.2]}')
    assert model.config.thresholds == [0.1, 0.2]


def test_outcomes_of_checks_belong_to_the_weights_that_were_checked(path):
    checked = AUVMAEForFrameAUClassification.from_pretrained(
        path,
        au_checks={"AU1": "passed", "AU2": "failed", "AU12": "none"},
        side_checks={"AU1": "none", "AU2": "passed"},
        relative_aus=["AU1", "AU12"],
    )
    checked.save_pretrained(path)
    assert start(path, ["AU12", "AU2"]).config.au_checks == {"AU2": "failed", "AU12": "none"}
    assert start(path, ["AU12", "AU2"]).config.side_checks == {"AU2": "passed"}
    assert start(path, ["AU12", "AU2"]).config.relative_aus == ["AU12"]
    assert start(path, OWN, do_train=True).config.relative_aus is None
    assert start(path, ["AU12", "AU2", "AU1"], do_train=True).config.au_checks is None
    assert start(path, OWN, do_train=True).config.side_checks is None
    assert start(path, OWN, do_train=True).config.au_checks is None


def test_an_au_that_the_checkpoint_lacks_is_not_scored(path):
    with pytest.raises(
        ValueError,
        match=r"start detects AU1, AU2, AU12, but the data is coded for AU1, AU12, AU25\. It "
        r"cannot be scored on AU25\. Train it .* --aus 1 12$",
    ):
        start(path, ["AU1", "AU12", "AU25"])


@pytest.mark.parametrize(
    ("names", "new"),
    [
        (["AU12", "AU1"], []),
        (["AU4", "AU6", "AU25"], ["AU4", "AU6", "AU25"]),
        (["AU1", "AU25", "AU12", "AU2"], ["AU25"]),
    ],
)
def test_to_train_on_other_aus_keeps_the_rows_of_common_ones(path, names, new, caplog):
    with caplog.at_level(logging.WARNING):
        model = start(path, names, do_train=True)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == bool(new)
    assert all(text.endswith(f"The head starts with random weights for {', '.join(new)}.") for text in messages)
    theirs = AUVMAEForFrameAUClassification.from_pretrained(path).state_dict()
    for name, value in model.state_dict().items():
        if not name.startswith("head.projection"):
            assert torch.equal(value, theirs[name]), name
            continue
        rows, found = value.unflatten(0, (2, len(names))), theirs[name].unflatten(0, (2, 3))
        for index, au in enumerate(names):
            same = au in OWN and torch.equal(rows[:, index], found[:, OWN.index(au)])
            assert same == (au not in new)
    assert model.config.thresholds is None


def test_an_encoder_without_a_head_gets_a_new_one_in_silence(tmp_path, caplog):
    config = tiny_config(id2label=None, label2id=None)
    torch.manual_seed(0)
    randomise(AUVMAEForVideoPretraining(config)).save_pretrained(tmp_path)
    fields = {"clip_length": 8, "thresholds": None, "id2label": dict(enumerate(OWN))}
    args = ModelArguments(str(tmp_path))
    models = []
    for build in (
        lambda: args.build(AUVMAEForFrameAUClassification, **fields),
        lambda: start(str(tmp_path), OWN, do_train=True),
        lambda: start(str(tmp_path), OWN),
    ):
        torch.manual_seed(1)
        models.append(build().state_dict())
    assert not [record for record in caplog.records if "random weights" in record.getMessage()]
    for other in models[1:]:
        assert all(torch.equal(value, other[name]) for name, value in models[0].items())
