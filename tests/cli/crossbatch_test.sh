# shellcheck shell=bash disable=SC2154,SC2086  # status comes from run; lists of options are split on purpose
# Training of memory layers on the project's own tiny model: runs that are cut and go on, what they refuse, and what inference makes of them.
# Gradients: tests/unit/train/crossbatch_test.cc.

# shellcheck source=tests/cli/golden_numbers.sh
. "$UIO_ROOT/tests/cli/golden_numbers.sh"

export OMP_NUM_THREADS=1

# The golden model with windows of $1 tokens, memory in layers 0 and 2; six documents of one to five windows of 24; options of a short run.
prepare() {
  copy_model "$UIO_ROOT/tests/golden/model" model
  rm -rf model/adapter*
  jq --argjson length "$1" '. + {mem_layers: [0, 2], mem_dtype: "float32", last_context_length: $length, max_position_embeddings: $length}' \
    model/config.json >changed.json || fail 'no configuration'
  mv changed.json model/config.json
  export UIO_MODEL=$PWD/model
  local i
  for i in 1 2 3 4 5 6; do
    make_text | tr '\n' ' ' | tail -c +$((i * 7)) | head -c $((20 + 35 * i))
    echo " It was day $i."
  done >documents
  options='--objective crossbatch --trainable base --lines -j 1 --lr 0.01 --warmup 0.2 --schedule-steps 6'
}

train() { uio-train-step $options "$@" documents >lines || fail "status $?: uio-train-step $options $*"; }

check_parts() {  # more options
  train "$@" --state whole --steps 6 --export whole.model
  local steps
  for steps in 1 3 6; do train "$@" --state parts --steps $steps --export parts.model; done
  expect_same whole parts
  expect_same whole.model/model.safetensors parts.model/model.safetensors
  expect_same whole.model/config.json parts.model/config.json
  cmp -s parts.model/model.safetensors model/model.safetensors && fail 'nothing was trained'
  rm -r whole parts whole.model parts.model
}
test_in_one_go_and_in_parts() {
  prepare 24
  check_parts --crossbatch 0+0,1+1,2+1,3+0
  check_parts --crossbatch 1+0@0,1+1/1+3@2 --recompute always
  check_parts --crossbatch 1+0 --memory-gradient off --dtype f32
  check_parts --init base --accumulate 3 --crossbatch 2+2 -l 16 --memory-layers 1 --dtype f64
}

test_metrics() {
  prepare 24
  train --crossbatch 1+0@0,0+0,1+3@1 --steps 2 --gradients gradients
  jq -se 'map([.crossbatch, .d]) == [["1+0", 1], ["0+0,1+3", 2]] and all(.loss > 0 and .nll > 0 and .scored > 0 and (.buckets | length) > 0)' lines >/dev/null || fail "$(cat lines)"
  tensors_of gradients >gradients.json
  jq -e 'has("model.layers.2.self_attn.k_proj.weight")' gradients.json >/dev/null || fail 'no gradient of keys'
}

# What --validate measures is what uio-score reads through the memory.
test_validation_is_inference() {
  prepare 24
  make_text | tr '\n' ' ' | head -c 300 >book.txt
  local tokens
  for _ in 1 2 3 4 5; do
    tokens=$(uio-segment -a fresh -l 4096 book.txt | uio-inspect --tokens | jq '.tokens // empty | length')
    [ $((tokens % 3)) -ne 0 ] || break
    head -c -2 book.txt >shorter && mv shorter book.txt
  done
  [ $((tokens % 3)) -eq 0 ] || fail "$tokens tokens"
  prepare $((tokens / 3))
  local validated scored layers
  for layers in 0,2 1; do
    validated=$(uio-train-step $options --memory-layers $layers --lr 0 --dtype f32 --validate book.txt documents | jq 'select(.validation) | .nll') || fail validate
    scored=$(uio-score --memory-layers $layers --context memory book.txt | jq -s 'map(select(.summary))[0].nll') || fail score
    expect_within "$(jq -n "$validated - $scored | fabs")" 1e-5 "layers $layers, $validated and $scored"
  done
}

# Streams of segments, of whatever windows, are the texts that they were cut from.
test_streams() {
  prepare 24
  train --steps 2
  cp lines wanted
  uio-segment --lines -o windows documents || fail 'windows'
  uio-inspect windows | jq -se 'any(.is_closed == true)' >/dev/null || fail 'no closed window'
  uio-train-step ${options/--lines/} --steps 2 windows >lines || fail 'a stream of windows'
  expect_same <(jq -c '[.loss, .nll, .gradient_norm]' wanted) <(jq -c '[.loss, .nll, .gradient_norm]' lines)
}

# An exported model names its memory layers, so that the pipe uses them.
test_export() {
  prepare 24
  jq 'del(.mem_layers)' model/config.json >changed.json && mv changed.json model/config.json
  train --steps 2 --memory-layers 2,1 --export trained
  jq -e '.mem_layers == [1, 2]' trained/config.json >/dev/null || fail 'no memory layers'
  uio-segment -m trained --lines documents | uio-compress -m trained | uio-inspect | jq -se 'any(.method == "fot" and .layers == 2)' >/dev/null || fail 'no memory'
}

refused_training() { refused "$1" "$2" uio-train-step "${@:3}"; }

