# shellcheck shell=bash disable=SC2154  # status comes from run
# Memory that stays on the disk, and indexes of it, through the programs, on the project's own tiny model.

# shellcheck source=tests/cli/golden_numbers.sh
. "$UIO_ROOT/tests/cli/golden_numbers.sh"

# A model with memory layers, or those given; a stored blob of a text, and the text.
use_blob() {
  use_memory_layers "$@"
  for _ in 1 2 3 4; do make_text; done | shuf --random-source=<(yes) >book.txt
  head -n 4 book.txt >question.txt
  uio-segment -o book.seg book.txt || fail 'no segments'
  uio-compress --level 0 -o book.uio book.seg || fail 'no blob'
}

has_faiss() { [ -e "$UIO_BIN/../lib/libuio_faiss.so" ]; }

test_memory_on_disk_is_memory_that_was_read() {
  use_blob
  zstd -qt <book.uio || fail 'not zstd'
  uio-compress -o packed.uio book.seg || fail 'no packed blob'
  difference=$(difference_of_blobs book.uio packed.uio) || fail "$difference"
  [ "$difference" = 0 ] || fail "level 0 and 1: $difference"
  local nearest
  for nearest in 1 8 100000; do
    uio-decode -n 40 --ignore-eos --search exact --nearest "$nearest" -f question.txt book.uio >found || fail 'a stored blob'
    uio-decode -n 40 --ignore-eos --search exact --nearest "$nearest" -f question.txt packed.uio >wanted || fail 'a packed blob'
    expect_same wanted found
    uio-decode -n 40 --ignore-eos --search exact --nearest "$nearest" -f question.txt - <book.uio >found || fail 'a pipe'
    expect_same wanted found
  done
  uio-decode -n 40 --ignore-eos -f question.txt packed.uio >wanted || fail dense
  expect_same wanted found  # of 100000
  printf '{"id":1,"memory":["book.uio"],"prompt":"Tom","max_tokens":9}\n' | uio-decode --jsonl --search exact | jq -e '.tokens | length > 0' >out || fail '--jsonl'
  # What is saved is read whole, and is the same.
  uio-decode -n 70 --ignore-eos --search exact --nearest 8 --save grown.uio --level 0 book.uio >out || fail '--save'
  uio-decode -n 5 --search exact grown.uio >out || fail 'the grown blob'
}

test_scores_behind_a_memory() {
  use_blob
  uio-score --context memory,none --per-token question.txt >alone || fail alone
  uio-score --context memory,none --per-token --memory book.uio question.txt >dense || fail '--memory'
  jq -se '[.[] | select(.context == "none" and .position)] | length > 5' alone >out || fail 'nothing scored'
  cmp <(jq -c 'select(.context == "none")' alone) <(jq -c 'select(.context == "none")' dense) || fail 'another context changed'
  expect_within "$(difference_of_scores alone dense | jq 'if . > 1e-3 then 0 else 1 end')" 0 'the memory makes no difference'
  uio-score --context memory,none --per-token --memory book.uio --search exact --nearest 100000 question.txt >all || fail exact
  expect_within "$(difference_of_scores dense all)" 1e-3 'as many nearest keys as there are'
  run uio-score --recall --memory book.uio question.txt
  expect_status 2 '--recall without an index'
  run uio-score -a fresh -l 32 --memory book.uio question.txt
  expect_status 2 '--memory with slots'
  run uio-score --memory book.uio --verify book.uio book.txt
  expect_status 2 'both'
  run uio-score --memory-layers 0 --memory book.uio question.txt
  expect_status 4 'another choice of layers'
}

# In the first layer a token's key is the same wherever it stands, and of equal keys any may be the nearest.
test_indexes() {
  use_blob '[1]'
  local kind kinds='flat sq8'
  ! has_faiss || kinds="$kinds ivf hnsw ivfpq"
  uio-decode -n 30 --ignore-eos --search exact --nearest 8 -f question.txt book.uio >wanted || fail exact
  for kind in $kinds; do
    uio-compress --index "$kind" book.uio >out || fail "$kind"
    expect_empty out "$kind"
    cp book.uio.index first
    uio-compress --index "$kind" book.uio || fail "$kind again"
    expect_same first book.uio.index
    uio-compress --index "$kind" -o again.uio book.seg || fail "$kind with -o"
    uio-decode -n 3 --search index again.uio >out || fail "$kind of a blob just made"
    uio-decode -n 30 --ignore-eos --search index --nearest 8 --probe 100000 -f question.txt book.uio >found || fail "$kind: decode"
    [ "$kind" != flat ] || expect_same wanted found
    uio-score --context memory --search index --nearest 8 --probe 100000 --memory book.uio --recall question.txt >scores || fail "$kind: score"
    jq -se --arg kind "$kind" 'length == 2 and all(.recall >= (if $kind == "flat" then 1 else 0.8 end) and .recall <= 1 and .recall_keys > 100
      and .largest_logprob_difference >= (.logprob_difference | fabs))' scores >out || fail "$kind: $(cat scores)"
  done
  uio-compress --index sq8 <book.seg -o piped.uio || fail 'from a pipe'
  uio-decode -n 3 --search index piped.uio >out || fail 'of a pipe'
}

