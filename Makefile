# SPDX-License-Identifier: MIT
# Every command of the project; `make` alone lists them. Each one does its own set-up.
# GNU make ends with 2 whenever a step fails: the step's own code is the N of the "Error N" line.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
.SILENT:
.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help conformance test test-lab bench setup lint types layers unit suites proof fuzz lock clean

PYTHON ?= python3
KERNEL ?= debian
SOURCE ?= debian:trixie-backports
TOPOLOGY ?= default
NOW := $(shell date -u +%Y-%m-%dT%H%M%SZ)
OUT ?= reports/$(NOW)
# Guests at once; each takes a processor and 1 GiB.
JOBS ?= $(shell n=$$(nproc 2>/dev/null || echo 1); echo $$((n > 4 ? 4 : n)))
UV ?= uv

# What another project left in the environment must not decide what is imported here.
unexport PYTHONHOME PYTHONPATH VIRTUAL_ENV
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help: ## list these commands
	sed -nE 's/^([a-z-]+):[^#]*## (.*)/make \1\t\2/p' Makefile | expand -t 20
	echo
	echo 'Settings: KERNEL=$(KERNEL) TOPOLOGY=$(TOPOLOGY) JOBS=$(JOBS) OUT=reports/<UTC time> PYTHON=$(PYTHON)'

conformance: setup ## judge a kernel: KERNEL, TOPOLOGY, JOBS, OUT: which, on what, guests, where to
	.venv/bin/vfiospec run --kernel '$(KERNEL)' --topology '$(TOPOLOGY)' --jobs '$(JOBS)' \
	  --out '$(OUT)'

test: lint types layers unit suites proof fuzz ## everything CI runs: linters, unit tests, suites, proof, fuzzer
	echo 'make test: lint, types, layers, unit tests, suites, proof and fuzzer (kernel debian) passed'

test-lab: setup ## what a stock kernel cannot show, on one that is built for it: hours, the first time
	echo '== a kernel built for testing'
	tree=$$(.venv/bin/vfiospec kernels build '$(SOURCE)' --profile conformance)
	.venv/bin/vfiospec run --kernel "$$tree" --jobs '$(JOBS)' --dangerous --out '$(OUT)/whole'
	.venv/bin/vfiospec run --kernel "$$tree" --topology no-iommu --out '$(OUT)/no-iommu'
	.venv/bin/vfiospec run --kernel "$$tree" --ways all --jobs '$(JOBS)' --suite dma --suite reset \
	  --suite device_info --suite mmap --out '$(OUT)/ways'
	echo '== wrong kernels'
	.venv/bin/vfiospec prove --kernels --tree "$$tree" --jobs '$(JOBS)' --out '$(OUT)/wrong-kernels'
	.venv/bin/vfiospec prove --kernels --tree "$$tree" --topology no-iommu --chapter noiommu \
	  --out '$(OUT)/wrong-kernels-no-iommu'
	echo '== every wrong port'
	.venv/bin/vfiospec prove --kernel debian --jobs '$(JOBS)' --out '$(OUT)/wrong-ports'

bench: setup ## measure how long a run's parts take
	.venv/bin/vfiospec bench

lint: setup ## ruff: the rules and the format
	echo '== lint'
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

types: setup ## mypy, strict
	echo '== types'
	.venv/bin/mypy

layers: setup ## import-linter: which part may import which
	echo '== layers'
	.venv/bin/lint-imports --no-logo

unit: setup ## the suite's own tests
	echo '== unit tests'
	.venv/bin/python -m pytest -q -n auto --dist worksteal vfiospec/tests

suites: setup ## the suites in a booted Debian kernel, into a folder that is kept only if they fail
	echo '== suites'
	out=$$(mktemp -d)
	trap 'code=$$?; [ $$code = 0 ] || echo "make: the results are in $$out" >&2; exit $$code' EXIT
	.venv/bin/vfiospec run --kernel debian --topology default --jobs '$(JOBS)' --out "$$out/run"
	rm -rf -- "$$out"

proof: setup ## a few wrong kernels of every chapter: the suites must catch them
	echo '== proof'
	out=$$(mktemp -d)
	trap 'code=$$?; [ $$code = 0 ] || echo "make: what came of it is in $$out" >&2; exit $$code' EXIT
	.venv/bin/vfiospec prove --kernel debian --sample --jobs '$(JOBS)' --out "$$out/proof"
	rm -rf -- "$$out"

fuzz: setup ## fuzz a Debian kernel for a minute, by what is visible
	echo '== fuzz'
	out=$$(mktemp -d)
	trap 'code=$$?; [ $$code = 0 ] || echo "make: what it found is in $$out" >&2; exit $$code' EXIT
	.venv/bin/vfiospec fuzz run group --kernel debian --time 60s --out "$$out/fuzz"
	rm -rf -- "$$out"

lock: ## make requirements.lock again from pyproject.toml; asks for uv
	trap 'rm -f requirements.lock.new' EXIT
	{
	echo '# SPDX-License-Identifier: MIT'
	echo '# Everything make installs, by version and hash. Made by: make lock'
	$(UV) pip compile --quiet --universal --python-version 3.11 --all-extras --generate-hashes \
	  --only-binary :all: --no-header --no-annotate pyproject.toml
	} >requirements.lock.new
	mv requirements.lock.new requirements.lock

clean: ## remove .venv and the tools' caches; fetched kernels stay
	rm -rf .venv build vfiospec.egg-info
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name .git -prune -o -type d -name __pycache__ -prune -exec rm -rf {} +

