# Everything sets itself up: `make run` and `make test` work on an empty machine with Python 3.11 to 3.13 and make.
PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 2
export UV_LINK_MODE ?= copy

.DEFAULT_GOAL := help
.PHONY: help run test lint bench lock schema clean

help:  ## show what there is to make
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 8

run: .venv/ready .venv/gates  ## set everything up, and take the example's two models from data to a release live in staging
	$(BIN)/mlops run fraud_v1 fraud_v2

# Tests that boot servers and measure them share the machine with others; only failed tests (exit code 1) are asked again.
test: .venv/ready .venv/gates .venv/feast/ready .venv/team/ready .venv/act .venv/actionlint  ## set everything up, and run the tests; PYTEST="-k word" for some of them
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --cache-clear $(PYTEST) \
		|| { test $$? -eq 1 && echo "asking what failed again, alone" && $(BIN)/python -m pytest --last-failed --last-failed-no-failures none; }

lint: .venv/ready .venv/actionlint  ## check style, types, imports between layers and workflows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/zizmor --offline --persona=auditor --quiet .github
	test ! -x $(BIN)/actionlint || $(BIN)/actionlint

bench: .venv/ready .venv/gates .venv/feast/ready  ## measure beside the rivals, in one run
	$(BIN)/python -m benchmarks

lock: .venv/ready  ## resolve the dependencies anew
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --generate-hashes --no-emit-index-url \
		--python-version 3.11 --upgrade --quiet --custom-compile-command "make lock" --output-file requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra feast --group dev --group feast --universal --generate-hashes \
		--no-emit-index-url --python-version 3.11 --upgrade --quiet --custom-compile-command "make lock" \
		--output-file requirements-feast.lock
	$(BIN)/uv pip compile --group team --universal --generate-hashes --no-emit-index-url --python-version 3.11 \
		--upgrade --quiet --custom-compile-command "make lock" --output-file requirements-team.lock

schema: .venv/ready  ## write the JSON schema of [tool.mlops] for editors anew
	$(BIN)/python -c 'import json, mlops.config as c; print(json.dumps(c.pyproject_schema(), indent=2))' > mlops/config.schema.json

clean:  ## remove what was made here, the environment included
	rm -rf .venv .mlops .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# Bytecode is compiled once here: without it every start of a heavy library costs seconds.
.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else \
		f"mlops needs Python 3.11 to 3.13, this is {v[0]}.{v[1]}: make PYTHON=python3.12 …")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep -om1 "^uv==[0-9.]*" requirements.lock)"
	$(BIN)/uv pip install --python $(BIN)/python --quiet --compile-bytecode --require-hashes -r requirements.lock
	$(BIN)/uv pip install --python $(BIN)/python --quiet --no-deps --editable .
	touch $@

# Feast needs an older pandas than ours, so the tests of that home, and they alone, run in an environment of its own.
.venv/feast/ready: .venv/ready requirements-feast.lock
	test -x .venv/feast/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python .venv/feast
	$(BIN)/uv pip install --python .venv/feast/bin/python --quiet --compile-bytecode --require-hashes -r requirements-feast.lock
	$(BIN)/uv pip install --python .venv/feast/bin/python --quiet --no-deps --editable .
	touch $@

# What speaks to S3 holds python-dateutil back, so the servers of a team's ledger, which tests start, have an environment too.
.venv/team/ready: .venv/ready requirements-team.lock
	test -x .venv/team/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python .venv/team
	$(BIN)/uv pip install --python .venv/team/bin/python --quiet --compile-bytecode --require-hashes -r requirements-team.lock
	touch $@

# deepchecks needs older libraries than ours, so it lives in an environment of its own (docs/decisions.md).
.venv/gates: .venv/ready mlops/adapters/deepchecks_script.py
	$(BIN)/python -m mlops.adapters.deepchecks
	touch $@

# What runs and checks workflows on this machine. Both are written in Go: where it is not there, what needs them is skipped.
# act replaces modules, which `go install` of another module refuses, so it is built in a copy of its own folder.
ACT := v0.2.87
ACTIONLINT := v1.7.12
NO_GO := echo "Go is not here, or could not fetch it: tests of workflows are skipped" >&2

.venv/actionlint: .venv/ready
	{ command -v go >/dev/null && GOBIN="$(CURDIR)/$(BIN)" go install github.com/rhysd/actionlint/cmd/actionlint@$(ACTIONLINT); } || $(NO_GO)
	touch $@

.venv/act: .venv/ready
	{ command -v go >/dev/null && source=$$(go mod download -json github.com/nektos/act@$(ACT) | sed -n 's/^\t"Dir": "\(.*\)",$$/\1/p') && \
		rm -rf .venv/act.src && cp -r "$$source" .venv/act.src && chmod -R u+w .venv/act.src && \
		cd .venv/act.src && go build -o ../bin/act . && cd .. && rm -rf act.src; } || $(NO_GO)
	touch $@