test_what_is_refused() {
  use_blob
  refused 2 'no index' uio-decode --search index -n 3 book.uio
  grep -q 'hint: uio-compress --index' err || fail 'no hint'
  uio-compress -o packed.uio book.seg
  refused 2 'do not lie as rows' uio-decode --search index -n 3 packed.uio
  refused 2 'do not lie as rows' uio-compress --index sq8 packed.uio
  refused 2 'no memories' uio-compress --index sq8 book.seg
  refused 2 'stored as they are' uio-compress --index sq8 --level 1 -o x.uio book.seg
  refused 2 'stored as they are' uio-compress --index sq8 --precision int8 -o x.uio book.seg
  refused 2 'dry-run' uio-compress --index sq8 -n -o x.uio book.seg
  refused 2 'positions' uio-compress -a fresh -l 32 --index sq8 -o x.uio book.txt
  uio-segment -a fresh -l 32 book.txt | uio-compress -a fresh -l 32 --level 0 -o slots.uio
  refused 2 'positions' uio-compress --index sq8 slots.uio
  refused 5 'missing.uio' uio-compress --index sq8 missing.uio
  refused 2 'tree' uio-compress --index tree book.uio
  local left
  for left in x.uio x.uio.index packed.uio.index book.uio.index; do [ ! -e "$left" ] || fail "a refused run left $left"; done
  # Of another blob, cut, damaged, and not readable.
  uio-segment question.txt book.txt | uio-compress --index sq8 -o other.uio || fail 'another blob'
  cp other.uio.index book.uio.index
  refused 4 'belongs to another blob' uio-decode --search index -n 3 book.uio
  uio-compress --index sq8 book.uio || fail 'made again'
  cp book.uio.index whole
  head -c -1 whole >book.uio.index
  refused 3 'cannot read index' uio-decode --search index -n 3 book.uio
  { head -c 200 whole; printf x; tail -c +202 whole; } >book.uio.index
  refused 3 'cannot read index' uio-score --search index --memory book.uio question.txt
  grep -q 'hint: make it again' err || fail 'no hint'
  : >book.uio.index
  refused 3 'cannot read index' uio-decode --search index -n 3 book.uio
  # A blob that is cut does not get one.
  head -c -1 book.uio >cut.uio
  refused 3 'cut.uio' uio-compress --index sq8 cut.uio
  [ ! -e cut.uio.index ] || fail 'an index of a cut blob'
}

# Killed at any moment, a run leaves the index that was there, or the new one, and nothing else.
test_killed_while_it_is_made() {
  has_faiss || skip 'built without FAISS'
  use_blob
  uio-compress --index sq8 book.uio || fail sq8
  cp book.uio.index old
  uio-compress --index hnsw book.uio || fail hnsw
  cp book.uio.index new
  local round delay killed=0
  for round in $(seq 20); do
    cp old book.uio.index
    uio-compress --index hnsw book.uio &
    delay=$((RANDOM % 1500))
    sleep "$((delay / 1000)).$(printf '%03d' $((delay % 1000)))"
    if kill -9 $! 2>/dev/null; then killed=$((killed + 1)); fi
    wait $! 2>/dev/null
    cmp -s old book.uio.index || cmp -s new book.uio.index || fail "round $round: neither the old index nor the new one"
    rm -f .uio-*.tmp  # between its two names
  done
  [ "$killed" -gt 0 ] || fail 'no run was killed'
  local left
  left=$(find . -maxdepth 1 -type f ! -name out ! -name err -printf '%f\n' | sort | xargs)
  [ "$left" = 'book.seg book.txt book.uio book.uio.index new old question.txt' ] || fail "files are: $left"
}