setup: ## Debian packages and .venv, once; again only when what they are made from has changed
	fail() { { echo "make: $$1"; shift; [ $$# = 0 ] || printf '  %s\n' "$$@"; } >&2; exit 2; }
	has() { command -v "$$1" >/dev/null; }
	progress() { if [ -t 1 ]; then printf '\r\033[K%s' "$${1:+  $${1:0:70}}"; fi; }
	python() { '$(PYTHON)' -c "import sys; $$1"; }

	missing=()
	if has '$(PYTHON)'; then
	  python 'sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' || fail \
	    "vfiospec needs Python 3.11 to 3.14, and $(PYTHON) is $$('$(PYTHON)' -V 2>&1)." \
	    'Name another one, as in: make PYTHON=python3.12 conformance'
	  # Debian packs these two apart from Python.
	  if ! python 'import ensurepip, venv' 2>/dev/null; then
	    python 'sys.exit(sys.base_prefix != "/usr")' || fail \
	      '$(PYTHON) lacks venv or ensurepip, and is not the one of Debian. Name another: make PYTHON=...'
	    # Its venv asks for the very same version of Python, so one that is behind comes along.
	    name=python$$(python 'print("%d.%d" % sys.version_info[:2])')
	    missing+=("$$name" "$$name-venv")
	  fi
	elif [ '$(PYTHON)' = python3 ]; then
	  missing+=(python3 python3-venv)
	else
	  fail 'there is no $(PYTHON) here. Name another: make PYTHON=...'
	fi
	has qemu-system-x86_64 || missing+=(qemu-system-x86)
	has cc || missing+=(gcc)
	[ -e /usr/include/stdio.h ] || missing+=(libc6-dev)
	[ -e /usr/include/linux/vfio.h ] || missing+=(linux-libc-dev)
	has xz || missing+=(xz-utils)
	has zstd || missing+=(zstd)
	has bpftool || [ -x /usr/sbin/bpftool ] || missing+=(bpftool)

	# Two makes in one clone: the second waits here, then finds the work done.
	exec 9<Makefile
	flock -n 9 || { echo 'Waiting for another make in this folder'; flock 9; }
	log=$$(mktemp)
	trap 'rm -f -- "$$log"' EXIT

	if [ $${#missing[@]} != 0 ]; then
	  has apt-get || fail "this is not Debian; install what it calls: $${missing[*]}"
	  as=()
	  if [ "$$(id -u)" != 0 ]; then
	    as=(sudo -n)
	    "$${as[@]}" true 2>/dev/null || fail 'Debian packages are missing. Run this line, then make again:' \
	      "sudo apt-get update && sudo apt-get install -y --no-install-recommends $${missing[*]}"
	  fi
	  # The status shares stdout because sudo closes every other descriptor.
	  apt() {
	    "$${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o APT::Status-Fd=1 \
	      -o DPkg::Lock::Timeout=300 "$$@" 2>&1 </dev/null | while IFS= read -r line; do
	      case $$line in
	        [dp][lm]status:*)
	          IFS=: read -r _ _ percent what <<<"$$line"
	          progress "$${percent%.*} % $$what" ;;
	        *) printf '%s\n' "$$line" >>"$$log" ;;
	      esac
	    done
	  }
	  echo "Installing Debian packages: $${missing[*]}"
	  install=(install --no-install-recommends "$${missing[@]}")
	  # Package lists that are absent or old show as a failure; only then are they fetched.
	  if ! apt "$${install[@]}"; then
	    : >"$$log"
	    { apt update && apt "$${install[@]}"; } || { progress ''; cat "$$log" >&2; fail 'apt-get failed, as above'; }
	  fi
	  progress ''
	fi

	# A venv holds absolute paths and the minor version of its Python, so both are inputs.
	key=$$({ cat requirements.lock; pwd -P; python 'print(sys.version_info[:2], sys.base_prefix)'; } | sha256sum)
	if [ ! -x .venv/bin/python ] || [ "$$(cat .venv/packages.sha256 2>/dev/null)" != "$$key" ]; then
	  total=$$(grep -oE '^[a-z][^=]*' requirements.lock | sort -u | wc -l)
	  echo "Installing the $$total packages of requirements.lock into .venv"
	  # Not $(PYTHON): that may be the python3 of this very .venv, which is about to go.
	  "$$(python 'print(sys._base_executable)')" -m venv --clear .venv
	  .venv/bin/python -m pip install --progress-bar off --no-deps --require-hashes \
	    --only-binary :all: -r requirements.lock 2>"$$log" </dev/null | {
	    n=0
	    while read -r word name _; do
	      case $$word in
	        Collecting) progress "$$((n += 1)) of $$total: $$name" ;;
	        Installing) progress "unpacking" ;;
	      esac
	    done
	  } || { progress ''; cat "$$log" >&2; fail 'pip failed, as above'; }
	  progress ''
	  printf '%s\n' "$$key" >.venv/packages.sha256
	fi

	key=$$({ printf '%s' "$$key"; cat pyproject.toml vfiospec/__init__.py; } | sha256sum)
	if [ "$$(cat .venv/project.sha256 2>/dev/null)" != "$$key" ]; then
	  .venv/bin/python -m pip install --quiet --no-deps --no-build-isolation -e . >"$$log" 2>&1 </dev/null || {
	    cat "$$log" >&2
	    fail 'pip could not install vfiospec itself, as above'
	  }
	  printf '%s\n' "$$key" >.venv/project.sha256
	fi
