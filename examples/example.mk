# What the Makefiles of all examples share. Each names its NUMBER and its PORT, and includes this file.

SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := run

ROOT := $(abspath $(dir $(lastword $(MAKEFILE_LIST)))..)
VENV ?= .venv
BIN := $(if $(filter /%,$(VENV)),$(VENV),$(ROOT)/$(VENV))/bin
DATA := $(ROOT)/.passgate/example-$(NUMBER)

.PHONY: run
run:
	@$(MAKE) -s -C $(ROOT) setup
	@PASSGATE_DATA="$(DATA)" PASSGATE_PORT="$(PORT)" exec $(BIN)/passgate serve --app main:app --name "Example $(NUMBER)"
