# shellcheck shell=bash
# Precisions other than exact, and stored payloads, through every program.

make_precisions() {
  use_model
  make_text >book.txt
  uio-segment -o book.seg book.txt || fail 'segment'
  local precision form
  for form in kv hidden; do
    for precision in exact int8 int4; do
      uio-compress --form "$form" --precision "$precision" -o "$form-$precision.uio" book.seg || fail "$form $precision"
    done
  done
}

memories() { uio-inspect "$1" | jq -c 'select(.kind == "memory")'; }

test_sizes_and_stated_errors() {
  make_precisions
  local form precision count
  count=$(memories kv-exact.uio | wc -l)
  [ "$count" -gt 1 ] || fail "only $count memories"
  for form in kv hidden; do
    for precision in exact int8 int4; do
      zstd -qt <"$form-$precision.uio" || fail "$form $precision is not zstd"
      run uio-inspect --verify "$form-$precision.uio"
      expect_status 0 "$form $precision"
      [ "$(memories "$form-$precision.uio" | jq -s --arg p "$precision" 'map(select(.precision == $p)) | length')" -eq "$count" ] ||
        fail "$form $precision: other memories"
    done
    [ "$(stat -c %s "$form-int8.uio")" -lt "$(stat -c %s "$form-exact.uio")" ] || fail 'int8 is not smaller than exact'
    [ "$(stat -c %s "$form-int4.uio")" -lt "$(stat -c %s "$form-int8.uio")" ] || fail 'int4 is not smaller than int8'
  done
  memories kv-exact.uio | jq -se 'all(has("key_error") | not)' >out || fail 'exact states an error'
  memories kv-int8.uio | jq -se 'all(.key_error > 0 and .key_error < 0.02 and .key_rms_error > 0 and .value_error < 0.02 and .value_rms_error < 0.02)' \
    >out || fail 'errors of int8'
  memories kv-int4.uio | jq -se 'all(.key_error > 0.01 and .key_error < 0.25 and .value_rms_error > 0.01 and .value_rms_error < 0.2)' >out ||
    fail 'errors of int4'
  memories hidden-int4.uio | jq -se 'all(.key_error > 0.001 and (has("value_error") | not))' >out || fail 'errors of hidden int4'
  # The provenance names it.
  uio-inspect kv-int4.uio | jq -se '.[0].provenance[-1].options.precision == "int4"' >out || fail 'provenance'
  uio-inspect kv-exact.uio | jq -se '.[0].provenance[-1].options.precision == "exact"' >out || fail 'provenance of the default'
}

test_verify_knows_the_precision() {
  make_precisions
  local form precision
  for form in kv hidden; do
    for precision in exact int8 int4; do
      run uio-score --verify "$form-$precision.uio" book.txt
      expect_status 0 "$form $precision"
      jq -se --arg p "$precision" '(.[-1].ok) and (.[:-1] | all(.precision == $p and .difference <= .tolerance and .kl >= -1e-6 and .kl < 5))' out \
        >/dev/null || fail "$form $precision: lines"
    done
    run uio-score --verify "$form-int4.uio" --tolerance 1e-3 book.txt
    expect_status 1 'int4 is not exact'
    head -n 1 err | grep -q "^uio-score: memories differ: '$form-int4.uio': " || fail 'message'
  done
  # The tolerance is what the memory states, not whatever it has.
  uio-score --verify kv-int8.uio book.txt | jq -se '.[:-1] | all(.tolerance < 0.05)' >out || fail 'tolerance of int8'
}

test_every_program_reads_them() {
  make_precisions
  local blob
  for blob in kv-exact kv-int8 kv-int4 hidden-int8 hidden-int4; do
    run uio-decode -p 'Lily' -n 8 "$blob.uio"
    expect_status 0 "decode $blob"
    run uio-inspect --export out.safetensors "$blob.uio"
    expect_status 0 "export $blob"
    uio-inspect out.safetensors | jq -e '.tensors | length > 0' >/dev/null || fail "tensors of $blob"
    run uio-inspect --cut --segments 0 -o cut.uio "$blob.uio"
    expect_status 0 "cut $blob"
    memories cut.uio | jq -c 'del(.offset)' >one
    memories "$blob.uio" | head -n 1 | jq -c 'del(.offset)' >whole
    expect_same one whole
  done
}

