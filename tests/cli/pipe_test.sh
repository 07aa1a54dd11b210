# shellcheck shell=bash disable=SC2154  # status comes from run
# The programs together, and the laws of their streams as a shell sees them.

test_whole_pipe() {
  use_model
  make_text >book.txt
  uio-segment book.txt | uio-compress >book.uio || fail 'compress'
  uio-inspect --verify book.uio >/dev/null || fail 'inspect'
  uio-decode -n 8 -p Once book.uio >text || fail 'decode'
  [ -s text ] || fail 'no text'
  uio-score --context none,memory book.txt >scores || fail 'score'
  jq -es 'map(select(.summary).context) | sort == ["memory", "none"]' scores >/dev/null || fail "summaries: $(cat scores)"
  uio-score --verify book.uio book.txt >/dev/null || fail 'verify'
}

test_streams_are_zstd() {
  command -v zstd >/dev/null || skip 'no zstd'
  use_model
  make_text | uio-segment >book.seg || fail 'segment'
  uio-compress book.seg >book.uio || fail 'compress'
  cat book.seg book.seg | zstd -qt || fail 'segments'
  cat book.uio book.uio | zstd -qt || fail 'memories'
}

test_joined_streams_are_both() {
  use_model
  make_text >one.txt
  make_text | tac >two.txt
  local name
  for name in one two; do
    uio-segment -o $name.seg $name.txt || fail 'segment'
    uio-compress -o $name.uio $name.seg || fail 'compress'
  done
  cat one.uio two.uio >both.uio
  uio-inspect --verify both.uio >/dev/null || fail 'both'
  uio-decode -n 8 one.uio two.uio >apart || fail 'decode apart'
  uio-decode -n 8 both.uio >joined || fail 'decode joined'
  expect_same apart joined
  cat one.seg two.seg | uio-compress >compressed || fail 'compress joined'
  uio-compress one.seg two.seg >same || fail 'compress apart'
  local records='select(.kind == "memory" or .kind == "segment") | del(.offset)'
  uio-inspect compressed | jq -c "$records" >first
  uio-inspect same | jq -c "$records" >second
  expect_output first
  expect_same first second
}

test_threads_do_not_matter() {
  use_model
  make_text | uio-segment -o book.seg || fail 'segment'
  uio-compress -j 1 book.seg >one || fail 'one thread'
  local threads
  for threads in 2 3 7; do
    uio-compress -j "$threads" book.seg >many || fail "$threads threads"
    expect_same one many
  done
}

# Other batches are other sums: the same memories to rounding.
test_batches_agree() {
  use_model
  make_text >book.txt
  uio-segment -o book.seg book.txt || fail 'segment'
  local batch
  for batch in 1 2 7 64; do
    uio-compress --batch "$batch" -o book.uio book.seg || fail "batch of $batch"
    run uio-score --dtype f32 --verify book.uio --tolerance 1e-5 book.txt
    expect_status 0 "batch of $batch: $(tail -n 1 out)"
  done
}

test_foreign_memories_are_refused() {
  use_model
  make_text >book.txt
  local -a own=(-a fresh -l 64 --memory-length 8) other=(-a fresh -l 64 --memory-length 4)
  uio-segment -l 64 -o book.seg book.txt || fail 'segment'
  uio-compress "${own[@]}" -o own.uio book.seg || fail 'fresh adapter'
  run uio-decode "${own[@]}" -n 2 own.uio
  expect_status 0 'own adapter'
  run uio-decode "${other[@]}" -n 2 own.uio
  expect_status 4 'another adapter'
  expect_message uio-decode
  run uio-score "${other[@]}" --verify own.uio book.txt
  expect_status 4 'another adapter'
  expect_message uio-score
  run uio-decode "${other[@]}" --overflow oldest --force -n 2 own.uio
  expect_status 4 'no option overrides a mismatch'
  # One bit of the weights makes another model.
  mkdir model
  cp -RL "$UIO_MODEL/." model
  cp -RL "${UIO_ADAPTER:-$UIO_MODEL/adapter}" model/
  printf '\1' | dd of=model/model.safetensors bs=1 seek=$(($(stat -c %s model/model.safetensors) - 4)) conv=notrunc status=none
  uio-segment book.txt | uio-compress -o book.uio || fail 'compress'
  run env -u UIO_ADAPTER uio-decode -m model -n 2 book.uio
  expect_status 4 'another model'
  expect_message uio-decode
}

