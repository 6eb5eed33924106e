# Short names for what README.md spells out. Rules with a file on the left run only when that file is missing or older
# than what it is made from: an interrupted `make demo` goes on where it stopped, a finished one takes seconds.

METABERT := $(or $(CARGO_TARGET_DIR),target)/release/metabert
CONFIG   := configs/quickstart.toml
RUN      := runs/quickstart
# The low-resource domain that `make demo` adapts to: one of those that $(CONFIG) names.
DOMAIN   := phone
ADAPTED  := $(RUN)-$(DOMAIN)
ENCODER  := data/models/minilm-l6
# What `make bench-reference` measures on, and what else it tells benches/reference/compare.py.
DATA     := data/sample.json
COMPARE  :=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Training, evaluating and building each want every core.
.NOTPARALLEL:
.PHONY: help setup demo test soak fuzz sanitize lint audit bench bench-reference clean libtorch encoder sample python build

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 24

setup: libtorch encoder sample ## fetch libtorch, the encoder and the sample (about 620 MB, once)

demo: $(ADAPTED)/predictions.jsonl $(RUN)/eval.txt ## train on the sample, adapt to a new domain, evaluate, predict (11 minutes, then seconds)
	@printf '\n==== New domains: the meta-trained encoder, and below it the encoder alone\n\n'
	@cat $(RUN)/eval.txt
	@printf '\n==== Three texts that %s has never seen\n\n' $(ADAPTED)
	@cat $(ADAPTED)/predictions.jsonl
	@printf '\n==== Files\n\n%s/            the run: configuration, events, checkpoints\n' $(RUN)
	@printf '%s/eval.txt    the table above\n%s/      the adapted model, as Hugging Face lays one out\n' $(RUN) $(ADAPTED)

# Tests run side by side already: more threads within each would wait for each other.
test: libtorch encoder python ## run every test
	METABERT_PYTHONPATH="$$(.ci/setup python --path)" OMP_NUM_THREADS=1 cargo test --release

# --release everywhere: libtorch does the heavy work in any profile, and each profile would compile torch-sys's C++ anew.
soak: libtorch python ## 201 kills, a fault in every call that changes a run, 2,000 steps without growth (5 minutes)
	METABERT_PYTHONPATH="$$(.ci/setup python --path)" METABERT_KILLS=67 METABERT_FAULTS=all METABERT_LONG_STEPS=2000 OMP_NUM_THREADS=1 \
		cargo test --release --test suite -- --nocapture --test-threads 2 crash:: faults:: memory::

# Other inputs every time, unless SEED says which; a failure names its seed. What takes memory without bound fails at 16 GiB.
fuzz: libtorch encoder ## run the property tests on 100,000 inputs each (CASES=N, SEED=N for others)
	ulimit -v 16777216; METABERT_CASES=$(or $(CASES),100000) METABERT_SEED=$(or $(SEED),$(shell date +%s)) OMP_NUM_THREADS=1 \
		cargo test --release --test suite bad_input

sanitize: ## run the kernels under the address and undefined-behaviour sanitizers (10 seconds)
	tests/sanitize/run

lint: libtorch ## check formatting and lints
	cargo fmt --check
	cargo clippy --release --all-targets -- -D warnings

audit: ## check the licences, sources and known vulnerabilities of the packages, as far as they can be
	@if ! cargo deny --version >/dev/null 2>&1; then echo 'cargo-deny is not installed (cargo install cargo-deny): not audited'; exit 0; fi; \
	cargo deny --offline --config .ci/deny.toml check licenses bans sources || exit 1; \
	if cargo deny --config .ci/deny.toml fetch db >/dev/null 2>&1; then cargo deny --config .ci/deny.toml check advisories; \
	else echo 'the advisory database cannot be reached: known vulnerabilities not looked up'; fi

bench: libtorch encoder ## run the benchmarks
	cargo bench

bench-reference: $(DATA) build encoder python ## time metabert against Python (half an hour; DATA=FILE, domains of 100 texts or more)
	PYTHONPATH="$$(.ci/setup python --path)" $(or $(PYTHON),python3) benches/reference/compare.py \
		--metabert $(METABERT) --data $(DATA) --model $(ENCODER) $(COMPARE)

clean: ## remove build outputs and the demo's runs (the cache and other runs stay)
	cargo clean
	rm -rf $(RUN) $(RUN)-*

libtorch encoder python:
	@.ci/setup $@

sample: data/sample.json

build: libtorch
	cargo build --release

data/sample.json: data/make_sample.py
	@.ci/setup sample

# The encoder and the program come after `|`: they must be there, but a newer one is no reason to train again. Training
# that was interrupted resumes; a finished run whose configuration or data has changed since is made anew.
$(RUN)/.trained: $(CONFIG) data/sample.json | build encoder
	@if [ -e $@ ] || [ ! -e $(RUN)/latest.json ]; then rm -rf $(RUN); fi
	$(METABERT) train --config $(CONFIG) --run-dir $(RUN) $$(test ! -e $(RUN)/latest.json || echo --resume)
	@touch $@

$(ADAPTED)/model.safetensors: $(RUN)/.trained
	@rm -rf $(ADAPTED)
	$(METABERT) finetune --checkpoint $(RUN) --domain $(DOMAIN) --data data/sample.json --out $(ADAPTED)
	@touch $@

$(ADAPTED)/predictions.jsonl: .ci/demo_texts.txt $(ADAPTED)/model.safetensors
	$(METABERT) predict --checkpoint $(ADAPTED) --input .ci/demo_texts.txt --output $@ --force

# On the same draws the encoder without meta-training: what the training was worth.
$(RUN)/eval.txt: $(RUN)/.trained
	$(METABERT) eval --checkpoint $(RUN) --data data/sample.json --episodes 6 --baselines $(ENCODER) > $@
