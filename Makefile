# Two commands: `make repro` (environment, data, pipeline) and `make test`.
.PHONY: help repro hook stack stack-down test test-real test-slow test-arm lock clean
.DELETE_ON_ERROR:

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

help:  ## list the commands
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

repro: $(INSTALLED) hook  ## make the environment, bring the data, run the pipeline to a registered model
	@echo '[2/3] the data'
	@$(BIN)/python -m predictflow.telco
	@echo '[3/3] the pipeline'
	@$(BIN)/dvc repro

# DVC's own post-checkout hook, and not its pre-push one, which would need the remote.
hook:  ## let `git checkout` bring the data of that commit with it (as `dvc install` would)
	@! git config core.hooksPath >/dev/null || exit 0; hook=$$(git rev-parse --git-path hooks/post-checkout); [ -e "$$hook" ] || { mkdir -p "$$(dirname "$$hook")"; \
	    printf '#!/bin/sh\nPATH="$$PWD/.venv/bin:$$PATH"; ! command -v dvc >/dev/null || exec dvc git-hook post-checkout "$$@"\n' > "$$hook"; chmod +x "$$hook"; }

stack: repro  ## serve MLflow's UI and an S3 remote on this machine, and push to it (again: what has ended)
	@$(BIN)/python -m predictflow.stack up
	@$(BIN)/predictflow push

stack-down: $(INSTALLED)  ## end both, and put DVC's settings back
	@$(BIN)/python -m predictflow.stack down

PYTEST = $(BIN)/python -m predictflow.telco && $(BIN)/python -m pytest -n 2 --dist worksteal

test: $(INSTALLED)  ## run the tests: of each room, of the commands, and a witness for each promise
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(PYTEST) -m 'not (slow or arm) and (not real or witness)'

test-real: $(INSTALLED)  ## run the rest of what needs pipelines, processes and servers (a quarter of an hour)
	@$(PYTEST) -m 'not (slow or arm) and real and not witness'

test-slow: $(INSTALLED)  ## run the matrices, above all that of determinism (half an hour)
	@$(PYTEST) -m 'slow and not arm'

test-arm: $(INSTALLED)  ## run all four models on an emulated aarch64, and compare every file (half an hour)
	@$(PYTEST) -m arm

COMPILE = $(BIN)/uv pip compile -q --system-certs --universal --python-version 3.11 --fork-strategy fewest \
    --generate-hashes --annotation-style line --custom-compile-command 'make lock' $(UPGRADE)

# dvclive pulls in DVC, and xgboost the GPU's NCCL: no stage's bytes depend on either.
# The tables that MLflow gives a new store are locked with it.
lock:  ## write both lock files anew (make lock UPGRADE=--upgrade: with newer versions)
	printf 'dvc\nnvidia-nccl-cu12\n' | $(COMPILE) --excludes - requirements.in -o requirements.lock
	printf 'nvidia-nccl-cu12\n' | $(COMPILE) --excludes - -c requirements.lock \
	    $$(sed -nE 's/^([a-z0-9.-]+)==[^ ;]+ \\$$$$/--no-emit-package \1/p' requirements.lock | sort -u) \
	    requirements-dev.in -o requirements-dev.lock
	$(MAKE) $(INSTALLED)
	$(BIN)/python -m stages.tracking.tables >stages/tracking/tables.sql

clean:  ## remove the environment (data, models and the store stay)
	rm -rf .venv

OWN_FOLDER_FIRST = import os, sys; os.environ["PATH"] = os.path.join(sys.prefix, "bin") + os.pathsep + os.environ.get("PATH", "").replace(os.path.join(sys.prefix, "bin") + os.pathsep, "")

# uv comes from the lock as well, by its hash; a pip.conf's mirror is handed on to it. One .pth file
# puts the environment's own folder first on PATH, so that `.venv/bin/dvc repro` runs its Python. The
# other one, which finds this project, and the commands name no absolute path: a clone may be moved, and
# Python reads the file also where its path has letters that the locale does not know (LC_ALL=C). So does
# uv's activate, but for a shell that cannot tell which file it reads: that gets the path of today.
$(INSTALLED): requirements.lock requirements-dev.lock Makefile
	@echo '[1/3] the environment, from requirements.lock and requirements-dev.lock'
	@$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info < (3, 14) or sys.exit("Python 3.11, 3.12 or 3.13 is needed, this is %d.%d: name another, make PYTHON=python3.12 ..." % sys.version_info[:2])'
	@$(PYTHON) -m venv .venv
	@sed -n '/^uv==/,/[^\\]$$/p' requirements-dev.lock > .venv/uv.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r .venv/uv.lock
	@$(BIN)/uv venv --quiet --relocatable --allow-existing --python $(BIN)/python .venv
	@{ echo 'SCRIPT_PATH="$(CURDIR)/$(BIN)/activate"'; cat $(BIN)/activate; } > .venv/activate
	@mv .venv/activate $(BIN)/activate
	@site=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	    export UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$$($(BIN)/python -m pip config get global.index-url 2>/dev/null)}"; \
	    [ -n "$$UV_DEFAULT_INDEX" ] || unset UV_DEFAULT_INDEX; \
	    $(BIN)/uv pip install --system-certs --python $(BIN)/python --require-hashes --no-deps --compile-bytecode \
	        -r requirements.lock -r requirements-dev.lock && \
	    $(BIN)/uv pip install -q --python $(BIN)/python --no-deps --editable . && \
	    echo ../../../.. > "$$site/predictflow.pth" && \
	    echo '$(OWN_FOLDER_FIRST)' > "$$site/own_folder_first.pth"
	@touch $@
