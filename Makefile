# make demo   install, fine-tune on drawn faces, print the table
# make test   install, run every test
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c requirements/ci.txt

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-lower transformers-tests campaign kills tiny-encoder portrait-model quality style docs benchmarks clean

help: ## list all targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(BIN)/python setup.cfg requirements/ci.txt
	$(PIP) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(PIP) -e '.[test,quality,docs,faces,lora,onnx,openvino,tensorboard,demo]'
	@touch $@

demo: $(VENV)/.run ## install, fine-tune on drawn faces, print the per-AU table (five minutes on two cores)
	$(BIN)/python run_finetune.py

test: $(VENV)/.dev ## install and run every test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

test-fast: $(VENV)/.dev ## install and run the quick tests (one step from a fresh clone)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m 'not slow and not medium'

# torch's lower bound has no CPU build on the machines of CI, so torch stays at the version of ci.txt
$(VENV)-lower/.dev: setup.cfg requirements/lower.txt
	$(PYTHON) -m venv $(VENV)-lower
	$(VENV)-lower/bin/pip install --quiet --disable-pip-version-check -c requirements/lower.txt -e '.[test]'
	@touch $@

test-lower: $(VENV)-lower/.dev ## run the quick tests on the lowest versions that setup.cfg allows
	OMP_NUM_THREADS=1 $(VENV)-lower/bin/python -m pytest -n 2 --dist worksteal -m 'not slow and not medium' -W default \
		--ignore tests/test_prose.py --ignore tests/test_layout.py  # texts and folders depend on no version

transformers-tests: $(VENV)/.dev ## run the common model tests of Transformers on our classes and on stock VideoMAE
	$(BIN)/pip install --quiet --disable-pip-version-check parameterized
	OMP_NUM_THREADS=1 $(BIN)/python -W ignore -m tests.transformers_suite

COUNT ?= 100
SEED ?= 0

campaign: $(VENV)/.dev ## damage COUNT=100 inputs from SEED=0, and judge what each run says and leaves
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.campaign --count $(COUNT) --seed $(SEED)

kills: $(VENV)/.dev ## kill commands at 60 random moments, and compare the next run's outputs
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.campaign.kills --seed $(SEED)

tiny-encoder: $(VENV)/.run ## pre-train the packaged encoder again (about 20 minutes)
	$(BIN)/python run_pretrain.py
	$(BIN)/python -c "from auvmae import AUVMAEModel; \
	AUVMAEModel.from_pretrained('outputs/pretrain_synthetic_tiny').half().save_pretrained('auvmae/tiny_encoder')"
	rm auvmae/tiny_encoder/*.py  # the installed package is their code

portrait-model: $(VENV)/.run ## train the packaged model again, from PORTRAITS, RIG, CLIPS and CHANNELS (about 45 minutes)
	$(BIN)/python run_finetune.py recipes/portraits.yaml --portraits_dir $(PORTRAITS) --rig_dir $(RIG)
	$(BIN)/python benchmarks/real_faces.py $(CLIPS) --checkpoint outputs/portraits --channels $(CHANNELS) \
		--split develop --json outputs/portraits/develop.json
	$(BIN)/python benchmarks/real_thresholds.py outputs/portraits outputs/portraits/develop.json \
		-o outputs/portraits_real --relative AU4
	$(BIN)/python benchmarks/real_faces.py $(CLIPS) --checkpoint outputs/portraits_real --channels $(CHANNELS) \
		--split report --portraits $(PORTRAITS) --portrait_list benchmarks/neutral_portraits.txt \
		--json outputs/portraits_real/real_faces.json
	$(BIN)/python benchmarks/sides.py $(CLIPS) --checkpoint outputs/portraits_real --channels $(CHANNELS) \
		--json outputs/portraits_real/sides.json
	$(BIN)/python benchmarks/package_portrait_model.py outputs/portraits_real outputs/portraits_real/real_faces.json \
		outputs/portraits_real/sides.json -o auvmae/portrait_model

quality: $(VENV)/.dev ## run ruff and mypy (what pre-commit runs)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

style: $(VENV)/.dev ## let ruff fix what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.dev ## build the documentation site into build/docs (a broken link or reference fails)
	$(BIN)/python -m sphinx -W --keep-going -n -q -E -d build/doctrees docs build/docs

benchmarks: $(VENV)/.dev ## print the table of every benchmark
	for script in benchmarks/*.py; do $(BIN)/python $$script; done

clean: ## remove environments and outputs
	rm -rf $(VENV) $(VENV)-lower outputs build *.egg-info
