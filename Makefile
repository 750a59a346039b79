# The front door. `make demo` shows it, `make test` proves it; every other target is a part of those two.
PYTHON ?= python3
WORK   := $(CURDIR)/.work
VENV   := $(WORK)/venv
BIN    := $(VENV)/bin
# Workers of the tests; on lab hosts, each has its own, and a file is one worker's.
WORKERS ?= 2
export PATH := $(BIN):$(PATH)
export ANSIBLE_COLLECTIONS_PATH := $(WORK)/collections
export PYTHONPATH := $(WORK)/collections
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Ansible is started hundreds of times: what Python has compiled is kept, also where the environment says otherwise.
export PYTHONDONTWRITEBYTECODE :=

# Whatever `make help` lists makes no file of its name.
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*\#\# .*/\1/p' $(firstword $(MAKEFILE_LIST)))

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 22

venv: $(VENV)/.done ## the pinned tools, in .work/venv
$(VENV)/.done: requirements-test.txt
	@tests/lab/venv.sh $(PYTHON) $(VENV) requirements-test.txt

$(WORK)/venv-oldest/.done: requirements-oldest.txt
	@tests/lab/venv.sh $(PYTHON) $(WORK)/venv-oldest requirements-oldest.txt

$(WORK)/venv-docs/.done: requirements-docs.txt
	@tests/lab/venv.sh $(PYTHON) $(WORK)/venv-docs requirements-docs.txt

collections: venv ## a collections path that holds this checkout and what it depends on
	@$(BIN)/python tests/lab/collections_path.py $(WORK)/collections

lint: collections $(WORK)/venv-docs/.done ## ansible-lint (production), yamllint, ruff, mypy, antsibull-docs
	ruff check . && ruff format --check .
	yamllint .
	mypy -p ansible_collections.slipway.go.plugins
	ansible-lint
	$(WORK)/venv-docs/bin/antsibull-docs lint-collection-docs --plugin-docs .

reference: collections ## the generated pages of docs/reference
	$(BIN)/python tests/reference

sanity: collections ## ansible-test sanity on a copy, with empty ignore files
	tests/lab/sanity.sh $(WORK)/sanity

unit: collections ## unit tests
	pytest -n $(WORKERS) --dist worksteal tests/unit

integration: collections $(WORK)/venv-oldest/.done ## tests on lab hosts, Molecule scenarios among them
	$(BIN)/python tests/lab/lab.py run -- pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder tests/integration

lockout: collections ## the lock-out table: ways to lock oneself out, each tried on a lab host (about eight minutes)
	$(BIN)/python tests/lab/lab.py run -- pytest tests/faults/lockout

lockout-interrupted: collections ## changes of access, interrupted at every task: the controller pauses, dies, loses the network (an hour)
	$(BIN)/python tests/lab/lab.py run -- python tests/faults/interrupted --page docs/evidence/interrupted-changes.md

fleet: collections ## the fleet table: hosts vanish and fail in every batch, fleets go back, runs are cancelled (an hour)
	$(BIN)/python tests/lab/lab.py run -- pytest tests/faults/fleet

upgrade: collections ## hosts that an earlier commit has set up and left with a change in flight: make upgrade FROM=COMMIT
	SLIPWAY_FROM=$(FROM) $(BIN)/python tests/lab/lab.py run -- pytest tests/faults/upgrade

demo: collections ## bare hosts to a released service, an upgrade under load, a bad release; leaves the hosts up
	@$(BIN)/python tests/lab/demo.py

demo-down: ## remove the demo's hosts, and the container engine if the demo started it
	@$(PYTHON) tests/lab/lab.py down demo

bench: collections ## what a release costs, as ratios in one run (about six minutes)
	$(BIN)/python tests/bench/release.py

faults: collections ## the fault table of releases: more than a hundred ways to fail, under load
	$(BIN)/python tests/lab/lab.py run -- python tests/faults/release --page docs/evidence/what-fails.md

