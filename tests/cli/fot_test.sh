# shellcheck shell=bash disable=SC2154  # status comes from run
# Memory layers through every program, on the project's own tiny model. Figures of the published code: golden_shared_test.sh.

# shellcheck source=tests/cli/golden_numbers.sh
. "$UIO_ROOT/tests/cli/golden_numbers.sh"

use_windows() {
  use_memory_layers ""
  make_text >book.txt
}

memories() { uio-inspect "$1" | jq -c 'select(.kind == "memory")'; }

test_windows_and_tail() {
  use_windows
  uio-segment -o book.seg book.txt || fail segment
  uio-segment -a fresh -l 100000 book.txt | uio-inspect --tokens | jq -c 'select(.tokens) | .tokens' >wanted
  uio-inspect --tokens book.seg | jq -sc 'map(.tokens // empty) | add' >found
  expect_same wanted found
  uio-inspect --tokens book.seg | jq -se 'map(select(.kind == "segment")) | (.[-1].tokens | length) == 24 and (.[-1].is_closed | not)
    and (.[:-1] | all(.is_closed)) and (.[:-2] | all(.tokens | length == 64)) and length > 3' >out || fail 'windows'
  uio-compress -o book.uio book.seg || fail compress
  zstd -qt <book.uio || fail 'not zstd'
  memories book.uio | jq -se 'all(.method == "fot" and .positions == "first" and .layers == 2 and .dtype == "f32" and .memory_length == .token_count)
    and (.[:-1] | all(.memory_length == 64)) and length > 2' >out || fail 'memories'
  # Text is cut the same way, and a stream of segments scores like it.
  uio-compress -o again.uio book.txt || fail 'compress of text'
  difference=$(difference_of_blobs book.uio again.uio) || fail "$difference"
  [ "$difference" = 0 ] || fail "text: $difference"
  uio-score --context memory --per-token book.txt >one || fail 'score'
  uio-score --context memory --per-token book.seg >two || fail 'score of segments'
  sed 's/"id":"[^"]*"//' one >first
  sed 's/"id":"[^"]*"//' two >second
  expect_same first second
  uio-score --verify book.uio book.txt >out || fail 'verify'
  uio-compress --precision int8 -o small.uio book.seg || fail int8
  uio-score --verify small.uio book.txt >out || fail 'verify of int8'
  # A document shorter than its tail has no memory.
  printf 'Once' | uio-compress | uio-inspect | jq -se 'all(.kind != "memory")' >out || fail 'short document'
}

test_decode_continues_a_document() {
  use_windows
  uio-segment book.txt | uio-compress -o book.uio || fail 'no blob'
  uio-segment -o book.seg book.txt
  uio-decode -n 90 --ignore-eos -f book.txt >wanted </dev/null || fail 'a prompt'
  uio-decode -n 90 --ignore-eos book.uio >found || fail 'a blob'
  expect_same wanted found
  uio-decode -n 90 --ignore-eos book.seg >found || fail 'raw segments'
  expect_same wanted found
  # On from where it stopped, through two moves of the window.
  uio-decode -n 70 --ignore-eos --save grown.uio book.uio >first || fail '--save'
  uio-inspect --verify grown.uio >out || fail 'grown blob'
  [ "$(memories grown.uio | wc -l)" -gt "$(memories book.uio | wc -l)" ] || fail 'nothing moved'
  uio-decode -n 20 --ignore-eos grown.uio >second || fail 'the grown blob'
  cat <(head -c -1 first) second >found
  expect_same wanted found
  uio-decode -n 70 --ignore-eos --save raw.uio book.seg >found || fail '--save of raw segments'
  expect_same first found
  uio-inspect grown.uio | jq -c 'select(.kind) | [.kind, .segment, .byte_begin, .byte_end, .token_count]' >one
  uio-inspect raw.uio | jq -c 'select(.kind) | [.kind, .segment, .byte_begin, .byte_end, .token_count]' >two
  expect_same one two
}

test_search() {
  use_windows
  uio-score --context memory --per-token book.txt >dense || fail dense
  uio-score --context memory --per-token --search exact --nearest 100000 book.txt >all || fail exact
  expect_within "$(difference_of_scores dense all)" 1e-4 'as many nearest keys as there are'
  uio-score --context memory --per-token --search exact --nearest 1 book.txt >one || fail 'exact, 1'
  expect_within "$(difference_of_scores dense one | jq 'if . > 1e-3 then 0 else 1 end')" 0 'one nearest key'
  # A blob does not care how it will be searched.
  uio-segment book.txt | uio-compress -o book.uio || fail 'no blob'
  uio-decode -n 5 --search exact --nearest 4 book.uio >out || fail 'decode'
}