# A memory that was read and is written again stays what it is; what is added has its precision.
test_grown_memories_keep_their_precision() {
  make_precisions
  local precision
  for precision in int8 int4; do
    run uio-decode -p "$(make_text)$(make_text)" -n 4 --save grown.uio "kv-$precision.uio"
    expect_status 0 "$precision"
    memories grown.uio | jq -r .precision | sort -u >names
    [ "$(cat names)" = "$precision" ] || fail "precisions: $(cat names)"
    [ "$(memories grown.uio | wc -l)" -gt "$(memories "kv-$precision.uio" | wc -l)" ] || fail 'nothing grew'
    uio-inspect --export before.safetensors --segments 0 "kv-$precision.uio" || fail 'export'
    uio-inspect --export after.safetensors --segments 0 grown.uio || fail 'export of the grown one'
    expect_same before.safetensors after.safetensors
    memories "kv-$precision.uio" | head -n 1 | jq -c 'del(.offset, .is_last)' >before
    memories grown.uio | head -n 1 | jq -c 'del(.offset, .is_last)' >after
    expect_same before after
  done
}

test_stored_payloads() {
  make_precisions
  local precision
  for precision in exact int8 int4; do
    uio-compress --precision "$precision" --level 0 -o stored.uio book.seg || fail "level 0, $precision"
    zstd -qt <stored.uio || fail 'not zstd'
    [ "$(stat -c %s stored.uio)" -gt "$(stat -c %s "kv-$precision.uio")" ] || fail 'stored is not longer'
    uio-inspect --export stored.safetensors stored.uio || fail 'export of the stored one'
    uio-inspect --export coded.safetensors "kv-$precision.uio" || fail 'export'
    expect_same stored.safetensors coded.safetensors
  done
  run uio-compress --level 20 book.seg
  expect_status 2 'level 20'
  run uio-compress --precision int2 book.seg
  expect_status 2 'int2'
}

test_score_after_memories_that_were_kept() {
  use_model
  make_text >book.txt
  local form precision
  for form in kv hidden; do
    for precision in exact int8 int4; do
      uio-score --context none,memory --form "$form" --precision "$precision" book.txt >"$form-$precision" || fail "$form $precision"
    done
  done
  nll() { jq -s --arg c "$1" '.[] | select(.summary and .context == $c) | .nll' "$2"; }
  expect_same kv-exact hidden-exact
  for precision in kv-int8 kv-int4 hidden-int8 hidden-int4; do
    [ "$(nll none $precision)" = "$(nll none kv-exact)" ] || fail "$precision changed what has no memories"
    jq -ne "($(nll memory $precision) - $(nll memory kv-exact)) | . != 0 and (. * . < 0.04)" >/dev/null || fail "$precision: $(nll memory $precision)"
  done
}

# The model's own weights in 8 bits: nearly the same likelihoods, text as before, and nothing kept that was made with them.
test_weights_in_8_bits() {
  make_precisions
  nll() { uio-score --context none,memory "$@" book.txt | jq -s '.[] | select(.summary and .context == "memory") | .nll'; }
  local stored rounded
  stored=$(nll) rounded=$(nll --weights int8)
  jq -ne "($rounded - $stored) | . != 0 and (. * . < 0.0025)" >/dev/null || fail "nll $rounded instead of $stored"
  [ "$(nll --weights stored)" = "$stored" ] || fail '--weights stored is not the default'
  run uio-decode --weights int8 -p 'Once upon a time' -n 20 kv-exact.uio
  expect_status 0
  [ -s out ] || fail 'no text'
  cp out once
  run uio-decode --weights int8 -j1 -p 'Once upon a time' -n 20 kv-exact.uio
  expect_same once out
  run uio-decode --weights int8 --save grown.uio -p 'Once' -n 2 kv-exact.uio
  expect_status 2
  grep -q "^uio-decode: --save with --weights int8: 'grown.uio': " err || fail "$(cat err)"
  [ ! -e grown.uio ] || fail 'grown.uio is there'
  run uio-score --weights int8 --verify kv-exact.uio book.seg
  expect_status 2
  run uio-decode --weights int4 -p 'Once'
  expect_status 2
  run uio-compress --weights int8 book.seg
  expect_status 2
}
