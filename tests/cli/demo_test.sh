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

# By about 0.01 nats a token of the whole story, its first segment included; README.md has what it is on books.
test_memory_predicts_better_than_nothing() {
  need_demo
  uio-score --context none,memory --overflow oldest "$UIO_ROOT/examples/story.txt" >scores || fail 'score'
  jq -es 'map(select(.summary)) | (.[] | select(.context == "none")).nll - (.[] | select(.context == "memory")).nll > 0.01' scores >/dev/null ||
    fail "$(jq -c 'select(.summary) | {context, nll}' scores)"
}

# The model of this tree is right about nine times of ten (README.md); by chance it would be once in 90,000.
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
  [ "$right" -ge 14 ] || fail "$right of $asked pass keys: $(head -n 5 pairs)"
}

# The average of two models that examples/train-demo goes on from: in the middle whichever comes first, and a model that can be used.
test_models_average() {
  use_model
  make_segments text.seg
  local seed
  for seed in 1 2; do
    uio-train-step --init base --trainable base --seed $seed --state $seed.state --steps 1 --export "$seed" text.seg >/dev/null || fail "model $seed"
  done
  local average=$UIO_ROOT/examples/average-models
  "$average" 1 2 0.5 middle || fail 'average'
  "$average" 2 1 0.5 middle2 || fail 'average, the other way round'
  "$average" 1 2 0 first || fail 'all of the first'
  "$average" 2 1 1 same || fail 'all of the second'
  expect_same middle/model.safetensors middle2/model.safetensors
  expect_same first/model.safetensors same/model.safetensors
  ! cmp -s middle/model.safetensors first/model.safetensors || fail 'the average is the first'
  make_text | uio-score -m middle -a fresh -l 64 --memory-length 4 --context none >scores || fail 'score'
  # On one base, the adapters are averaged.
  for seed in 1 2; do
    cp -r 1 with-$seed
    uio-train-step -m 1 --init adapter -l 16 --memory-length 4 --seed $seed --state adapter-$seed.state --steps 1 --export with-$seed/adapter \
      <(make_text | uio-segment -m 1 -l 16) >/dev/null || fail "adapter $seed"
  done
  "$average" with-1 with-2 0.5 between || fail 'average of adapters'
  "$average" with-2 with-1 0.5 between2 || fail 'average of adapters, the other way round'
  expect_same between/adapter/adapter_model.safetensors between2/adapter/adapter_model.safetensors
  expect_same between/model.safetensors 1/model.safetensors
  ! cmp -s between/adapter/adapter_model.safetensors with-1/adapter/adapter_model.safetensors || fail 'the average is the first'
  need_demo
  run "$average" 1 "$UIO_ROOT/examples/model" 0.5 mixed
  expect_status 5 'not f32'
  [ ! -e mixed ] || fail 'something was written'
}

# Weights for what begins a segment: the same text, weighed where the stream's segments begin.
test_beginnings_are_weighed() {
  use_model
  make_text | jq -Rsc '{id: "t", text: .}' >texts.jsonl
  "$UIO_ROOT/examples/weigh-beginnings" "$UIO_MODEL" 16 5 <texts.jsonl >weighed.jsonl || fail 'weigh-beginnings'
  jq -j '.parts[].text' weighed.jsonl >whole
  jq -j .text texts.jsonl | cmp - whole || fail 'another text'
  uio-segment -l 16 --jsonl texts.jsonl | uio-inspect | jq -c 'select(.kind == "segment") | .byte_end' >plain
  uio-segment -l 16 --jsonl weighed.jsonl | uio-inspect | jq -c 'select(.kind == "segment") | [.byte_end, .scored]' >ends
  cmp <(jq -c '.[0]' ends) plain || fail 'other segments'
  jq -es '.[0][1] == 0 and (.[1:-1] | all(.[1] > 0 and .[1] < 16))' ends >/dev/null || fail "$(tr '\n' ' ' <ends)"
}
