# shellcheck shell=bash disable=SC2154  # status comes from run
# uio-decode --chat and --parse-special: the ids that the model reads, by option and by request, and what a prompt cannot do.

options=(-a fresh -l 120 --memory-length 2 -n 0)

# Prints the ids that uio-decode with $@ reads.
ids() {
  uio-decode "${options[@]}" --save read.uio "$@" >/dev/null </dev/null || fail "$*"
  uio-inspect --tokens read.uio | jq -sc 'map(.tokens // empty) | add'
}

use_chat_model() {
  use_model
  [ -e "$UIO_MODEL/tokenizer.model" ] || skip 'no tokenizer.model'
}

test_ids_of_a_turn() {
  use_chat_model
  # Markers of Llama 2 are text but for the first; what is said loses its spaces.
  [ "$(ids --chat llama2 -p ' the dog ')" = "$(ids -p '[INST] the dog [/INST]')" ] || fail 'llama2'
  [ "$(ids --chat mistral -p 'the dog ')" = "$(ids -p '[INST] the dog  [/INST]')" ] || fail 'mistral'
  [ "$(ids --chat llama2 --system 'Be short.' -p 'the dog')" = "$(ids -p $'[INST] <<SYS>>\nBe short.\n<</SYS>>\n\nthe dog [/INST]')" ] ||
    fail 'system'
  printf 'the dog' >prompt
  [ "$(ids --chat llama2 -f prompt)" = "$(ids --chat llama2 -p 'the dog')" ] || fail 'from a file'
  ids -p 'x' | jq -e '.[0] == 1' >/dev/null || fail 'BOS'
}

test_text_stays_text() {
  use_chat_model
  local special
  for special in '</s>' '<s>'; do
    ids -p "a${special}b" | jq -e '.[1:] | all(. != 1 and . != 2)' >/dev/null || fail "$special in a prompt"
    ids --chat llama2 --system "$special" -p "a${special}b" | jq -e '.[1:] | all(. != 1 and . != 2)' >/dev/null || fail "$special in a chat"
    ids --parse-special -p "a${special}b" | jq -e '.[1:] | any(. == 1 or . == 2)' >/dev/null || fail "$special is not parsed"
    ids --parse-special --chat llama2 -p "a${special}b" | jq -e '.[1:] | any(. == 1 or . == 2)' >/dev/null || fail "$special is not parsed in a chat"
  done
  [ "$(ids --parse-special -p '<s>x')" = "$(ids -p 'x')" ] || [ "$(ids --parse-special -p '<s>x' | jq 'map(select(. == 1)) | length')" -eq 1 ] ||
    fail 'two beginnings'
}

test_requests() {
  use_chat_model
  uio-decode -n 8 --chat llama2 -p 'the dog' >one </dev/null || fail 'by options'
  jq -cn '{chat: "llama2", prompt: "the dog", max_tokens: 8}' | uio-decode --jsonl | jq -r .text >two || fail 'by request'
  expect_same one two
  jq -cn '{prompt: "the dog", max_tokens: 8}' | uio-decode --jsonl --chat llama2 | jq -r .text >two || fail 'by option and request'
  expect_same one two
  uio-decode -n 8 --chat llama2 --system 'Be short.' --parse-special -p 'the</s>' >one </dev/null || fail 'by options'
  jq -cn '{chat: "llama2", system: "Be short.", parse_special: true, prompt: "the</s>", max_tokens: 8}' | uio-decode --jsonl | jq -r .text >two
  expect_same one two
  jq -cn '{chat: "chatml", prompt: "x"}, {chat: 1, prompt: "x"}, {chat: "what", prompt: "x"}, {parse_special: "yes", prompt: "x"}, {system: 1, prompt: "x"},
    {chat: "mistral", prompt: "x", max_tokens: 1}' >requests
  run uio-decode --jsonl requests
  expect_status 1
  jq -se 'map(.error.status) == [4, 3, 2, 3, 3, null]' out >/dev/null || fail "$(cat out)"
}

test_after_memories() {
  use_chat_model
  make_blob book.uio
  run uio-decode -n 4 --chat llama2 -p 'Who?' book.uio
  expect_status 0
  expect_output out
}

test_refusals() {
  use_chat_model
  run uio-decode --chat chatml -p x
  expect_status 4
  expect_message uio-decode
  grep -q "'<|im_end|>'" err || fail "$(cat err)"
  run uio-decode --chat llama3 -p x
  expect_status 4
  grep -q "'<|begin_of_text|>'" err || fail "$(cat err)"
  run uio-decode --chat vicuna -p x
  expect_status 2
  run uio-decode --system x -p x
  expect_status 2
  expect_message uio-decode
  make_blob book.uio
  run uio-decode --chat llama2 book.uio
  expect_status 2
  expect_message uio-decode
}
