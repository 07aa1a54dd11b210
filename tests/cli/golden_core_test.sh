# shellcheck shell=bash disable=SC2154  # status comes from run
# The programs on the project's own tiny model (tests/golden/model) against the figures of an independent float64 program, and the
# laws that hold between their own figures.

# shellcheck source=tests/cli/golden_numbers.sh
. "$UIO_ROOT/tests/cli/golden_numbers.sh"

golden=$UIO_ROOT/tests/golden/model

use_golden() {
  export UIO_MODEL=$golden
  head -c "$(jq .document_bytes "$golden/expected.json")" "$golden/text.txt" >document.txt
  head -c "$(jq .full_bytes "$golden/expected.json")" "$golden/text.txt" >short.txt
}

# In float64 the programs and the reference differ by the five digits of the file only.
for_dtypes() {
  local line
  while read -ra line; do "$1" "${line[@]}"; done <<'END'
f32 1e-4
f64 1.1e-5
END
}

check_full() {
  uio-score --dtype "$1" --context full --per-token short.txt >scores || fail 'uio-score'
  expect_logprobs scores full "$golden/expected.json" .full "$2"
}
test_full() {
  use_golden
  for_dtypes check_full
}

check_memory_and_none() {
  local adapter
  for adapter in adapter adapter-causal; do
    uio-score -a "$golden/$adapter" --dtype "$1" --context memory,none --per-token document.txt >scores || fail "uio-score -a $adapter"
    expect_logprobs scores memory "$golden/expected.json" ".adapters[\"$adapter\"].memory" "$2"
    expect_logprobs scores none "$golden/expected.json" ".adapters[\"$adapter\"].none" "$2"
  done
}
test_memory_and_none() {
  use_golden
  for_dtypes check_memory_and_none
}

check_last() {
  local adapter last bytes memory none
  for adapter in adapter adapter-causal; do
    while read -r bytes last memory none; do
      head -c "$bytes" "$golden/text.txt" >text
      uio-score -a "$golden/$adapter" --dtype "$1" --context memory,none --last "$last" text >scores || fail "uio-score --last $last"
      jq -se --argjson n "$last" 'map(select(.id)) | length == 2 and all(.tokens == $n)' scores >/dev/null || fail "--last $last: not $last tokens"
      expect_within "$(jq -rs --argjson w "$memory" 'map(select(.id and .context == "memory"))[0].nll - $w | fabs' scores)" "$2" "--last $last memory"
      expect_within "$(jq -rs --argjson w "$none" 'map(select(.id and .context == "none"))[0].nll - $w | fabs' scores)" "$2" "--last $last none"
    done < <(jq -r ".adapters[\"$adapter\"].last[] | \"\(.bytes) \(.last) \(.memory) \(.none)\"" "$golden/expected.json")
  done
}
test_last() {
  use_golden
  for_dtypes check_last
}

