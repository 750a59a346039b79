# From a commit to a release, at a terminal and in a pipeline: `include slipway.mk` in the service's Makefile.
SLIPWAY_SERVICE ?= $(notdir $(CURDIR))
SLIPWAY_PACKAGE ?= .
SLIPWAY_TARGETS ?= linux/amd64,linux/arm64
SLIPWAY_ENVIRONMENT ?= staging
SLIPWAY_DEPLOY ?= $(CURDIR)/deploy
SLIPWAY_WORK ?= $(CURDIR)/.slipway
SLIPWAY_PYTHON ?= python3
SLIPWAY_GO ?= go
# Whether root may build: true only in a container of its own.
SLIPWAY_AS_ROOT ?= false
# What is released, and which pipeline does it. They come from outside, so recipes read them from the environment.
SLIPWAY_VERSION ?=
SLIPWAY_RUN ?=

export SLIPWAY_SERVICE SLIPWAY_PACKAGE SLIPWAY_TARGETS SLIPWAY_ENVIRONMENT SLIPWAY_DEPLOY SLIPWAY_WORK SLIPWAY_AS_ROOT
export SLIPWAY_VERSION SLIPWAY_RUN
export SLIPWAY_DIST := $(SLIPWAY_WORK)/dist
export ANSIBLE_COLLECTIONS_PATH ?= $(SLIPWAY_WORK)/collections
export PATH := $(SLIPWAY_WORK)/venv/bin:$(PATH)

.PHONY: slipway-tools slipway-test slipway-build slipway-artefacts slipway-rebuild slipway-release slipway-rollback
.PHONY: slipway-release-awx slipway-words slipway-run-named slipway-version-named

slipway-tools: ## Ansible and the collection, below .slipway
	test -x "$(SLIPWAY_WORK)/venv/bin/ansible-playbook" || $(SLIPWAY_PYTHON) -m venv "$(SLIPWAY_WORK)/venv"
	"$(SLIPWAY_WORK)/venv/bin/pip" install --quiet --disable-pip-version-check -r "$(SLIPWAY_DEPLOY)/requirements.txt"
	ansible-galaxy collection install -r "$(SLIPWAY_DEPLOY)/requirements.yml" -p "$(SLIPWAY_WORK)/collections"

slipway-test: ## vet and tests of the module
	GOCACHE="$(SLIPWAY_WORK)/cache/build" GOMODCACHE="$(SLIPWAY_WORK)/cache/modules" $(SLIPWAY_GO) vet ./...
	GOCACHE="$(SLIPWAY_WORK)/cache/build" GOMODCACHE="$(SLIPWAY_WORK)/cache/modules" $(SLIPWAY_GO) test ./...

# What a branch, a tag or somebody's terminal says goes into commands only as plain words.
slipway-words:
	@for word in "$$SLIPWAY_VERSION" "$$SLIPWAY_RUN" "$$SLIPWAY_ENVIRONMENT" "$$SLIPWAY_SERVICE"; do \
		case $$word in -*|*[!A-Za-z0-9._+-]*) echo "'$$word' is no plain word" >&2; exit 1;; esac; \
	done

slipway-version-named: slipway-words
	@test -n "$$SLIPWAY_VERSION" || { echo "SLIPWAY_VERSION is empty: set it to the version to release" >&2; exit 1; }

slipway-run-named: slipway-words
	@test -n "$$SLIPWAY_RUN" || { echo "SLIPWAY_RUN is empty: set it to the run that releases" >&2; exit 1; }

slipway-build: slipway-words ## the artefacts of SLIPWAY_TARGETS in .slipway/dist, without a signature
	ansible-playbook slipway.go.build -e "@$(SLIPWAY_DEPLOY)/build.yml"

# A key never is an argument or a file: it goes from that variable into an agent that ends with the command. Where the
# variable is empty, as at a terminal, the agent of whoever runs this has the key.
slipway_agent = $(if $(value $(1)),ssh-agent sh -ec 'printf "%s\n" "$$$(1)" | ssh-add -q -; unset $(1); exec "$$@"' sh)

slipway-artefacts: slipway-version-named ## the same for a release, with signatures and provenance
	$(call slipway_agent,SLIPWAY_SIGNING_KEY) ansible-playbook slipway.go.build \
		-e "@$(SLIPWAY_DEPLOY)/build.yml" -e "@$(SLIPWAY_DEPLOY)/sign.yml"

slipway-rebuild: slipway-words ## builds each artefact in .slipway/dist again and compares both
	@set -e; found=; for manifest in "$$SLIPWAY_DIST"/*.json; do \
		case $$manifest in *.cdx.json|*'*'*) continue;; esac; found=yes; \
		SLIPWAY_ARTEFACT=$${manifest%.json} ansible-playbook slipway.go.rebuild \
			-e "@$$SLIPWAY_DEPLOY/build.yml" -e "@$$SLIPWAY_DEPLOY/rebuild.yml"; \
	done; test -n "$$found" || { echo "$$SLIPWAY_DIST has no artefact with a manifest" >&2; exit 1; }

# ansible-runner keeps the events of the run below .slipway/runner, also those of a run that was killed.
slipway_run = $(call slipway_agent,SLIPWAY_DEPLOY_KEY) ansible-runner run "$(SLIPWAY_WORK)/runner" \
	--playbook slipway.go.$(1) --ident "$(1)-$$SLIPWAY_ENVIRONMENT-$$SLIPWAY_RUN-$$$$" \
	--inventory "$(SLIPWAY_DEPLOY)/inventories/$$SLIPWAY_ENVIRONMENT" --cmdline $(2)

slipway-release: slipway-version-named slipway-run-named ## releases SLIPWAY_VERSION to SLIPWAY_ENVIRONMENT
	mkdir -p "$(SLIPWAY_WORK)/runner"
	$(call slipway_run,release,"-e release_version=$$SLIPWAY_VERSION -e release_run=$$SLIPWAY_RUN")

slipway-rollback: slipway-run-named ## takes back what SLIPWAY_RUN has released, and nothing else
	mkdir -p "$(SLIPWAY_WORK)/runner"
	$(call slipway_run,rollback,"-e release_rollback_run=$$SLIPWAY_RUN")

# In place of slipway-release: the workflow of slipway.go.awx_setup asks for approval and takes back what fails by itself.
slipway-release-awx: slipway-version-named ## starts the workflow of an AWX and waits for it; needs awxkit
	awx workflow_job_templates launch "$$SLIPWAY_ENVIRONMENT: release after approval" --monitor \
		--extra_vars "{\"release_version\": \"$$SLIPWAY_VERSION\"}"
