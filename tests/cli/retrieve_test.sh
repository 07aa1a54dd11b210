# shellcheck shell=bash disable=SC2154
# Memories that keep their segments' tokens, and segments that are read again raw.

make_kept() {
  use_model
  make_text | uio-segment -o book.seg || fail 'segment'
  uio-compress -o plain.uio book.seg || fail 'compress'
  uio-compress --keep-tokens -o kept.uio book.seg || fail 'compress --keep-tokens'
}

test_tokens_are_kept() {
  make_kept
  uio-inspect --verify kept.uio >/dev/null || fail 'verify'
  uio-score --verify kept.uio <(make_text) >/dev/null || fail 'score --verify'
  uio-inspect --tokens kept.uio | jq -c 'select(.kind == "memory") | .tokens' >kept
  uio-inspect --tokens book.seg | jq -c 'select(.is_full) | .tokens' >wanted
  expect_output wanted
  expect_same wanted kept
  # Nothing else of the records is another.
  local fields='select(.kind == "memory") | del(.has_tokens, .offset, .bytes)'
  uio-inspect plain.uio | jq -c "$fields" >first
  uio-inspect kept.uio | jq -c "$fields" >second
  expect_same first second
  uio-compress --keep-tokens --cache-dir cache book.seg >/dev/null || fail 'first run'
  uio-compress --keep-tokens --cache-dir cache book.seg >again || fail 'second run'
  uio-compress --cache-dir cache book.seg >without || fail 'third run'
  uio-inspect --tokens again | jq -c 'select(.kind == "memory") | .tokens' >kept
  expect_same wanted kept
  uio-inspect without | jq -c "$fields" >second
  expect_same first second
  uio-compress -n --level 0 --keep-tokens book.seg >told || fail 'dry run'
  uio-compress --level 0 --keep-tokens -o stored.uio book.seg || fail 'level 0'
  [ "$(jq .bytes told)" -eq "$(stat -c %s stored.uio)" ] || fail "told $(jq .bytes told), made $(stat -c %s stored.uio)"
}

test_retrieved_text_is_read() {
  make_kept
  uio-decode -n 12 -p ' The birds' kept.uio >without || fail 'decode'
  uio-decode -n 12 -p ' The birds' plain.uio >plain || fail 'decode plain'
  expect_same without plain
  uio-decode -n 12 --retrieve 2 -p ' The birds' kept.uio >one || fail 'decode --retrieve'
  jq -cn '{memory: ["kept.uio"], prompt: " The birds", max_tokens: 12, retrieve: 2}, {memory: ["kept.uio"], prompt: " The birds", max_tokens: 12},
    {memory: ["plain.uio"], prompt: " The", retrieve: 1}' >requests
  run uio-decode --jsonl requests
  expect_status 1
  head -n 1 out | jq -j '.text + "\n"' >served
  expect_same one served
  sed -n 2p out | jq -j '.text + "\n"' >served
  expect_same without served
  sed -n 3p out | jq -e '.error.status == 4' >/dev/null || fail "$(cat out)"
}

test_saved_memories_keep_theirs() {
  make_kept
  uio-decode -n 60 --ignore-eos --retrieve 1 -p ' The birds' --save grown.uio kept.uio >/dev/null || fail 'decode --save'
  uio-inspect --verify grown.uio >/dev/null || fail 'verify'
  uio-inspect grown.uio | jq -se 'map(select(.kind == "memory")) | length > 0 and all(.has_tokens)' >/dev/null || fail 'a memory lost its tokens'
  [ "$(uio-inspect grown.uio | jq -s 'map(select(.kind == "memory")) | length')" -gt "$(uio-inspect kept.uio | jq -s 'map(select(.kind == "memory")) | length')" ] ||
    fail 'nothing grew'
}

test_refusals() {
  make_kept
  run uio-decode --retrieve 1 -p ' The' plain.uio
  expect_status 4
  expect_message uio-decode
  grep -q 'keep-tokens' err || fail "$(cat err)"
  run uio-decode --retrieve 1 kept.uio
  expect_status 2
  run uio-decode --retrieve 0 -p ' The' kept.uio
  expect_status 2
  run uio-decode --retrieve 1 -p ' The'
  expect_status 4
  run uio-score --method fot --memory-layers 1 --context retrieved <(make_text)
  expect_status 2
}

test_contexts() {
  make_kept
  make_text >book.txt
  uio-score --context none,memory,retrieved,memory+retrieved --retrieve 2 book.txt >scores || fail 'score'
  jq -es 'map(select(.summary).context) | sort == ["memory", "memory+retrieved", "none", "retrieved"]' scores >/dev/null || fail "$(cat scores)"
}