check_memories() {
  local adapter largest
  for adapter in adapter adapter-causal; do
    uio-segment -a "$golden/$adapter" document.txt | uio-compress -a "$golden/$adapter" --dtype "$1" -o blob || fail 'no blob'
    uio-inspect --export tensors blob || fail 'uio-inspect --export'
    tensors_of tensors >tensors.json
    largest=$(jq -rn --slurpfile found tensors.json --slurpfile file "$golden/expected.json" --arg adapter "$adapter" '
      [$file[0].adapters[$adapter].memories | to_entries[] | .key as $segment | .value | to_entries[]
       | (.key | rtrimstr("s")) as $part | .value | to_entries[] | .key as $layer | .value as $wanted
       | $found[0]["document.txt/\($segment)/\($layer)/\($part)"].values as $values
       | if ($values | length) != ($wanted | length) then error("\($segment)/\($layer)/\($part)") else . end
       | range($wanted | length) | ($values[.] - $wanted[.]) | fabs]
      | if length == 0 then error("nothing is wanted") else max end') || fail "$adapter: not comparable"
    expect_within "$largest" "$2" "memories of $adapter"
    jq -e --slurpfile file "$golden/expected.json" --arg adapter "$adapter" '
      ($file[0].adapters[$adapter].memory | length) as $tokens | ([.[].shape] | unique | .[0][1]) as $slots
      | length == 6 * ($tokens / (if $slots == 4 then 32 else 40 end) | floor)' tensors.json >/dev/null || fail "$adapter: number of tensors"
  done
}
test_memories() {
  use_golden
  for_dtypes check_memories
}

# Ids by themselves and after the document's memories and tail; raw segments fill up on the way, several times.
check_greedy() {
  local adapter
  for adapter in adapter adapter-causal; do
    uio-segment -a "$golden/$adapter" document.txt | uio-compress -a "$golden/$adapter" --dtype "$1" -o blob || fail 'no blob'
    jq -c --arg a "$adapter" '.adapters[$a].generate | {id: "alone", prompt, max_tokens: (.ids | length)},
      {id: "after", prompt, memory: ["blob"], max_tokens: (.after_document | length)}' "$golden/expected.json" >requests
    uio-decode -a "$golden/$adapter" --dtype "$1" --jsonl requests >answers || fail 'uio-decode'
    jq -c --arg a "$adapter" '.adapters[$a].generate | .ids, .after_document' "$golden/expected.json" >wanted
    jq -c .tokens answers >found
    expect_same wanted found
    jq -se 'map([.id, .finish]) == [["alone", "length"], ["after", "length"]]' answers >/dev/null || fail 'id or finish'
  done
}
test_greedy() {
  use_golden
  for_dtypes check_greedy
}

test_text_of_greedy_is_the_same_streamed() {
  use_golden
  local prompt
  prompt=$(jq -r .adapters.adapter.generate.prompt "$golden/expected.json")
  jq -c '.adapters.adapter.generate | {prompt, max_tokens: 40}' "$golden/expected.json" >request
  uio-decode --jsonl request | jq -r .text >wanted || fail '--jsonl'
  uio-decode -p "$prompt" -n 40 >found || fail 'uio-decode'
  expect_same wanted found
}

# A grown memory goes on exactly where it was saved, also when that is in the middle of a segment or at its end.
test_saved_memory_goes_on() {
  use_golden
  local prompt first
  prompt=$(jq -r .adapters.adapter.generate.prompt "$golden/expected.json")
  for first in 5 19 21 40; do
    uio-decode -p "$prompt" -n $first --save grown >/dev/null || fail "--save after $first"
    uio-inspect --verify grown >/dev/null || fail 'what was saved is not whole'
    jq -nc '{memory: ["grown"], max_tokens: 12}' >request
    uio-decode --jsonl request >answer || fail "going on after $first"
    jq -c ".adapters.adapter.generate.ids[$first:$first + 12]" "$golden/expected.json" >wanted
    jq -c .tokens answer >found
    expect_same wanted found
  done
}

test_reference_path() {
  use_golden
  uio-score --context memory,none --per-token document.txt >fast || fail 'uio-score'
  UIO_FORCE_REFERENCE=1 uio-score --context memory,none --per-token document.txt >plain || fail 'UIO_FORCE_REFERENCE=1'
  expect_within "$(difference_of_scores fast plain)" 1e-4 'fast and plain'
  cmp -s fast plain && fail 'UIO_FORCE_REFERENCE=1 changed nothing at all: is it heeded?'
  uio-segment -o segments document.txt
  uio-compress -o fast.uio segments || fail 'uio-compress'
  UIO_FORCE_REFERENCE=1 uio-compress -o plain.uio segments || fail 'uio-compress, UIO_FORCE_REFERENCE=1'
  expect_within "$(difference_of_blobs fast.uio plain.uio)" 2e-5 'memories, fast and plain'
}

test_batch() {
  use_golden
  uio-segment -o segments document.txt
  uio-compress --batch 1 -o one segments || fail '--batch 1'
  local batch
  for batch in 2 3 100; do
    uio-compress --batch $batch -o several segments || fail "--batch $batch"
    expect_within "$(difference_of_blobs one several)" 1e-5 "--batch 1 and $batch"
  done
}

test_threads() {
  use_golden
  uio-segment -o segments document.txt
  uio-compress -j 1 -o one segments || fail '-j 1'
  uio-compress -j 2 -o two segments || fail '-j 2'
  expect_within "$(difference_of_blobs one two)" 1e-5 'threads 1 and 2'
  uio-score -j 1 --context memory,none --per-token document.txt >one.scores || fail '-j 1'
  uio-score -j 2 --context memory,none --per-token document.txt >two.scores || fail '-j 2'
  expect_within "$(difference_of_scores one.scores two.scores)" 1e-4 'threads 1 and 2'
}

test_twice_the_same_bytes() {
  use_golden
  uio-segment document.txt | uio-compress -o one || fail 'no blob'
  uio-segment document.txt | uio-compress -o two || fail 'no blob'
  expect_same one two
  uio-score --context memory,none --per-token document.txt >one.scores || fail 'uio-score'
  uio-score --context memory,none --per-token document.txt >two.scores || fail 'uio-score'
  expect_same one.scores two.scores
}

# Hidden states on disk, through the transfer head when they are read: the same generation.
test_hidden_form() {
  use_golden
  uio-segment document.txt | uio-compress --form hidden -o blob || fail 'no blob'
  jq -c '.adapters.adapter.generate | {prompt, memory: ["blob"], max_tokens: (.after_document | length)}' "$golden/expected.json" >request
  uio-decode --jsonl request | jq -c .tokens >found || fail 'uio-decode'
  jq -c .adapters.adapter.generate.after_document "$golden/expected.json" >wanted
  expect_same wanted found
}

# Roundings of 8 (bf16) and 11 (f16) bits on random weights: far off would mean another computation.
test_narrow_numbers() {
  use_golden
  local dtype bound
  uio-score --context full --per-token short.txt >wide || fail 'uio-score'
  uio-score --context memory --per-token document.txt >>wide || fail 'uio-score'
  while read -r dtype bound; do
    uio-score --dtype "$dtype" --context full --per-token short.txt >narrow || fail "--dtype $dtype"
    uio-score --dtype "$dtype" --context memory --per-token document.txt >>narrow || fail "--dtype $dtype"
    expect_within "$(mean_difference_of_scores wide narrow)" "$bound" "mean of $dtype"
    cmp -s wide narrow && fail "--dtype $dtype changed nothing"
  done <<'END'
bf16 0.2
f16 0.02
END
}

test_verify() {
  use_golden
  uio-segment document.txt | uio-compress -o blob || fail 'no blob'
  run uio-score --verify blob document.txt
  expect_status 0 'fresh blob'
  jq -se '.[-1] | .summary and .ok and .memories == 11 and .largest_difference <= .tolerance' out >/dev/null || fail 'summary'
  uio-segment document.txt | uio-compress --dtype bf16 -o narrow || fail 'no blob'
  run uio-score --dtype f32 --verify narrow document.txt
  expect_status 1 'bf16 memories are not those of f32'
  head -n 1 err | grep -q "^uio-score: memories differ: 'narrow': " || fail 'message'
  jq -se '.[-1].ok == false' out >/dev/null || fail 'summary says ok'
  run uio-score --dtype f32 --verify narrow --tolerance 0.1 document.txt
  expect_status 0 'within the tolerance that was asked for'
  run uio-score --dtype f32 --verify narrow --tolerance 1e-6 document.txt
  expect_status 1 'outside it'
  # Another text, a longer one, a shorter one.
  sed 's/sea/see/' document.txt >other.txt
  head -c 400 document.txt >shorter.txt
  cat document.txt short.txt >longer.txt
  local text
  for text in other shorter longer; do
    run uio-score --verify blob $text.txt
    expect_status 4 "$text text"
    tail -n 1 err | grep -q "blob" || fail 'blob not named'
  done
}

# A blob goes with one model, one adapter, one tokenizer; each message names both sides.
expect_mismatch() {  # program and arguments; what
  local what=$1
  shift
  run "$@"
  expect_status 4 "$what: $*"
  expect_message "$1"
  grep -q "another $what" err || fail "$what is not what the message tells"
  [ "$(grep -oE '\b[0-9a-f]{12,64}\b' err | sort -u | wc -l)" -eq 2 ] || fail "$what: not both fingerprints"
}
test_other_model_adapter_tokenizer() {
  use_golden
  uio-segment document.txt | uio-compress -o blob || fail 'no blob'
  copy_model "$golden" weight
  change_byte weight/model.safetensors -2
  expect_mismatch 'base model' uio-decode -m weight -p x blob
  expect_mismatch 'base model' uio-score -m weight --verify blob document.txt
  copy_model "$golden" config
  sed -i 's/10000.0/10001.0/' config/config.json
  expect_mismatch 'base model' uio-decode -m config -p x blob
  copy_model "$golden/adapter" changed
  change_byte changed/adapter_model.safetensors -2
  expect_mismatch adapter uio-decode -a changed -p x blob
  copy_model "$golden/adapter" alpha
  sed -i 's/"lora_alpha": 6/"lora_alpha": 7/' alpha/adapter_config.json
  expect_mismatch adapter uio-decode -a alpha -p x blob
  copy_model "$golden" tokenizer
  echo '{"add_bos_token": false}' >tokenizer/tokenizer_config.json
  expect_mismatch tokenizer uio-decode -m tokenizer -p x blob
  uio-segment document.txt >segments
  expect_mismatch tokenizer uio-compress -m tokenizer segments
  expect_mismatch tokenizer uio-score -m tokenizer --context none segments
}

# k words of one token each, behind BOS: k + 1 tokens.
make_words() { awk -v n="$1" 'BEGIN { for (i = 1; i <= n; i++) printf "%s%s", (i > 1 ? " " : ""), (i % 3 ? "the" : "and") }'; }

test_lengths_of_documents() {
  use_golden
  local tokens
  for tokens in 1 2 31 32 33 63 64 65 100; do
    make_words $((tokens - 1)) >text
    uio-segment -o segments text || fail "$tokens tokens: uio-segment"
    uio-inspect segments | jq -se --argjson n "$tokens" 'map(select(.kind == "segment").token_count) | add == $n' >/dev/null ||
      fail "not $tokens tokens: $(uio-inspect segments)"
    uio-compress -o blob segments || fail "$tokens tokens: uio-compress"
    uio-inspect blob | jq -se --argjson n "$tokens" '
      (map(select(.kind == "memory")) | length) == ($n / 32 | floor) and ([.[] | select(.kind == "segment").token_count] | add // 0) == $n % 32' >/dev/null ||
      fail "$tokens tokens: records are $(uio-inspect blob)"
    uio-score --context none,memory,window,full,streaming segments >scores || fail "$tokens tokens: uio-score"
    jq -se --argjson n "$tokens" 'map(select(.id)) | length == 5 and all(.tokens == $n - 1)' scores >/dev/null || fail "$tokens tokens: $(cat scores)"
    uio-decode -n 2 -p ' the' blob >/dev/null || fail "$tokens tokens: uio-decode"
    run uio-score --verify blob segments
    expect_status 0 "$tokens tokens: --verify"
  done
}

# Without BOS an empty text is a document of no tokens at all.
test_document_of_no_tokens() {
  use_golden
  copy_model "$golden" plain
  echo '{"add_bos_token": false}' >plain/tokenizer_config.json
  export UIO_MODEL=plain
  : >empty
  uio-segment -o segments empty || fail 'uio-segment'
  uio-compress -o blob segments || fail 'uio-compress'
  uio-inspect blob | jq -se 'map(select(.kind == "memory")) | length == 0' >/dev/null || fail 'a memory of nothing'
  uio-score --context none,memory,window,full,streaming segments >scores || fail 'uio-score'
  jq -se 'map(select(.id)) | length == 5 and all(.tokens == 0 and .nll == null)' scores >/dev/null || fail "scores are $(cat scores)"
  run uio-decode blob
  expect_status 2 'nothing to continue from'
  expect_message uio-decode
  uio-decode -n 3 -p the blob >/dev/null || fail 'uio-decode with a prompt'
  uio-score --verify blob segments >/dev/null || fail '--verify'
}

test_long_document() {
  use_golden
  make_words 99999 >text
  uio-segment -o segments text || fail 'uio-segment'
  uio-compress -o blob segments || fail 'uio-compress'
  uio-inspect blob | jq -se 'map(select(.kind == "memory")) | length == 3125' >/dev/null || fail 'not 3125 memories'
  run uio-decode -n 3 -p the blob
  expect_status 4 'more memories than positions'
  expect_message uio-decode
  grep -q ' 260 .* 256' err || fail 'the numbers are not told'
  grep -q '^hint: --overflow oldest' err || fail 'no hint'
  run uio-decode -n 3 -p the --overflow oldest blob
  expect_status 0 'the oldest go'
  run uio-score --context memory,full segments
  expect_status 4 'memories and text are longer than the positions'
  grep -q "'full' of .* 99999 .* 256" err || fail 'the numbers are not told'
  run uio-score --context none,full text
  expect_status 1 'one of two contexts is too long'
  jq -se 'map(select(.id)) | length == 1 and .[0].context == "none" and .[0].tokens == 99999' out >/dev/null || fail 'none is not scored'
}

# 56 memories and a raw segment of 32 fill 256 positions to the last; one memory more does not fit.
test_capacity_is_used_to_the_last_position() {
  use_golden
  make_words $((57 * 32)) >fits  # 57 whole segments and one token, which the last position of the 57th predicts
  run uio-score --context memory fits
  expect_status 0 '57 segments'
  jq -se '.[0].tokens == 57 * 32' out >/dev/null || fail 'not all tokens'
  make_words $((58 * 32)) >long
  run uio-score --context memory long
  expect_status 4 '58 segments'
  grep -q "'memory' of 'long'.* 260 .* 256" err || fail 'the numbers are not told'
  run uio-score --context memory --overflow oldest long
  expect_status 0 '58 segments, the oldest goes'
  jq -se '.[0].tokens == 58 * 32' out >/dev/null || fail 'not all tokens'
}

# Nothing of one document reaches another: any order, any company, the same figures.
test_documents_are_independent() {
  use_golden
  uio-score --context none,memory --per-token document.txt short.txt | jq -c 'select(.id == "short.txt")' >after || fail 'uio-score'
  uio-score --context none,memory --per-token short.txt document.txt | jq -c 'select(.id == "short.txt")' >before || fail 'uio-score'
  uio-score --context none,memory --per-token short.txt | jq -c 'select(.id == "short.txt")' >alone || fail 'uio-score'
  expect_output after
  expect_same after before
  expect_same after alone
  uio-score --context none,memory document.txt short.txt >scores
  jq -se 'map(select(.summary)) | length == 2 and all(.documents == 2)' scores >/dev/null || fail 'summaries'
  jq -se '(map(select(.id and .context == "memory")) | (map(.nll * .tokens) | add) / (map(.tokens) | add)) as $mean
    | map(select(.summary and .context == "memory"))[0].nll - $mean | fabs < 1e-9' scores >/dev/null || fail 'the summary is not the mean over tokens'
}

# An adapter that changes nothing, where no memory is, is the base model to the bit.
test_fresh_adapter_is_the_base() {
  use_golden
  copy_model "$golden" bare
  rm -r bare/adapter bare/adapter-causal
  uio-score -m bare -l 32 --context none --per-token document.txt >base || fail 'without an adapter'
  uio-score -m bare -a fresh -l 32 --memory-length 4 --context none --per-token document.txt >same || fail 'with a fresh one'
  expect_same base same
  uio-score -m bare --context full --per-token short.txt | jq .logprob >base || fail 'full'
  uio-score -m bare -a fresh -l 224 --memory-length 1 --context memory --per-token short.txt | jq .logprob >same || fail 'memory of nothing'
  expect_same base same
}
