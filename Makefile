# Every target needs nothing but python3 and make; the first one called sets up.
BIN := .venv/bin
ROOT := $(CURDIR)

TESTS := -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: help setup demo demo-llm test coverage lint bench clean

help: ## say what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: ## make .venv with everything
	@python3 tools/make_venv.py

demo: setup ## run the main job on bundled data: from raw messages to a promoted classifier
	@test -f demo/configs/config.yaml || $(BIN)/tunewright init demo --demo
	@cd demo && "$(ROOT)/$(BIN)/tunewright" run
	@cd demo && "$(ROOT)/$(BIN)/tunewright" predict "where is my parcel, it should have come on monday" "you charged me twice!!"

demo-llm: setup ## a language model from nothing: pre-train, fine-tune with LoRA, compare, register, ask
	@test -f demo-llm/base/configs/config.yaml || $(BIN)/tunewright init demo-llm/base --template pretrain
	@cd demo-llm/base && "$(ROOT)/$(BIN)/tunewright" run
	@cd demo-llm/base && { test -d model || "$(ROOT)/$(BIN)/tunewright" models export --to model; }
	@test -f demo-llm/extract/configs/config.yaml || $(BIN)/tunewright init demo-llm/extract --template extract
	@cd demo-llm/extract && "$(ROOT)/$(BIN)/tunewright" run
	@cd demo-llm/extract && "$(ROOT)/$(BIN)/tunewright" evaluate "$$(basename "$$PWD")" data/raw/unseen.jsonl
	@cd demo-llm/extract && "$(ROOT)/$(BIN)/tunewright" ask "Hello, order 4471-A never came. I bought the red kettle on 3 March."

test: setup ## pass the tests
	@$(BIN)/python $(TESTS) $(PYTEST)

coverage: setup ## pass the tests and say which lines they reach; takes twice as long
	@$(BIN)/python $(TESTS) --cov --cov-report=term $(PYTEST)

lint: setup ## style, types, layers
	@$(BIN)/ruff check src tests benchmarks tools
	@$(BIN)/ruff format --check src tests benchmarks tools
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: setup ## measure: our defaults beside named baselines
	@$(BIN)/python benchmarks/training.py
	@$(BIN)/python benchmarks/startup.py

clean: ## remove .venv and caches; never a project
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.* .import_linter_cache
