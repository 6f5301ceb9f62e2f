# `make demo` and `make test` are all a newcomer needs; each prepares what it wants.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: demo test test-plain-cpu check format clean

demo: $(READY)
	$(BIN)/depthwise choose digits --max-latency-ms 2 --max-size-mb 1 --minutes 1 --out demo-out

# two at a time: many tests wait, for a limit of seconds or for another process
test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadfile

# the numerical tests as on a processor with AVX2 and neither AVX-512, VNNI nor bf16
test-plain-cpu: $(READY)
	.ci/plain-cpu $(BIN)/python -m pytest -n 2 --dist loadfile -m numerical

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) demo-out build dist .pytest_cache .mypy_cache .ruff_cache
