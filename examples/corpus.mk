# Keeps a corpus compressed: a blob for each text, made again when the text, the model or the adapter changed; of a text that changed only
# the segments that changed are computed. Blobs whose text is gone go too.
# usage: make -f examples/corpus.mk [-j N] [TEXTS=DIR] [BLOBS=DIR] [CACHE=DIR] [CACHE_SIZE=SIZE] [BOUNDARIES=NAME] [MODEL=DIR] [FLAGS=-v] [all|verify]
#   TEXTS  the texts, *.txt (default: texts)
#   BLOBS  where their memories go, *.uio (default: memories)
#   CACHE  what is kept from run to run (default: BLOBS/cache); may be deleted
#   MODEL  default: UIO_MODEL, else the demo model
#   FLAGS  further options of uio-compress; -v tells how many memories were found in the cache and how many were made
# The programs are those on PATH.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -ec
.DELETE_ON_ERROR:
.PHONY: all verify

TEXTS ?= texts
BLOBS ?= memories
CACHE ?= $(BLOBS)/cache
CACHE_SIZE ?= 4G
BOUNDARIES ?= paragraph
MODEL ?= $(UIO_MODEL)
FLAGS ?= -j 1

texts := $(wildcard $(TEXTS)/*.txt)
blobs := $(texts:$(TEXTS)/%.txt=$(BLOBS)/%.uio)
gone := $(filter-out $(blobs),$(wildcard $(BLOBS)/*.uio))
model := $(if $(MODEL),-m $(MODEL))
weights := $(if $(MODEL),$(wildcard $(MODEL)/*.safetensors $(MODEL)/*.json $(MODEL)/tokenizer.model $(MODEL)/adapter/*))

all: $(blobs)
	$(if $(gone),rm -f $(gone))

$(BLOBS)/%.uio: $(TEXTS)/%.txt $(weights) | $(BLOBS)
	uio-segment $(model) --boundaries $(BOUNDARIES) $< | \
	  uio-compress $(model) $(FLAGS) --cache-dir $(CACHE) --cache-size $(CACHE_SIZE) -o $@

$(BLOBS):
	mkdir -p $@

verify: all
	$(if $(blobs),uio-inspect --verify $(blobs))