tamper: collections ## the tampering table: files of a release changed by hand before everything that could start them
	SLIPWAY_TAMPER=all pytest -n $(WORKERS) tests/unit/plugins/module_utils/release/test_tampering.py
	$(BIN)/python tests/lab/lab.py run -- pytest tests/faults/tampering

diagnosis: collections ## the diagnosis table: what makes a service fail, made on purpose, must be the first finding (five minutes)
	$(BIN)/python tests/lab/lab.py run -- pytest tests/faults/diagnosis

adoption: collections ## services of five shapes, taken over under load and given back; killed controllers, a reboot (fifteen minutes)
	$(BIN)/python tests/lab/lab.py run -- pytest tests/faults/adoption

cookbook: collections ## the recipes of docs/guide/cookbook.md, word for word, on lab hosts (ten minutes)
	$(BIN)/python tests/lab/lab.py run -- pytest tests/faults/cookbook

pull-table: collections ## hosts that fetch a signed state themselves: what they release, refuse and finish (six minutes)
	$(BIN)/python tests/lab/lab.py run --suites trixie -- pytest tests/faults/pull

fixes: collections ## the fix table: failures made on purpose, whose fix is applied and lets the next run pass (half an hour)
	$(BIN)/python tests/lab/lab.py run -- pytest tests/faults/fixes --page docs/evidence/fixes.md

faults-simulated: collections ## a run that breaks at every single effect, on simulated hosts; `make unit` plays one in eight (five minutes)
	SLIPWAY_FAULTS=all pytest -n $(WORKERS) --dist worksteal tests/unit/plugins/module_utils/release/test_faults.py \
		tests/unit/plugins/module_utils/release/test_once.py tests/unit/plugins/module_utils/release/test_takeover.py \
		tests/unit/test_release_play.py \
		tests/unit/test_notices_play.py

faults-power: collections ## the same for power cuts, in a virtual machine (half an hour without KVM)
	$(BIN)/python tests/faults/release --power --page docs/evidence/what-fails.md

alerts: ## the alert rules, played by promtool (package prometheus)
	cd examples/monitoring && promtool check rules slipway.rules.yml && promtool test rules slipway.rules.test.yml

dashboard: collections ## every query of the dashboard on a real Prometheus, and its picture in the guide (packages prometheus and chromium; two minutes)
	$(BIN)/python tests/pictures/dashboard --picture docs/guide/pictures/dashboard.png

PAGES ?= 200000
fuzz-metrics: collections ## pages of counters against another parser of the format: make fuzz-metrics PAGES=200000
	$(BIN)/python tests/unit/plugins/module_utils/health/kinds/metrics_fuzz.py $(PAGES)

MUTATIONS ?= 200000
fuzz-intake: collections ## what intake reads from others, damaged: envelopes, manifests, checksums, signatures, archives (five minutes)
	$(BIN)/python tests/unit/plugins/module_utils/release/artefact/intake_fuzz.py $(MUTATIONS)

canary: collections ## who meets a canary behind HAProxy: chosen users, users who stay, kills, an early end, a pause (half an hour)
	$(BIN)/python tests/lab/lab.py run --suites bookworm -- pytest tests/faults/canary

canary-table: collections ## the verdict on users' requests, by simulation (about a quarter of an hour)
	$(BIN)/python tests/bench/canary.py --page docs/evidence/canary.md
	$(BIN)/python tests/bench/early.py --page docs/evidence/canary.md

go-version: collections ## our reading of Go binaries against `go version`, on 100 packages; `make test` takes one in four (four minutes)
	SLIPWAY_GO_VERSION=all $(BIN)/python tests/lab/lab.py run -- pytest tests/integration/linkage/test_go_version.py

bundled-libc: ## wrong verdicts of linkage on programs that bring a glibc of their own (needs gcc and the lab's images)
	$(PYTHON) tests/bench/bundled_libc.py