test_other_segment_length_is_refused() {
  use_model
  make_text | uio-segment -l 48 -o book.seg || fail 'segment'
  run uio-compress book.seg
  expect_status 4
  expect_message uio-compress
}

test_cut_streams_are_refused() {
  use_model
  make_text >book.txt
  uio-segment -o book.seg book.txt || fail 'segment'
  uio-compress -o book.uio book.seg || fail 'compress'
  local size at name
  for name in seg uio; do
    size=$(stat -c %s book.$name)
    for at in 1 8 40 $((size / 3)) $((size / 2)) $((size - 30)) $((size - 1)); do
      head -c "$at" book.$name >cut.bin
      run uio-inspect --verify cut.bin
      expect_status 3 "$name cut at $at"
      cat cut.bin book.$name >joined
      run uio-inspect --verify joined
      expect_status 3 "$name cut at $at, then a good one"
    done
  done
  head -c $((size / 2)) book.uio >cut.bin
  run uio-decode -n 2 cut.bin
  expect_status 3
  expect_empty out 'text from half a blob'
  head -c 700 book.seg >cut.bin
  run uio-compress -o result cut.bin
  expect_status 3
  [ ! -e result ] || fail 'memories from half a stream'
}

test_requests() {
  use_model
  make_text | uio-segment | uio-compress -o book.uio || fail 'no blob'
  jq -cn '{id: "a", memory: ["book.uio"], prompt: "Once", max_tokens: 4},
          {id: 7, prompt: "Once", max_tokens: 4}' >requests
  uio-decode --jsonl requests >answers || fail 'decode'
  jq -es 'map(.id) == ["a", 7]' answers >/dev/null || fail "ids: $(cat answers)"
  uio-decode -n 4 -p Once book.uio >text || fail 'decode'
  jq -rj 'select(.id == "a").text' answers >answer
  [ "$(cat text)" = "$(cat answer)" ] || fail "answers differ: $(cat text) and $(cat answer)"
  uio-decode --jsonl <requests >second || fail 'requests on standard input'
  expect_same answers second
}

# Raw segments that uio-decode compresses on its way are saved as memories, once, where the segments were; the same as from a blob.
test_raw_segments_are_saved_once() {
  use_model
  make_text >text
  local cut
  for cut in fixed content; do
    uio-segment --boundaries $cut text text -o raw.seg || fail 'segment'
    uio-decode -n 5 --save raw.uio raw.seg >/dev/null || fail 'decode of segments'
    uio-compress raw.seg | uio-decode -n 5 --save blob.uio >/dev/null || fail 'decode of memories'
    for name in raw blob; do
      uio-inspect $name.uio | jq -c 'select(has("segment")) | [.kind, .id, .segment, .byte_begin, .byte_end, .first_token, .token_count, .is_last]' >$name.spans
    done
    expect_output raw.spans
    expect_same raw.spans blob.spans
  done
  # Without an adapter everything stays raw.
  cp -rL "$UIO_MODEL" plain && rm -r plain/adapter
  head -n 3 text >begin
  uio-segment -m plain -l 16 begin -o raw.seg || fail 'segment'
  uio-decode -m plain -n 5 --save raw.uio raw.seg >/dev/null || fail 'decode'
  local before after
  before=$(uio-inspect raw.seg | jq -s 'map(.token_count // 0) | add')
  after=$(uio-inspect raw.uio | jq -s 'map(.token_count // 0) | add')
  [ "$after" -eq $((before + 5)) ] || fail "$before tokens became $after"
  # Segments of another length end elsewhere than the adapter's.
  run uio-decode -n 1 --save other.uio raw.seg
  expect_status 4
  [ ! -e other.uio ] || fail 'something was saved'
}
