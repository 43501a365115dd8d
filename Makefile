# make help lists the targets. Each installs what it needs, and again when a lock has changed.
# The first interpreter that the locks hold for (requires-python in pyproject.toml).
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& echo $$python && break; done)

VENV := .venv
BIN := $(VENV)/bin
# Every file is checked against the hash in the lock, and nothing is compiled here.
LOCKED := --quiet --no-deps --require-hashes --only-binary :all: -r
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check $(LOCKED)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup dev run demo nets paper choices ablation test torture api sbom check fmt lock clean

help: ## List the targets
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(VENV)/.serve ## Install what serving needs

dev: $(VENV)/.dev ## Install what serving, training and tests need

run: $(VENV)/.serve ## Serve on http://127.0.0.1:8000 (HOST=, PORT= or .env change it)
	exec env $(if $(HOST),PALM_HOST=$(HOST)) $(if $(PORT),PALM_PORT=$(PORT)) $(BIN)/python -m app

demo: $(VENV)/.serve ## Show the service with a gallery of its own, from the sample hands (PORT=)
	exec $(BIN)/python samples/demo.py $(if $(PORT),--port $(PORT))

CAMERAS := 1 2 3 4 5 6 7 8 9 10 11
STRANGERS := $(foreach style,contact mobile,$(foreach camera,$(CAMERAS),data/strangers/$(style)-$(camera)))

# For a machine with a GPU (docs/training.md). A run that is done is not trained again.
nets: $(VENV)/.dev data/palms $(STRANGERS) data/others data/polarized data/held-out ## Train, export and measure the three nets, on a GPU (docs/training.md)
	$(SIDE_BY_SIDE) --identities 20000 --pairs 4 --epochs 4 --out runs/pairs
	$(SIDE_BY_SIDE) --identities 30000 --pairs 7 --epochs 7 --against prototypes --margin 0.25 \
		--from runs/pairs --out runs/nets
	set -e; for net in alexnet vgg16 vgg19; do \
		$(BIN)/python -m training export --run runs/nets/$$net $(CALIBRATE); done
	$(BIN)/python -m training fuse $(CALIBRATE)
	$(BIN)/python -m training quantize --data data/palms --strangers data/others \
		--enrolled data/polarized data/held-out
	$(BIN)/python -m training evaluate $(MEASURE) --out runs/evaluation.json
	set -e; for style in held-out polarized; do \
		$(BIN)/python -m training benchmark --data data/$$style --out runs/benchmark/$$style; done

PRETRAIN := $(BIN)/python -m training pretrain
# BACKEND=jax trains on a GPU. The other commands need TensorFlow.
BACKEND ?= tensorflow
SIDE_BY_SIDE := KERAS_BACKEND=$(BACKEND) $(PRETRAIN) --embedding-size 512 --batch-size 256 --learning-rate 0.002 \
	--guard off --processes $(shell nproc)
CALIBRATE = --data data/palms --strangers $(STRANGERS)
MEASURE := --data data/palms --strangers data/others
SYNTHESIZE = $(BIN)/python -m training synthesize --out $@

data/palms: | $(VENV)/.dev
	$(SYNTHESIZE)

# Palms that the nets never saw, before eleven cameras of each of two styles that training never
# draws. They set the thresholds: 2,450 palms before the first camera of each style make 6,000,050
# comparisons, which measure an FMR of 5e-7, as 20,000 subjects need. 560 palms measure 1e-5, enough
# for 1,000 subjects. The other cameras show how much cameras differ.
PALMS ?= 2450
OTHERS := 120
data/strangers/%: | $(VENV)/.dev
	$(SYNTHESIZE) --identities $(if $(filter %-1,$*),$(PALMS),$(OTHERS)) --sessions 2 --shots 6 \
		--prefix n --cameras 1 --style $(word 1,$(subst -, ,$*)) --seed 2$(word 2,$(subst -, ,$*))

# Palms in two more such styles only measure: these before one camera,
data/others: | $(VENV)/.dev
	$(SYNTHESIZE) --identities 300 --sessions 2 --shots 2 --seed 9 --prefix m --cameras 1 \
		--style polarized

data/polarized: | $(VENV)/.dev
	$(SYNTHESIZE) --identities 600 --sessions 2 --shots 3 --seed 6 --prefix q --cameras 1 \
		--style polarized

# and these each before its own.
data/held-out: | $(VENV)/.dev
	$(SYNTHESIZE) --identities 1500 --sessions 2 --shots 3 --seed 3 --prefix h --style held-out

# Many palms with one image of each of two sessions measure what one enrolled image is worth.
data/polarized-one: | $(VENV)/.dev
	$(SYNTHESIZE) --identities 3750 --sessions 2 --shots 1 --seed 5 --prefix q --cameras 1 \
		--style polarized

data/held-out-one: | $(VENV)/.dev
	$(SYNTHESIZE) --identities 3750 --sessions 2 --shots 1 --seed 5 --prefix h --style held-out