test_any_model_can_have_memory_layers() {
  use_windows
  uio-segment book.txt | uio-compress -o wanted.uio || fail 'no blob'
  jq 'del(.mem_layers)' model/config.json >changed.json && mv changed.json model/config.json
  uio-segment --memory-layers "$layers,0" book.txt | uio-compress --memory-layers "0,$layers" -o found.uio || fail 'no blob of any model'
  difference=$(difference_of_blobs wanted.uio found.uio) || fail "$difference"
  [ "$difference" = 0 ] || fail "memories differ by $difference"
  uio-decode --memory-layers "0,$layers" -n 3 wanted.uio >out || fail 'a blob of the model with the layers in its configuration'
}

test_without_memory_it_is_a_plain_model() {
  use_windows
  head -c 50 book.txt >short.txt
  uio-score --context full,window,streaming --per-token short.txt >found || fail 'with memory layers'
  jq 'with_entries(select(.key | test("^mem_|^last_context") | not))' model/config.json >changed.json && mv changed.json model/config.json
  uio-score --context full,window,streaming --per-token -l 64 short.txt >wanted || fail 'plain'
  expect_same wanted found
}

test_what_does_not_belong_is_refused() {
  use_windows
  uio-segment book.txt | uio-compress -o fot.uio || fail 'no blob'
  uio-segment -a fresh -l 32 book.txt | uio-compress -a fresh -l 32 -o uio.uio || fail 'no blob of the other method'
  refused 4 'another method.*made with uio, this one is fot' uio-decode -p a uio.uio
  refused 4 'another method.*made with fot, this one is uio' uio-decode -a fresh -l 32 -p a fot.uio
  refused 4 'another adapter' uio-decode --memory-layers 0 -p a fot.uio
  cp -R model bare
  jq 'del(.mem_layers)' model/config.json >bare/config.json
  refused 4 'another method.*made with fot' uio-decode -m bare -p a fot.uio
  uio-segment -a fresh -l 100 book.txt >long.seg
  refused 4 'segment longer than the window' uio-decode long.seg
  refused 4 'another length' uio-compress long.seg
  refused 4 'hidden' uio-compress --form hidden book.txt
  refused 2 'no dry run.*fot' uio-compress -n book.txt
  refused 2 'no memory layers' uio-compress -m bare --method fot book.txt
  refused 2 'two memory methods' uio-compress -a fresh --memory-layers 0 book.txt
  refused 2 'two memory methods' uio-compress --method uio --memory-layers 0 book.txt
  refused 4 'no such memory layer' uio-compress --memory-layers 0,99 book.txt
  refused 2 'bad value of --memory-layers' uio-compress --memory-layers x book.txt
  refused 4 'window too long' uio-segment -l 65 book.txt
  jq '.mem_dtype = "int8"' model/config.json >bare/config.json
  refused 4 "mem_dtype" uio-score -m bare book.txt
  jq '.last_context_length = 65' model/config.json >bare/config.json
  refused 4 "last_context_length" uio-compress -m bare book.txt
  refused 4 "last_context_length" uio-segment -m bare book.txt
  jq '.mem_layers = "all"' model/config.json >bare/config.json
  refused 3 "mem_layers" uio-score -m bare book.txt
}

test_the_method_can_be_named() {
  use_windows
  copy_model "$UIO_ROOT/tests/golden/model/adapter" model/adapter
  jq 'del(.base_fingerprint)' model/adapter/adapter_config.json >changed.json && mv changed.json model/adapter/adapter_config.json
  # The memory layers of the configuration are the default.
  uio-segment book.txt | uio-compress | uio-inspect | jq -se 'map(select(.kind == "memory")) | length > 0 and all(.method == "fot")' >out || fail 'not the default'
  local choice
  for choice in '--method uio' '-a model/adapter'; do
    # shellcheck disable=SC2086  # words of the choice
    uio-segment $choice book.txt | uio-compress $choice | uio-inspect | jq -se 'map(select(.kind == "memory")) | length > 0 and all(.method == "uio")' >out ||
      fail "not with $choice"
  done
}
