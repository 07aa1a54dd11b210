# shellcheck shell=bash disable=SC2154  # status comes from run
# The programs against the published implementations' figures and on the real checkpoints of ../shared, which others made and which
# this repository does not hold: without it every case skips.

# shellcheck source=tests/cli/golden_numbers.sh
. "$UIO_ROOT/tests/cli/golden_numbers.sh"

shared=$UIO_ROOT/../shared/data

use_shared() { [ -e "$shared/$1" ] || skip "../shared/data/$1 is missing"; }

released=$shared/golden/released-uio
use_released() {
  use_shared golden/released-uio/expected.json
  export UIO_MODEL=$released/model UIO_ADAPTER=$released/adapter
}

test_released_logprobs() {
  use_released
  local setting
  for setting in 'UIO_FORCE_REFERENCE=0 f32' 'UIO_FORCE_REFERENCE=1 f32' 'UIO_FORCE_REFERENCE=0 f64'; do
    env "${setting% *}" uio-score --context memory --per-token --dtype "${setting#* }" "$released/text.txt" >scores || fail "uio-score ($setting)"
    expect_logprobs scores memory "$released/expected.json" .logprob 1e-3
  done
}

test_released_memories() {
  use_released
  uio-segment "$released/text.txt" | uio-compress -o blob || fail 'no blob'
  uio-inspect --export found.tensors blob || fail 'uio-inspect --export'
  tensors_of found.tensors >found.json
  tensors_of "$released/memories.safetensors" >wanted.json
  # k.{layer} and v.{layer} are [segments, heads, M, head size]; ours one tensor a segment.
  local largest
  largest=$(jq -rn --slurpfile found found.json --slurpfile wanted wanted.json '
    $found[0] as $found | $wanted[0] as $wanted
    | ([$found | keys[] | split("/")[-3] | tonumber] | max + 1) as $segments
    | if $segments != $wanted["k.0"].shape[0] then error("\($segments) segments") else . end
    | [$wanted | keys[] | select(test("^[kv]\\.")) as $name
       | ($name[2:] | tonumber) as $layer | {k: "key", v: "value"}[$name[0:1]] as $part
       | range($segments) as $segment
       | ($found | keys[] | select(endswith("/\($segment)/\($layer)/\($part)"))) as $ours
       | $found[$ours] as $tensor | if $tensor.shape != $wanted[$name].shape[1:] then error("shape of \($ours)") else . end
       | ($tensor.values | length) as $size | range($size) | ($tensor.values[.] - $wanted[$name].values[$segment * $size + .]) | fabs]
    | if length == 0 then error("nothing compared") else max end') || fail 'not comparable'
  expect_within "$largest" 2e-4 'memories'
}

test_released_greedy() {
  use_released
  jq -c '.generate | {id: 1, prompt, max_tokens: (.ids | length)}' "$released/expected.json" >request
  uio-decode --jsonl request | jq -c .tokens >found || fail 'uio-decode'
  jq -c .generate.ids "$released/expected.json" >wanted
  expect_same wanted found
}

# The gradient of the published loss: whole, by every way to it, also where activations are computed again.
test_released_gradient() {
  use_released
  uio-segment -o segments "$released/text.txt" || fail uio-segment
  tensors_of "$released/gradient.safetensors" >wanted.json
  local dtype bound estimator recompute
  while read -r dtype bound estimator recompute; do
    uio-train-step --loss released --accumulate 1 --estimator "$estimator" --window 100 --recompute "$recompute" --dtype "$dtype" \
      --gradients found.tensors segments >metrics || fail "uio-train-step ($dtype, $estimator)"
    tensors_of found.tensors >found.json
    expect_within "$(relative_difference found.json wanted.json)" "$bound" "gradient, $dtype, $estimator, recompute $recompute"
    expect_within "$(jq -s --slurpfile expected "$released/expected.json" '(.[0].loss - $expected[0].loss) | fabs' metrics)" 1e-3 'loss'
  done <<'CASES'
f64 1e-5 exact never
f64 1e-5 bptt always
f64 1e-5 incremental never
f32 1e-4 exact always
f32 1e-4 bptt never
f32 1e-4 incremental always
CASES
}

test_families() {
  use_shared golden/families/text.txt
  local family count=0
  for family in "$shared"/golden/families/*/; do
    uio-score -m "$family" --dtype f32 --context none,memory,full --per-token "$shared/golden/families/text.txt" >scores || fail "$family"
    expect_logprobs scores full "$family/expected.json" .full 1e-3
    expect_logprobs scores memory "$family/expected.json" .memory 1e-3
    expect_logprobs scores none "$family/expected.json" .segment_only 1e-3
    count=$((count + 1))
  done
  [ "$count" -ge 10 ] || fail "only $count families"
}

use_checkpoint() {
  use_shared "models/$1/config.json"
  use_shared text/tinystories-sample/tinystories_sample.txt
  export UIO_MODEL=$shared/models/$1
  head -c 600 "$shared/text/tinystories-sample/tinystories_sample.txt" >text
}

test_stories_mean() {
  use_checkpoint stories260K
  local context
  uio-score --dtype f32 --context full,none,window,streaming text >scores || fail 'uio-score'
  for context in full none window streaming; do
    expect_within "$(jq -rs --arg c $context 'map(select(.summary and .context == $c))[0].nll - 1.431215 | fabs' scores)" 2e-5 "mean of $context"
  done
}

# The figures of the checkpoint's original C program: the first 512 tokens of three texts, as one segment.
test_stories_against_its_own_program() {
  use_checkpoint stories260K
  use_shared golden/tiny_llama_golden.json
  local golden=$shared/golden/tiny_llama_golden.json key mean scored file
  while IFS=$'\t' read -r key mean scored; do
    file=${key%[*}
    use_shared "text/$file"
    head -c "$(jq --arg key "$key" '.nll[$key].bytes' "$golden")" "$shared/text/$file" >text
    uio-score --dtype f32 -l 512 --context none --per-token text >scores || fail "$key"
    jq -cs --argjson n "$scored" 'map(select(.position != null and .position <= $n))' scores >first
    jq -e --argjson n "$scored" 'length == $n' first >/dev/null || fail "$key: not $scored tokens"
    expect_within "$(jq -r --argjson w "$mean" '(map(-.logprob) | add / length) - $w | fabs' first)" 2e-5 "$key"
    jq -e --slurpfile golden "$golden" --arg key "$key" '
      $golden[0].nll[$key] as $want | map(.token)[:23] == $want.first_ids[1:24]
      and ([range(8) as $i | .[$i].logprob + $want.first_nll[$i] | fabs] | max < 1e-4)' first >/dev/null || fail "$key: first tokens"
  done < <(jq -r '.nll | to_entries[] | [.key, .value.mean_nll, .value.scored] | @tsv' "$golden")
}

test_greedy_text_of_the_original_program() {
  local golden=$shared/golden/tiny_llama_golden.json model count
  for model in stories260K_greedy_200 babyllama105_greedy_250; do
    use_checkpoint "${model%%_*}"
    use_shared golden/tiny_llama_golden.json
    count=${model##*_}
    uio-decode --dtype f32 --ignore-eos -p '' -n "$count" >found </dev/null || fail "$model"
    jq -rj ".$model" "$golden" >wanted
    expect_same wanted found
  done
}

# bf16 and f16 against f32 on trained weights: the mean difference of a token's log-probability. Bounds: two to four times what was
# measured with f32 products; products in bf16 (CPUs that have them) round activations as well.
test_narrow_numbers() {
  local model dtype bound
  while read -r model dtype bound; do
    use_checkpoint "$model"
    head -c 200 text >short  # babyllama105 has one token a character and 256 positions
    uio-score --dtype f32 --context full --per-token short >wide || fail "$model f32"
    uio-score --dtype "$dtype" --context full --per-token short >narrow || fail "$model $dtype"
    cmp -s wide narrow && fail "$model: --dtype $dtype changed nothing"
    expect_within "$(mean_difference_of_scores wide narrow)" "$bound" "$model, mean of $dtype"
  done <<'END'
stories260K bf16 0.02
stories260K f16 0.002
stories260K f64 1e-5
babyllama105 bf16 0.02
babyllama105 f16 0.002
babyllama105 f64 1e-5
END
}

test_threads() {
  use_checkpoint stories260K
  uio-score -j 1 --context full --per-token text >one || fail '-j 1'
  uio-score -j 2 --context full --per-token text >two || fail '-j 2'
  expect_within "$(difference_of_scores one two)" 1e-4 'threads 1 and 2'
}

# The published LongLLaMA code: a document of the first n ids, of which the last 32 stay raw; the log-probabilities of the last 31.
check_longllama_logprobs() {  # scores, ids, expected log-probabilities
  jq -en --slurpfile scores "$1" --argjson n "$2" --argjson wanted "$3" '
    [$scores[] | select(.position != null)][-31:] as $found
    | if [$found[].position] != [range($n - 31; $n)] or ($wanted | length) != 31 then error("other positions") else . end
    | [range(31) | ($found[.].logprob - $wanted[.]) | fabs] | max' || fail "$2 ids: not comparable"
}

test_longllama() {
  local model n bytes setting largest count=0
  for model in released-longllama released-longllama-nopos; do
    use_shared "golden/$model/expected.json"
    export UIO_MODEL=$shared/golden/$model
    for n in $(jq -r '.logprob_of_last | keys[]' "$UIO_MODEL/expected.json"); do
      # The text of the first n ids.
      bytes=$(uio-segment -a fresh -l "$n" "$UIO_MODEL/text.txt" | uio-inspect | jq -s 'map(select(.kind == "segment"))[0].byte_end')
      head -c "$bytes" "$UIO_MODEL/text.txt" >document.txt
      uio-segment -a fresh -l 9999 document.txt | uio-inspect --tokens | jq -c 'select(.tokens) | .tokens' >ids
      jq -c --argjson n "$n" '.ids[:$n]' "$UIO_MODEL/expected.json" >wanted
      expect_same wanted ids
      for setting in '' '--last 31' '--last 40' '--dtype f64' '--search exact --nearest 100000'; do
        [ -z "$setting" ] || [ "$n" = 177 ] || continue  # the other settings on one document
        # shellcheck disable=SC2086  # words of the setting
        uio-score --context memory --per-token $setting document.txt >scores || fail "$model, $n: $setting"
        largest=$(check_longllama_logprobs scores "$n" "$(jq -c --arg n "$n" '.logprob_of_last[$n]' "$UIO_MODEL/expected.json")") || fail "$largest"
        expect_within "$largest" 1e-3 "$model, $n ids $setting"
      done
      count=$((count + 1))
    done
  done
  [ "$count" -ge 12 ] || fail "only $count documents"
}

test_longllama_greedy() {
  local model
  for model in released-longllama released-longllama-nopos; do
    use_shared "golden/$model/expected.json"
    export UIO_MODEL=$shared/golden/$model
    jq -c '.generate | {id: 1, prompt, max_tokens: (.ids | length)}' "$UIO_MODEL/expected.json" >request
    uio-decode --jsonl --ignore-eos request | jq -c .tokens >found || fail 'uio-decode'
    jq -c .generate.ids "$UIO_MODEL/expected.json" >wanted
    expect_same wanted found
    # The prompt as a document: compressed, then continued.
    jq -j .generate.prompt "$UIO_MODEL/expected.json" >document.txt
    uio-segment document.txt | uio-compress -o document.uio || fail 'no blob'
    echo '{"memory": ["document.uio"], "max_tokens": 100, "ignore_eos": true}' | uio-decode --jsonl | jq -c .tokens >found || fail 'uio-decode of a blob'
    expect_same wanted found
  done
}
