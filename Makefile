# Short names for the commands in README.md. A rule that makes a file runs only when the file is missing or older than its
# sources: an interrupted `make demo` continues where it stopped, and a finished one takes seconds.

METABERT := $(or $(CARGO_TARGET_DIR),target)/release/metabert
CONFIG   := configs/quickstart.toml
RUN      := runs/quickstart
# The low-resource domain that `make demo` adapts to, one of those in $(CONFIG).
DOMAIN   := phone
ADAPTED  := $(RUN)-$(DOMAIN)
# Trained on the same texts without episodes, to compare with.
TRANSFER := $(RUN)-transfer
ENCODER  := data/models/minilm-l6
# The dataset of `make bench-reference`, `bench-setfit` and `bench-rotations`, and further options for their programs.
DATA     := data/sample.json
COMPARE  :=
# What `make bench-setfit` adapts to which domains: each from so many texts of every label, so many times.
CHECKPOINT := $(RUN)
DOMAINS    := $(DOMAIN)
PER_LABEL  := 1,2,5
DRAWS      := 10
# What `make bench-rotations` trains and compares, and the size of the support sets.
RECIPE     := default: --config configs/reviews.toml
AGAINST    := fomaml: --config configs/reviews.toml --algo fomaml
SUPPORT    := --support-per-label 8,40

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Training, evaluating and building each use every core.
.NOTPARALLEL:
.PHONY: help setup demo wheel test test-cuda test-slurm soak fuzz sanitize lint audit bench bench-reference bench-setfit bench-cuda bench-rotations clean libtorch encoder sample python python-cuda packing setfit build

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 24

setup: libtorch encoder sample ## download libtorch, the encoder and the sample (about 620 MB, once)

demo: $(ADAPTED)/predictions.jsonl $(RUN)/report.html ## train on the sample, adapt to a new domain, evaluate, report, predict (15 minutes the first time)
	@printf '\n==== New domains: the meta-trained encoder, the plain encoder, and one trained without episodes\n\n'
	@cat $(RUN)/eval.txt
	@printf '\n==== Three texts that %s has not seen before\n\n' $(ADAPTED)
	@cat $(ADAPTED)/predictions.jsonl
	@printf '\n==== Files\n\n%s/            the run: configuration, events, checkpoints\n' $(RUN)
	@printf '%s/eval.txt    the table above\n%s/      the adapted model, a Hugging Face directory\n' $(RUN) $(ADAPTED)
	@printf '%s/report.html scores, training and settings of both runs, to open in a browser\n' $(RUN)

wheel: build packing ## pack the program as a Python wheel that uses the libtorch of torch 2.11.0
	PYTHONPATH="$$(.ci/setup wheel --path)" $(or $(PYTHON),python3) .ci/wheel/build.py $(METABERT) $(dir $(METABERT))wheel

# Tests already run in parallel: with more threads in each they would wait for one another.
test: libtorch encoder python ## run all tests
	METABERT_PYTHONPATH="$$(.ci/setup python --path)" OMP_NUM_THREADS=1 cargo test --release

# Tests of a GPU wait for each other: it has one memory.
test-cuda: libtorch ## run the tests that need a GPU
	METABERT_PYTHONPATH="$$(.ci/setup python --path)" cargo test --release --lib --test suite -- --ignored --nocapture \
		--test-threads 1 cuda

test-slurm: build ## run the SLURM job script on a real SLURM of this machine (needs slurm-wlm, munge and root; 4 minutes)
	tests/slurm/run $(METABERT)

# Always --release: every further profile would compile torch-sys's C++ again.
soak: libtorch python ## kill training 251 times, fail every call that changes a run, take 2,000 steps without growing (10 minutes)
	METABERT_PYTHONPATH="$$(.ci/setup python --path)" METABERT_KILLS=67 METABERT_RANK_KILLS=50 METABERT_FAULTS=all METABERT_LONG_STEPS=2000 OMP_NUM_THREADS=1 \
		cargo test --release --test suite -- --nocapture --test-threads 2 crash:: crash_of_ranks:: faults:: memory::

# New inputs every time, unless SEED is set; a failure names its seed. Unbounded use of memory fails at 16 GiB.
fuzz: libtorch encoder ## run the property tests on 100,000 inputs each (CASES=N for another number, SEED=N to repeat)
	ulimit -v 16777216; METABERT_CASES=$(or $(CASES),100000) METABERT_SEED=$(or $(SEED),$(shell date +%s)) OMP_NUM_THREADS=1 \
		cargo test --release --test suite input::

sanitize: ## run the kernels under the address and undefined-behaviour sanitizers (10 seconds)
	tests/sanitize/run

lint: libtorch ## check formatting, clippy's lints and the links of the docs
	cargo fmt --check
	cargo clippy --release --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" cargo doc --release --no-deps --document-private-items

audit: ## check the licences, sources and known vulnerabilities of the packages
	@if ! cargo deny --version >/dev/null 2>&1; then echo 'audit skipped: cargo-deny is not installed (cargo install cargo-deny)'; exit 0; fi; \
	cargo deny --offline --config .ci/deny.toml check licenses bans sources || exit 1; \
	if cargo deny --config .ci/deny.toml fetch db >/dev/null 2>&1; then cargo deny --config .ci/deny.toml check advisories; \
	else echo 'the advisory database cannot be reached: known vulnerabilities not checked'; fi

bench: libtorch encoder ## run the benchmarks
	cargo bench