test_what_makes_no_sense_is_refused() {
  prepare 24
  refused_training 2 '--objective crossbatch without --trainable base' --objective crossbatch documents
  refused_training 2 '--crossbatch without --objective crossbatch' --crossbatch 1+1 documents
  refused_training 2 '--memory-gradient without --objective crossbatch' --memory-gradient off documents
  refused_training 2 '--memory-layers without --objective crossbatch' --memory-layers 1 documents
  refused_training 2 'its gradient is exact' $options --estimator bptt documents
  refused_training 2 'more documents than a step has.*4 others, a step has 4' $options --crossbatch 1+4 documents
  refused_training 2 "bad value of --crossbatch: '1'" $options --crossbatch 1 documents
  refused_training 2 "bad value of --crossbatch" $options --crossbatch 1+1@5 documents
  refused_training 2 'the released loss' $options --loss released documents
  refused_training 4 'no such memory layer' $options --memory-layers 3 documents
  refused_training 4 'window too long' $options -l 25 documents
  jq 'del(.mem_layers)' model/config.json >changed.json && mv changed.json model/config.json
  refused_training 2 'no memory layers' $options documents
}

test_changed_options_are_refused_by_name() {
  prepare 24
  train --state state --steps 1
  cp state before
  refused_training 4 'made with crossbatch "1+1", now it is "1+0@0,1+1@2"' $options --state state --crossbatch 1+0@0,1+1@2 documents
  refused_training 4 'made with memory_gradient "on", now it is "off"' $options --state state --memory-gradient off documents
  refused_training 4 'made with memory_layers \[0,2\], now it is \[1\]' $options --state state --memory-layers 1 documents
  refused_training 4 'made with segment_length 24, now it is 12' $options --state state -l 12 documents
  expect_same before state
  run uio-train-step $options --state state --crossbatch 1+2 --reset objective documents
  expect_status 0
}

test_several_processes() {
  command -v mpirun >/dev/null || skip 'no mpirun'
  [ -e "$UIO_BIN/../lib/libuio_mpi.so" ] || skip 'built without MPI'
  export OMPI_MCA_btl_vader_single_copy_mechanism=none
  prepare 24
  local count extra
  for extra in '--crossbatch 1+1,2+3' '--crossbatch 2+0 --memory-gradient off'; do
    extra="$extra --accumulate 6 --steps 3 --dtype f64 --validate documents"
    train $extra --gradients one.gradients
    jq -c '[.loss, .nll, .scored, .tokens]' lines >wanted
    for count in 2 3; do
      run mpirun --allow-run-as-root --oversubscribe -n $count uio-train-step $options $extra --gradients several.gradients documents
      expect_status 0 "$count processes"
      tensors_of one.gradients >first.json
      tensors_of several.gradients >second.json
      expect_within "$(relative_difference first.json second.json)" 1e-9 "$count processes"
      jq -c '[.loss, .nll, .scored, .tokens]' out >found
      jq -en --slurpfile a wanted --slurpfile b found '[$a, $b | flatten | map(. // 0)] | transpose | all((.[0] - .[1] | fabs) < 1e-9)' >/dev/null ||
        fail "$count processes: $(cat found)"
    done
  done
}

# Four keys with values in the first window of ten tokens; the second asks for them, and only the values of its answers count. A
# fresh model learns to find them in its memory; without memory nothing beats a guess among four, 1.386 nats.
make_dictionaries() {
  mkdir model
  cp "$UIO_ROOT/tests/golden/model/tokenizer.model" model
  jq -n '{model_type: "llama", vocab_size: 320, hidden_size: 64, intermediate_size: 128, num_hidden_layers: 4, num_attention_heads: 4,
    max_position_embeddings: 10, rms_norm_eps: 1e-5, initializer_range: 0.12, tie_word_embeddings: true, bos_token_id: 1, eos_token_id: 2,
    mem_layers: [2], mem_positionals: false, mem_dtype: "float32"}' >model/config.json
  export UIO_MODEL=$PWD/model
  awk 'function shuffle(i, j, t) { for (i = 4; i > 1; i--) { j = 1 + int(rand() * i); t = key[i]; key[i] = key[j]; key[j] = t } }
    BEGIN {
      srand(1)
      split("T O M I", key, " "); split("c u g k", value, " ")
      for (n = 0; n < 5000; n++) {
        for (i = 1; i <= 4; i++) of[key[i]] = value[1 + int(rand() * 4)]
        shuffle(); text = ""; parts = ""
        for (i = 1; i <= 4; i++) text = text key[i] of[key[i]]
        shuffle()
        for (i = 1; i <= 4; i++) parts = parts sprintf(",{\"text\":\"%s\",\"weight\":0},{\"text\":\"%s\",\"weight\":1}", key[i], of[key[i]])
        printf "{\"id\":\"%d\",\"parts\":[{\"text\":\"%s\",\"weight\":0}%s]}\n", n, text, parts
      }
    }' >all.jsonl
  head -n 100 all.jsonl >held
  tail -n +101 all.jsonl >documents
  options='--objective crossbatch --trainable base --init base --jsonl -j 1 --dtype f32 --lr 0.002 --warmup 0.1 --accumulate 32 --steps 150 --validate held'
}
held_out() { jq -s 'map(select(.validation))[0].nll' lines; }

test_it_learns_to_look_up() {
  make_dictionaries
  local found
  train --crossbatch 1+0
  found=$(held_out)
  echo "note: with memory $found nats"
  jq -en "$found < 0.9" >/dev/null || fail "with memory: $found"
  train --crossbatch 0+0
  found=$(held_out)
  echo "note: without memory $found nats"
  jq -en "$found > 1.2" >/dev/null || fail "without memory: $found"
}