units: collections ## verdicts of linkage on 1,000 units, compared with systemd on Debian 12 and 13 (ten minutes; needs gcc-multilib and musl-tools)
	$(BIN)/python tests/lab/lab.py run -- python tests/faults/units --page docs/evidence/units.md

daemons: collections ## Go daemons from Debian packages in two versions each, upgraded and rolled back under load (half an hour)
	$(BIN)/python tests/lab/lab.py run -- python tests/faults/daemons --page docs/evidence/daemons.md

services: collections ## ten services of five kinds on three hosts, each released alone and all at once under load (half an hour)
	$(BIN)/python tests/lab/lab.py run -- python tests/faults/services

compared: collections ## defects that show only under traffic, on four hosts that a Prometheus knows (half an hour; needs prometheus)
	$(BIN)/python tests/lab/lab.py run -- python tests/faults/compared --page docs/evidence/compared.md

fronted: collections ## three hosts behind a HAProxy whose counters alone judge the canary, with a share of the requests (half an hour)
	$(BIN)/python tests/lab/lab.py run --suites bookworm -- python tests/faults/fronted --page docs/evidence/fronted.md

balanced: collections ## ten hosts behind a HAProxy, under load: defects, lost hosts, killed and paused controllers (hours; needs prometheus)
	$(BIN)/python tests/lab/lab.py run --suites bookworm -- python tests/faults/balanced --share --page docs/evidence/balanced.md

bundle-table: collections ## bundles: every byte changed in turn, and a run killed at every effect
	SLIPWAY_BUNDLE=all pytest -n $(WORKERS) --dist worksteal tests/unit/plugins/module_utils/bundle

bundle-offline: collections ## a bundle made here and used in a network without any route: verified, installed, released under load
	$(BIN)/python tests/lab/lab.py run --suites bookworm -- python tests/faults/offline

builds: collections ## six modules built for five architectures twice, and each program executed (needs minisign, qemu-user and requirements-bench.txt; ten minutes)
	$(BIN)/python tests/faults/builds

bench-hardening: collections ## what a no-op run costs on one host and on ten, in units of a ping
	$(BIN)/python tests/bench/hardening.py

bench-integrity: collections ## what verifying a release before every start costs, with 8 and 50 MB
	$(BIN)/python tests/bench/integrity.py

bench-watch: collections ## what the watch and each command of the tool cost on a host, before and after (twenty minutes)
	$(BIN)/python tests/bench/watch.py --page docs/evidence/watch-cost.md

bench-fleet: collections ## what a release costs the controller on 1 to 50 hosts, beside ping and pyinfra (an hour)
	$(BIN)/python tests/bench/fleet.py --page docs/evidence/fleet-cost.md

build: collections ## the tarball for Galaxy
	ansible-galaxy collection build --force --output-path $(WORK)

test: collections $(WORK)/venv-docs/.done ## everything: lint, sanity, unit, integration and Molecule
	@# Each of the first two leaves a processor idle.
	$(MAKE) --jobs=2 --output-sync=target lint sanity
	$(MAKE) unit
	$(MAKE) integration

test-vm: collections ## a release, a swap under load and a reboot while SELinux enforces, in a virtual machine (ten minutes without KVM)
	pytest tests/vm

harden-vm: collections ## the same on a hardened machine, and its kernel settings, mounts and audit rules (half an hour without KVM)
	SLIPWAY_VM=hardened pytest tests/vm

audit-vm: collections ## what OpenSCAP, Lynis and ssh-audit find on a hardened machine (needs requirements-bench.txt; forty minutes without KVM)
	$(BIN)/python tests/bench/audits.py

molecule-on: collections ## the Molecule scenarios on another distribution: make molecule-on IMAGE=rockylinux:9
	$(BIN)/python tests/lab/lab.py run --base $(IMAGE) -- pytest tests/integration/test_molecule.py

clean: ## everything this checkout made outside git
	rm -rf $(WORK) .ansible tests/output