bench-reference: $(DATA) build encoder python ## time metabert against Python (half an hour; DATA=FILE, domains of 100 texts or more)
	PYTHONPATH="$$(.ci/setup python --path)" $(or $(PYTHON),python3) benches/reference/compare.py \
		--metabert $(METABERT) --data $(DATA) --model $(ENCODER) $(COMPARE)

# Only the default checkpoint is trained first, where it is missing.
bench-setfit: $(DATA) build encoder setfit $(if $(filter $(RUN),$(CHECKPOINT)),$(RUN)/.trained) ## compare metabert with SetFit on few texts (DATA=FILE CHECKPOINT=RUN DOMAINS=A,B PER_LABEL=1,2,5 DRAWS=10)
	PYTHONPATH="$$(.ci/setup setfit --path)" $(or $(PYTHON),python3) benches/setfit/compare.py --metabert $(METABERT) \
		--checkpoint "$(CHECKPOINT)" --data $(DATA) --model $(ENCODER) --domains "$(DOMAINS)" --per-label $(PER_LABEL) \
		--episodes $(DRAWS) $(COMPARE)

# The reference's own job, its model BERT-base: episodes per minute of both, then of more workers, and where the time goes.
bench-cuda: $(DATA) build libtorch python-cuda ## time metabert against Python on a GPU (DATA=FILE ENCODER=DIR of a BERT-base)
	PYTHONPATH="$$(.ci/setup python-cuda --path)" $(or $(PYTHON),python3) benches/reference/compare.py --device cuda \
		--metabert $(METABERT) --data $(DATA) --model $(ENCODER) --precision fp32,bf16 $(COMPARE)
	for workers in 1 2 4; do for precision in fp32 bf16; do printf '\n%s workers, %s\n' $$workers $$precision; \
		$(METABERT) train --preset reference-fomaml --device cuda --precision $$precision --workers $$workers --data $(DATA) \
		--model $(ENCODER) --meta-batch 4 --steps 5 --eval-every 0 --set data.meta_dev_count=0 --profile --force \
		--run-dir runs/bench-cuda || exit 1; done; done

bench-rotations: $(DATA) build encoder ## train on rotations of the large domains and compare recipes (DATA=FILE RECIPE="NAME: ARGS" AGAINST="NAME: ARGS" SUPPORT=FLAGS)
	$(or $(PYTHON),python3) benches/rotations/rotate.py --metabert $(METABERT) --data $(DATA) --model $(ENCODER) \
		--out runs/rotations --recipe "$(RECIPE)" --recipe "$(AGAINST)" --eval="$(SUPPORT)" $(COMPARE)

clean: ## remove the build outputs and the demo's runs; keep the cache and other runs
	cargo clean
	rm -rf $(RUN) $(RUN)-*

libtorch encoder python python-cuda setfit:
	@.ci/setup $@

packing:
	@.ci/setup wheel

sample: data/sample.json

build: libtorch
	cargo build --release

data/sample.json: data/make_sample.py
	@.ci/setup sample

# The encoder and the program come after `|`: they must exist, but a newer one is no reason to train again. Interrupted
# training resumes; a finished run is made again if its configuration or data has changed since.
$(RUN)/.trained: $(CONFIG) data/sample.json | build encoder
	@if [ -e $@ ] || [ ! -e $(RUN)/latest.json ]; then rm -rf $(RUN); fi
	$(METABERT) train --config $(CONFIG) --run-dir $(RUN) $$(test ! -e $(RUN)/latest.json || echo --resume)
	@touch $@

# As configs/reviews.toml trains and adapts, over as many steps.
$(TRANSFER)/.trained: $(CONFIG) data/sample.json | build encoder
	@if [ -e $@ ] || [ ! -e $(TRANSFER)/latest.json ]; then rm -rf $(TRANSFER); fi
	$(METABERT) train --config $(CONFIG) --run-dir $(TRANSFER) $$(test ! -e $(TRANSFER)/latest.json && \
		echo --algo transfer --inner-batch 32 --set model.pooling=mean --set outer.head_lr=1e-3 --set outer.average=0.98 \
		--set evaluate.scope=head --set evaluate.inner_steps=20 --set evaluate.head_lr=3e-3 || echo --resume)
	@touch $@

$(ADAPTED)/model.safetensors: $(RUN)/.trained
	@rm -rf $(ADAPTED)
	$(METABERT) finetune --checkpoint $(RUN) --domain $(DOMAIN) --data data/sample.json --out $(ADAPTED)
	@touch $@

$(ADAPTED)/predictions.jsonl: .ci/demo_texts.txt $(ADAPTED)/model.safetensors
	$(METABERT) predict --checkpoint $(ADAPTED) --input .ci/demo_texts.txt --output $@ --force

# The plain encoder on the same draws shows what the training is worth. It has no settings of its own: the flags set those of
# $(CONFIG) for both; the run of transfer takes as many steps as it says itself.
$(RUN)/eval.json: $(RUN)/.trained $(TRANSFER)/.trained
	$(METABERT) eval --checkpoint $(RUN) --data data/sample.json --episodes 6 --inner-epochs 2 --inner-batch 10 \
		--baselines $(ENCODER),$(TRANSFER) --out $@ --force > $(RUN)/eval.txt.part
	@mv $(RUN)/eval.txt.part $(RUN)/eval.txt

$(RUN)/report.html: $(RUN)/eval.json
	$(METABERT) report $(RUN) $(TRANSFER) $(RUN)/eval.json --out $@ --force
