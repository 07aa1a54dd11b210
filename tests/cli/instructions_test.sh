# shellcheck shell=bash disable=SC2154  # status comes from run
# Instructions: what is read and what is scored, from JSON Lines through segments to what is shown of them.

make_instructions() {
  cat <<'LINES'
{"id":"ahab","prompt":"Who is Lily?","response":" Lily is a girl who went to the park with Tom."}
{"id":"plain","text":"Once upon a time."}
{"id":"parts","parts":[{"text":"Tom saw ","weight":0},{"text":""},{"text":"a big dog","weight":7},{"text":"."}]}
LINES
}

# The field $1 of all segments of the document $2 in the stream $3, their lists joined.
field() { uio-inspect --tokens "$3" | jq -c --arg id "$2" --arg key "$1" -n '[inputs | select(.id == $id) | .[$key][]?]'; }

test_instructions_have_the_ids_of_their_text() {
  use_model
  make_instructions >lines
  jq -c '{id, text: (.text // (if .parts then [.parts[].text] | add else .prompt + .response end))}' lines >texts
  uio-segment --jsonl -l 8 -o lines.seg lines || fail 'uio-segment'
  uio-segment --jsonl -l 8 -o texts.seg texts || fail 'uio-segment'
  [ "$(field tokens parts lines.seg)" = "$(field tokens parts texts.seg)" ] || fail 'ids of parts'
  [ "$(field tokens plain lines.seg)" = "$(field tokens plain texts.seg)" ] || fail 'ids of a text'
  [ "$(field tokens ahab lines.seg | jq -c 'del(.[-1])')" = "$(field tokens ahab texts.seg)" ] || fail 'ids of a response'
  [ "$(field weights plain lines.seg)" = '[]' ] || fail 'weights of a text'
  [ "$(field weights texts texts.seg)" = '[]' ] || fail 'weights of texts'
}

test_weights_are_shown() {
  use_model
  make_instructions | uio-segment --jsonl -l 8 -o lines.seg || fail 'uio-segment'
  field weights ahab lines.seg | jq -e '.[0] == 0 and .[-1] == 1 and . == sort' >/dev/null || fail 'a prompt, then a response'
  field weights parts lines.seg | jq -e 'unique == [0, 1, 7] and .[-1] == 1' >/dev/null || fail 'weights of parts'
  uio-inspect lines.seg | jq -s 'map(.scored // 0) | add' >sum
  { field weights ahab lines.seg; field weights parts lines.seg; } | jq -s 'add | map(select(. > 0)) | length' | cmp - sum ||
    fail 'scored is not the number of weights above 0'
  uio-inspect lines.seg | jq -es 'map(has("weights")) | any | not' >/dev/null || fail 'weights without --tokens'
  uio-inspect --cut --document parts -o cut.seg lines.seg || fail 'uio-inspect --cut'
  [ "$(field weights parts cut.seg)" = "$(field weights parts lines.seg)" ] || fail 'weights are cut off'
  run uio-inspect --verify lines.seg
  expect_status 0
}

test_texts_alone_make_the_bytes_that_they_made() {
  use_model
  printf '{"id":"a","text":"Once upon a time."}\n' >lines
  uio-segment --jsonl -o lines.seg lines || fail 'uio-segment'
  ! grep -q scored lines.seg || fail 'a text has weights'
}

test_the_tail_keeps_its_weights() {
  use_model
  make_instructions | uio-segment --jsonl -o lines.seg || fail 'uio-segment'
  uio-compress -o blob lines.seg || fail 'uio-compress'
  uio-inspect --tokens lines.seg | jq -c 'select(.kind == "segment" and (.is_full | not)) | {id, tokens, weights}' >before
  uio-inspect --tokens blob | jq -c 'select(.kind == "segment") | {id, tokens, weights}' >after
  expect_output before
  expect_same before after
}

test_score_takes_instructions_as_texts() {
  use_model
  make_instructions >lines
  run uio-score --jsonl --context none lines
  expect_status 0
  uio-segment --jsonl lines | uio-inspect | jq -s 'map(select(.id == "ahab").token_count) | add - 1' >tokens
  jq 'select(.id == "ahab").tokens' out | cmp - tokens || fail 'other tokens than all but the first'
}

test_lines_that_are_no_instructions() {
  use_model
  local line
  while IFS= read -r line; do
    printf '{"text":"fine"}\n%s\n' "$line" >lines
    run uio-segment --jsonl -o result lines
    expect_status 3 "$line"
    expect_message uio-segment
    grep -q "'lines:2'" err || fail "the line is not named: $line"
    grep -q '"' err || fail "the key is not named: $line"
    [ ! -e result ] || fail "made a stream of $line"
  done <<'LINES'
{"text":"a","prompt":"b","response":"c"}
{"prompt":"a"}
{"response":"a"}
{"prompt":"a","response":7}
{"parts":"a"}
{"parts":["a"]}
{"parts":[{"weight":1}]}
{"parts":[{"text":"a","weight":256}]}
{"parts":[{"text":"a","weight":-1}]}
{"parts":[{"text":"a","weight":0.5}]}
{"parts":[{"text":"a","weight":"1"}]}
{"parts":[],"text":"a"}
LINES
}
