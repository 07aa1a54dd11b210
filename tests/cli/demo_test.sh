# shellcheck shell=bash disable=SC2154  # status comes from run
# The demo model of examples/model: found without being named, and worth its bytes.

need_demo() {
  [ -e "$UIO_ROOT/examples/model/config.json" ] || fail 'no demo model'
  unset UIO_MODEL UIO_ADAPTER
}

# Texts of our own with one pass key in them, each several segments long: the key is within the whole ones.
make_keys() {  # how many, characters
  "$UIO_ROOT/examples/recall-texts" --ask --kinds landmark --facts 1 --apart 1000 --seed 4711 -n "$1" --characters "$2-$2" >keys.jsonl || fail 'recall-texts'
}

test_the_model_needs_no_name() {
  need_demo
  uio-segment "$UIO_ROOT/examples/story.txt" | uio-compress >blob || fail 'compress'
  uio-inspect --verify blob >/dev/null || fail 'inspect'
  uio-decode --overflow oldest -n 8 -p 'The keeper' blob >text || fail 'decode'
  expect_output text
}

test_it_is_small() {
  need_demo
  local bytes
  bytes=$(du -sb "$UIO_ROOT/examples/model" | cut -f1)
  [ "$bytes" -le $((16 << 20)) ] || fail "$bytes bytes"
}

test_memory_predicts_better_than_nothing() {
  need_demo
  uio-score --context none,memory --overflow oldest "$UIO_ROOT/examples/story.txt" >scores || fail 'score'
  jq -es 'map(select(.summary)) | (.[] | select(.context == "none")).nll - (.[] | select(.context == "memory")).nll > 0.01' scores >/dev/null ||
    fail "$(jq -c 'select(.summary) | {context, nll}' scores)"
}

# The model of this tree is right about four times of five (README.md); by chance it would be once in 90,000.
test_memory_recalls_pass_keys() {
  need_demo
  make_keys 20 4000
  local right=0 asked=0 id
  jq -c '{id, text}' keys.jsonl | uio-segment --jsonl | uio-compress >all.uio || fail 'compress'
  while read -r id; do
    uio-inspect --cut --document "$id" -o "$id.uio" all.uio || fail "cut $id"
  done < <(jq -r .id keys.jsonl)
  jq -c '{id, memory: ["\(.id).uio"], prompt, max_tokens: 8}' keys.jsonl >questions
  uio-decode --jsonl questions >answers || fail 'decode'
  paste <(jq -r .answer keys.jsonl) <(jq -r '.text | capture("(?<k>[0-9]+)").k // "none"' answers) >pairs
  asked=$(wc -l <pairs)
  right=$(awk '$1 == $2' pairs | wc -l)
  [ "$asked" -eq 20 ] || fail "$asked answers"
  [ "$right" -ge 10 ] || fail "$right of $asked pass keys: $(head -n 5 pairs)"
}
