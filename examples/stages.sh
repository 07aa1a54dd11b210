# shellcheck shell=bash
# What recipes that train a small model in stages share. Each leaves a file or folder only when it is whole, and training goes on from its state, so that
# the same command goes on where it was stopped. Sourced; $root is the checkout, $work where everything is kept.

# shellcheck source=tests/setup
. "$root/tests/setup"

# say WORDS...: a line of what is going on
say() { echo "${0##*/}: $*" >&2; }

# made FILE COMMAND...: the command's output as FILE, unless that is there
made() {
  [ ! -e "$1" ] || return 0
  say "$1"
  "${@:2}" </dev/null >"$1.part"
  mv "$1.part" "$1"
}

# trained NAME BASE SEGMENTS OPTION...: the folder model-NAME, which goes on from the model BASE; its metrics are in NAME.log.jsonl
trained() {
  local name=$1 base=$2 segments=$3 model=$work/model-$1
  [ ! -e "$model" ] || return 0
  say "$model"
  rm -rf "$model.part"
  uio-train-step -m "$base" --state "$work/$name.state" --trainable base --objective crossbatch --optimiser muon --save-every 10 --warmup 0.01 --export-dtype f32 \
    "${@:4}" --export "$model.part" "$segments" </dev/null >>"$work/$name.log.jsonl"
  mv "$model.part" "$model"
}

# prepare: the programs, and the folder
prepare() {
  uio_build "$root" uio-segment uio-inspect uio-score uio-train-step uio_core
  export PATH=$root/build/bin:$PATH
  mkdir -p "$work"
}
