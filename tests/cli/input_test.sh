# shellcheck shell=bash disable=SC2154  # status comes from run
# Inputs: operands in any number and with any name, standard input, and what happens when some of them are bad.

odd_names=('with space' $'new\nline' '-dash' '--' 'back\slash' "quote'" '*' '{}' '[a,b]' $'tab\t' '=x' '++')

test_odd_names() {
  use_model
  make_text >text
  local name
  for name in "${odd_names[@]}"; do
    cp text "./$name"
    run uio-segment -o result -- "$name"
    expect_status 0 "uio-segment $name"
    expect_empty err "uio-segment $name"
    [ "$(uio-inspect result | jq -r 'select(.kind == "segment" and .segment == 0) | .id')" = "$name" ] || fail "id is not '$name'"
    run uio-segment "-o./out of $name" text
    expect_status 0 "-o 'out of $name'"
    run uio-inspect --verify -- "./out of $name"
    expect_status 0 "uio-inspect 'out of $name'"
  done
}

test_names_in_messages_stay_on_one_line() {
  local program
  for program in $UIO_PROGRAMS; do
    run "$program" -m . $'two\nlines\033[31m'
    [ "$status" -ne 0 ] || fail "$program: status 0"
    expect_message "$program"
    ! grep -q $'\033' err || fail "$program: control characters in a message"
  done
}

test_dash_is_standard_input() {
  use_model
  make_text >text
  uio-segment <text >first || fail 'uio-segment'
  uio-segment - <text >second || fail 'uio-segment -'
  uio-segment -- - <text >third || fail 'uio-segment -- -'
  expect_same first second
  expect_same first third
  make_text | uio-segment text - | uio-inspect | jq -r 'select(.kind == "segment" and .segment == 0) | .id' >ids
  printf 'text\n-\n' | cmp - ids || fail 'ids differ'
  uio-segment -o - <text >fourth || fail '-o -'
  expect_same first fourth
}

test_some_inputs_fail() {
  use_model
  make_text >text
  run uio-segment text missing -o result
  expect_status 1
  expect_message uio-segment
  uio-inspect --verify result >/dev/null || fail 'what was read is not whole'
  rm result
  run uio-segment missing also-missing -o result
  expect_status 5
  [ ! -e result ] || fail 'made a file of nothing'
  uio-segment -o text.seg text || fail 'uio-segment'
  head -c 300 text.seg >cut.seg
  run uio-inspect --verify text.seg cut.seg
  expect_status 1
  run uio-inspect --verify cut.seg missing
  expect_status 1 'two kinds of failure'
  run uio-inspect --verify cut.seg cut.seg
  expect_status 3
}

test_units_of_text() {
  use_model
  make_text >text
  run uio-segment --lines --jsonl text
  expect_status 2
  expect_message uio-segment
  uio-segment --lines text | uio-inspect | jq -r 'select(.kind == "segment" and .segment == 0) | .id' >ids
  seq -f 'text:%.0f' "$(wc -l <text)" | cmp - ids || fail 'ids of lines'
  jq -Rc '{id: "line \(input_line_number)", text: .}' text >text.jsonl
  uio-segment --jsonl text.jsonl | uio-inspect | jq -r 'select(.kind == "segment" and .segment == 0) | .id' >ids
  jq -r .id text.jsonl | cmp - ids || fail 'ids of JSON lines'
  echo '{"id": 1}' | run uio-segment --jsonl
  printf '{"id": 1}\n' >bad.jsonl
  run uio-segment --jsonl bad.jsonl
  expect_status 3
  expect_message uio-segment
}

test_invalid_text() {
  use_model
  printf 'good \377 bad' >text
  run uio-segment text
  expect_status 3
  head -n 1 err | grep -q 5 || fail 'offset not told'
  run uio-segment --replace-invalid -o result text
  expect_status 0
}

test_no_model() {
  [ -e "$UIO_ROOT/examples/model/config.json" ] && skip 'there is a demo model'
  local program
  for program in uio-segment uio-compress uio-decode uio-score; do
    run "$program" -
    expect_status 2 "$program"
    expect_message "$program"
    grep -q '^hint: ' err || fail "$program: no hint"
    run env UIO_MODEL= "$program" -
    expect_status 2 "$program"
  done
}

test_option_beats_environment() {
  use_model
  make_text >text
  local model=$UIO_MODEL
  UIO_MODEL=missing run uio-segment -m "$model" -o result text
  expect_status 0
  UIO_ADAPTER=missing run uio-segment -l 32 -o result text
  expect_status 0
  uio-inspect result | jq -es 'map(select(.kind == "segment").segment_length == 32) | all' >/dev/null || fail 'length is not 32'
}

test_decode_arguments() {
  use_model
  make_text | uio-segment | uio-compress -o book.uio || fail 'no blob'
  echo -n Once >prompt
  uio-decode -n 4 -p Once book.uio >first || fail '-p'
  uio-decode -n 4 -f prompt book.uio >second || fail '-f'
  uio-decode -n 4 -f - book.uio <prompt >third || fail '-f -'
  uio-decode -n 4 -p Once <book.uio >fourth || fail 'blob on standard input'
  uio-decode -n 4 -p other --prompt-file=prompt - <book.uio >fifth || fail 'the last of -p and -f'
  local other
  for other in second third fourth fifth; do expect_same first "$other"; done
  uio-decode -n 4 -p Once </dev/null >alone || fail 'prompt alone'
  uio-decode -n 4 -f - <prompt >alone2 || fail 'prompt on standard input, alone'
  expect_same alone alone2
  run uio-decode -f - - <prompt
  expect_status 2
  run uio-decode --jsonl -p x
  expect_status 2
  run uio-decode --save - book.uio
  expect_status 2
  run uio-decode -n 4 --temperature -1 book.uio
  expect_status 2
  run uio-decode -n 4 --stop= book.uio
  expect_status 2
  run uio-decode -n 4 --save deeper/file book.uio
  expect_status 5
}

test_score_arguments() {
  use_model
  make_text >text
  run uio-score --context none,none text
  expect_status 2
  run uio-score --context none,nothing text
  expect_status 2
  run uio-score --task charades text
  expect_status 2
  run uio-score --last 0 text
  expect_status 2
  run uio-score --lines --jsonl text
  expect_status 2
}

test_device_and_dtype_arguments() {
  use_model
  make_text >text
  local program value
  for program in uio-compress uio-decode uio-score; do
    for value in gpu cuda: cuda:x cuda:-1 CPU ''; do
      run "$program" --device "$value" text
      expect_status 2 "$program --device '$value'"
      expect_message "$program"
    done
    run "$program" --dtype f8 text
    expect_status 2 "$program"
    run "$program" --memory-length 4 text
    expect_status 2 "$program --memory-length without fresh"
  done
  if [ -e /dev/nvidia0 ]; then return; fi
  run uio-score --device cuda --context none text
  expect_status 6 'no such device'
  expect_message uio-score
}