# The paper's protocol: 4,096 training, 1,280 validation and 1,024 test images, drawn at random.
paper: $(VENV)/.dev data/palms $(STRANGERS) data/others ## Train and measure the three nets by the paper's random split (docs/why-vgg-does-not-learn.md)
	set -e; for spec in alexnet:12 vgg16:10 vgg19:10; do net=$${spec%:*}; \
		$(BIN)/python -m training train --net $$net --split seed --epochs $${spec#*:} \
			--data data/palms --out runs/paper/$$net; \
		test -d runs/paper/store/$$net/1 || $(BIN)/python -m training export \
			--run runs/paper/$$net --store runs/paper/store $(CALIBRATE); done
	$(BIN)/python -m training fuse --split seed --store runs/paper/store $(CALIBRATE)
	$(BIN)/python -m training evaluate --split seed --store runs/paper/store $(MEASURE) \
		--out runs/paper/evaluation.json

CELL := $(PRETRAIN) --nets alexnet --identities 2000 --epochs 5 --monitor 500
CHOICES := runs/choices

choices: $(VENV)/.dev ## Measure each choice of pre-training (docs/pretraining.md)
	$(CELL) --out $(CHOICES)/base
	$(CELL) --no-degrade --out $(CHOICES)/not-degraded
	$(CELL) --from $(CHOICES)/base --out $(CHOICES)/pairs
	$(CELL) --from $(CHOICES)/base --against prototypes --margin 0.25 --out $(CHOICES)/prototypes
	$(CELL) --against prototypes --margin 0.25 --out $(CHOICES)/prototypes-at-once
	$(CELL) --contrast-px 75 --out $(CHOICES)/75px
	$(CELL) --embedding-size 64 --out $(CHOICES)/64
	$(CELL) --embedding-size 512 --out $(CHOICES)/512
	$(CELL) --map-channels 8 --out $(CHOICES)/map-8
	$(CELL) --map-channels 32 --out $(CHOICES)/map-32
	$(CELL) --map-shift 0 --out $(CHOICES)/map-not-shifted
	$(CELL) --no-zoom --out $(CHOICES)/one-scale

ablation: $(VENV)/.dev data/palms ## Train by each recipe of docs/why-vgg-does-not-learn.md
	$(BIN)/python -m training ablate --data data/palms --out runs/ablation

# One process for each core, each with one thread. The tests of a file share what they train.
# They start dozens of processes: without bytecode, each would compile TensorFlow's Python again.
# The files keep their order: reordered, those with the fewest tests, which train, would come last.
test: $(VENV)/.dev ## Run every test
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 \
		$(BIN)/pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

# Not a part of `make test`. TORTURE="--part kills --store sqlite" runs a part of it.
torture: $(VENV)/.dev ## Try to break what docs/security.md promises, in less than 30 minutes
	$(BIN)/python -m benchmarks.torture $(TORTURE)

check: $(VENV)/.dev ## Check format, lint, types and imports
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/pyright
	$(BIN)/lint-imports

fmt: $(VENV)/.dev ## Format, and repair what the linter can
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

api: $(VENV)/.dev ## Write docs/openapi.json, and what is made from it; list what breaks callers
	$(BIN)/python -m app openapi
	$(BIN)/python -m clients.write_models
	$(BIN)/ruff format clients/python/src/palm_vein_client/models.py
	$(BIN)/python -m clients.write_bruno
	$(BIN)/python -m clients.breaking

# The lock alone decides what is listed: the same lock gives the same file.
sbom: $(VENV)/.dev ## Write sbom.json, what an image holds (CycloneDX); print the packages' licences
	$(BIN)/cyclonedx-py requirements --output-reproducible --pyproject pyproject.toml \
		--output-file sbom.json requirements/serve.txt
	$(BIN)/python deploy/licences.py

LOCK = UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --universal \
	--python-version 3.11 --generate-hashes --no-emit-index-url --only-binary :all: $(LOCKFLAGS)
PLATFORMS := x86_64-manylinux_2_36 aarch64-manylinux_2_36

lock: $(VENV)/.dev ## Write requirements/ again (LOCKFLAGS=--upgrade takes newer versions)
	$(LOCK) pyproject.toml --extra openvino -o requirements/serve.txt
	$(LOCK) pyproject.toml --extra tensorflow -c requirements/serve.txt -o requirements/serve-tensorflow.txt
	$(LOCK) pyproject.toml --extra openvino --extra tensorflow --extra training --group dev \
		-c requirements/serve.txt -c requirements/serve-tensorflow.txt -o requirements/dev.txt
	$(LOCK) --group install -c requirements/dev.txt -o requirements/install.txt
	set -e; for lock in requirements/*.txt; do for platform in $(PLATFORMS); do \
		for python in 3.11 3.12 3.13; do echo "$$lock on $$platform, Python $$python"; \
		$(BIN)/uv pip install --quiet --dry-run --target $(VENV)/none --require-hashes \
			--only-binary :all: --python-platform $$platform --python-version $$python \
			-r $$lock; done; done; done

clean: ## Remove .venv and caches; the gallery in data/ stays
	rm -rf $(VENV) .pytest_cache .ruff_cache .import_linter_cache
	find app training tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/.serve: requirements/serve.txt | $(VENV)/.created
	$(INSTALL) $<
	touch $@

# The development lock holds everything of the serving lock, in the same versions. uv takes a tenth
# of the processor time that pip takes for it.
$(VENV)/.dev: requirements/dev.txt requirements/install.txt | $(VENV)/.created
	$(INSTALL) requirements/install.txt
	$(BIN)/uv pip install --python $(BIN)/python $(LOCKED) $<
	touch $(VENV)/.serve $@

$(VENV)/.created:
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed: install one," \
		"or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) || { echo "$(PYTHON) cannot make a virtual environment:" \
		"on Debian and Ubuntu, apt-get install python3-venv" >&2; exit 1; }
	touch $@
