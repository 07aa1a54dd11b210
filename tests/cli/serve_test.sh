# shellcheck shell=bash disable=SC2154
# uio-decode --jsonl: requests in order, side by side, and what one of them must not do to the others.

# Prints requests over m.uio and n.uio, good and bad ones, as many as the loops below need.
make_requests() {
  jq -cn '
    {id: "memory", memory: ["m.uio"], prompt: " Then", max_tokens: 30},
    {id: "alone", prompt: "Once upon", max_tokens: 7},
    {id: "missing", memory: ["none.uio"], prompt: "x"},
    {id: "both", memory: ["m.uio", "n.uio"], prompt: " The", max_tokens: 45},
    {id: "nothing", memory: ["m.uio"], prompt: " a", max_tokens: 0},
    {id: "key", prompt: "x", what: 1},
    {id: "drawn", memory: ["n.uio"], prompt: " They", max_tokens: 20, temperature: 0.9, seed: 5},
    {id: "stop", memory: ["m.uio"], prompt: " birds", max_tokens: 40, stop: ["e"]},
    {id: "again", memory: ["m.uio"], prompt: " Then", max_tokens: 30}'
}

make_blobs() {
  use_model
  make_blob m.uio
  make_text | tac | uio-segment | uio-compress -o n.uio || fail 'cannot make a blob'
}

test_in_order_side_by_side() {
  make_blobs
  make_requests >requests
  run uio-decode --dtype f64 --jsonl requests
  expect_status 1
  cp out one
  jq -se 'map(.id) == ["memory", "alone", "missing", "both", "nothing", "key", "drawn", "stop", "again"]' one >/dev/null || fail 'order'
  jq -se 'map(.error.status) == [null, null, 5, null, null, 3, null, null, null]' one >/dev/null || fail 'errors'
  jq -se '(.[0] | .text, .tokens) == (.[8] | .text, .tokens)' one >/dev/null || fail 'the same request has two answers'
  [ "$(wc -l <err)" -eq 2 ] || fail "$(cat err)"
  local batch
  for batch in 2 3 5 100; do
    run uio-decode --dtype f64 --jsonl --batch $batch requests
    expect_status 1
    expect_same one out
  done
}

# Each by itself says what all together say.
test_as_one_by_one() {
  make_blobs
  make_requests | jq -c 'select(.id | IN("memory", "both", "drawn"))' >requests
  while read -r request; do
    uio-decode --dtype f64 --jsonl <<<"$request"
  done <requests >wanted
  uio-decode --dtype f64 --jsonl --batch 3 requests >found || fail 'uio-decode'
  expect_same wanted found
}

# A request that runs out of positions in the middle of its answer; its neighbours go on.
test_one_runs_out_of_room() {
  make_blobs
  uio-segment -o long.seg <(for _ in $(seq 400); do make_text; done) || fail 'uio-segment'
  local positions length slots
  positions=$(jq .max_position_embeddings "$UIO_MODEL/config.json")
  read -r length slots < <(jq -r '"\(.segment_length) \(.memory_length)"' "$UIO_MODEL/adapter/adapter_config.json")
  # So many memories that less than a segment of raw text still fits.
  local count=$(((positions - length / 2) / slots))
  uio-inspect --cut --segments 0-$((count - 1)) long.seg | uio-compress -o full.uio || fail 'uio-compress'
  jq -cn --argjson n "$length" '{id: "before", memory: ["m.uio"], prompt: " The", max_tokens: $n, ignore_eos: true},
    {id: "full", memory: ["full.uio"], prompt: " a", max_tokens: $n, ignore_eos: true},
    {id: "oldest", memory: ["full.uio"], prompt: " a", max_tokens: $n, ignore_eos: true, overflow: "oldest"},
    {id: "after", memory: ["m.uio"], prompt: " The", max_tokens: $n, ignore_eos: true}' >requests
  local batch
  for batch in 1 4; do
    run uio-decode --dtype f64 --jsonl --batch $batch requests
    expect_status 1
    jq -se 'map(.error.status) == [null, 4, null, null]' out >/dev/null || fail "$(cut -c 1-200 out)"
    jq -se '.[0].tokens == .[3].tokens and (.[2].tokens | length) == (.[0].tokens | length)' out >/dev/null || fail 'the others'
  done
}

# A blob is read once, and again when the file is another: a program that talks to the server sees what it wrote.
test_changed_blob() {
  make_blobs
  local request='{"memory":["m.uio"],"prompt":" Then","max_tokens":12}' first second third
  jq -cn '{memory: ["n.uio"], prompt: " Then", max_tokens: 12}' | uio-decode --dtype f64 --jsonl >other || fail 'uio-decode'
  coproc server { uio-decode --dtype f64 --jsonl; }
  local to=${server[1]} from=${server[0]}
  echo "$request" >&"$to"
  read -r first <&"$from"
  echo "$request" >&"$to"
  read -r second <&"$from"
  cp n.uio new && mv new m.uio
  echo "$request" >&"$to"
  read -r third <&"$from"
  exec {to}>&-
  wait "$server_PID"
  [ "$first" = "$second" ] || fail 'two answers to one request'
  [ "$third" = "$(cat other)" ] || fail 'the old blob was used'
  [ "$first" != "$third" ] || fail 'the blobs say the same'
}

test_batch_is_a_number() {
  use_model
  run uio-decode --jsonl --batch 0
  expect_status 2
  expect_message uio-decode
}

test_folder_is_asked() {
  use_model
  mkdir books
  make_text >books/a.txt
  make_text | tac >books/b.txt
  "$UIO_ROOT/examples/ask-folder" books ' Then' 5 >answers || fail 'ask-folder'
  [ "$(cut -d : -f 1 answers)" = "$(printf 'a.txt\nb.txt')" ] || fail "$(cat answers)"
  touch -d '2001-01-01' books/a.txt
  cp books/a.txt.uio before
  "$UIO_ROOT/examples/ask-folder" books ' Then' 5 >again || fail 'ask-folder'
  expect_same answers again
  expect_same before books/a.txt.uio
}
