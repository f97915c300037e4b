"""Test that a short campaign finds no fault, and that its judges find planted ones."""

import os
import subprocess
import sys

import numpy as np
import pytest

from ..support.forge_disfa import forge_disfa
from ..support.paths import ROOT
from .bases import LENGTHS
from .judging import UNUSABLE, Fault, Ran, check_leftovers, check_sentence, check_unchanged, digests, run_function
from .mutants.json_mutations import change_field
from .mutants.strict_labels import read_disfa
from .mutations import MUTATIONS, mutate


def run(*arguments):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500)


@pytest.mark.slow
def test_twenty_mutants_are_read_rightly_or_refused(tmp_path):
    done = run("tests.campaign", "--count", 20, "--seed", 1, "-o", tmp_path / "campaign.json")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_killed_commands_are_run_again_to_the_same_bytes(tmp_path):
    commands = ("predict", "convert", "summarize")
    done = run("tests.campaign.kills", "--moments", 8, "--only", *commands, "-o", tmp_path / "kills.json")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutations_depend_on_their_seed_alone(name):
    data, donor = bytes(range(256)) * 20, b"donor" * 1000
    first, second = (MUTATIONS[name](data, np.random.default_rng(3), donor) for _ in range(2))
    assert first == second != data


def test_short_files_can_be_damaged():
    for seed in range(100):
        mutate(b"x", np.random.default_rng(seed), b"y")


def test_one_field_changes():
    path, _value, text = change_field('{"a": {"b": [1, 2]}}', np.random.default_rng(0))
    assert path[0] == "a"
    assert text != '{"a": {"b": [1, 2]}}'


def test_the_strict_reading_equals_the_forged_labels(tmp_path):
    written = forge_disfa(tmp_path, LENGTHS)
    found = read_disfa(tmp_path)
    assert found is not None
    for subject, values in written.items():
        columns = values[:, [0, 1, 2, 4, 5, 6, 10, 11]] >= 2
        assert found[f"Videos_LeftCamera/LeftVideo{subject}_comp"] == dict(
            enumerate(map(tuple, columns.astype(int).tolist()))
        )
    (tmp_path / "ActionUnit_Labels" / "SN001" / "SN001_au1.txt").write_text("1,0\n2,x\n")
    assert read_disfa(tmp_path) is None


def fault_of(function, *arguments):
    with pytest.raises(Fault) as raised:
        function(*arguments)
    return raised.value.kind


def test_planted_faults_are_found(tmp_path):
    def fail():
        raise KeyError("recipe")

    assert fault_of(run_function, fail) == "traceback"
    assert fault_of(check_sentence, Ran(1, "failed: a.mp4: KeyError: 'recipe'"), "a.mp4") == "unclear"
    assert fault_of(check_sentence, Ran(UNUSABLE, "auvmae stats: no label"), "labels.csv") == "unclear"
    assert fault_of(check_sentence, Ran(UNUSABLE, "auvmae stats: 1\n" + "more\n" * 20)) == "unclear"
    before = digests(tmp_path)
    (tmp_path / "a.csv.123.tmp").touch()
    assert fault_of(check_leftovers, tmp_path) == "leftover"
    assert fault_of(check_unchanged, tmp_path, before) == "input changed"


def test_a_sentence_that_names_the_file_is_clear():
    ran = run_function(lambda: os.write(1, b"noise\nfailed: a.mp4: it is cut off") and UNUSABLE)
    assert (ran.code, check_sentence(ran, "a.mp4")) == (UNUSABLE, "failed: a.mp4: it is cut off")
