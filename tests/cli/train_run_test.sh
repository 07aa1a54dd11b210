# shellcheck shell=bash disable=SC2154,SC2086  # status comes from run; lists of options are split on purpose
# Training runs on the tiny golden model: to the bit the same however often they are stopped, and refused where they would not be.
# UIO_TEST_KILLS: how many kills the kill case makes (default 12).

# shellcheck source=tests/cli/golden_numbers.sh
. "$UIO_ROOT/tests/cli/golden_numbers.sh"

# Five short texts, of 2 to 8 segments each, and the options of a run that takes few steps.
make_corpus() {
  export UIO_MODEL=$UIO_ROOT/tests/golden/model OMP_NUM_THREADS=1
  local i
  for i in 1 2 3 4 5; do tail -c +$((i * 150)) "$UIO_MODEL/text.txt" | head -c $((50 + i * 60)) >doc$i.txt; done
  texts='doc1.txt doc2.txt doc3.txt doc4.txt doc5.txt'
  options='-j 1 --accumulate 2 --lr 0.01 --warmup 0.2 --schedule-steps 6'
}

# Trains on the five texts; expects status 0.
train() { uio-train-step $options "$@" $texts >lines || fail "status $?: uio-train-step $options $*"; }

check_parts() {  # more options
  train "$@" --state whole --steps 6 --export whole.adapter
  jq -se 'map(.step) == [1, 2, 3, 4, 5, 6]' lines >/dev/null || fail "steps: $(cat lines)"
  local steps
  for steps in 2 4 6; do
    train "$@" --state parts --steps $steps --export parts.adapter
    jq -se --argjson last $steps 'map(.step) == [$last - 1, $last]' lines >/dev/null || fail "$*: not two steps"
  done
  expect_same whole parts
  expect_same whole.adapter/adapter_model.safetensors parts.adapter/adapter_model.safetensors
  expect_same whole.adapter/adapter_config.json parts.adapter/adapter_config.json
  cmp -s parts.adapter/adapter_model.safetensors "$UIO_MODEL/adapter/adapter_model.safetensors" && fail 'nothing was trained'
  rm -r whole parts whole.adapter parts.adapter
}
test_in_one_go_and_in_parts() {
  make_corpus
  check_parts
  check_parts --estimator reservoir --reservoir 1 --corpus-weights 3,1,1,1,2
  check_parts --objective mix --mix lm=1,autoencode=0.5,distill=0.5 --recompute always
  check_parts --init adapter --rank 2 --alpha 4 -l 24 --memory-length 3 --dtype f64
}

test_base_in_one_go_and_in_parts() {
  make_corpus
  options="$options --trainable base -l 64"
  train --state whole --steps 4 --export whole.model
  train --state parts --steps 1
  train --state parts --steps 4 --export parts.model
  expect_same whole parts
  expect_same whole.model/model.safetensors parts.model/model.safetensors
}

test_one_step_more_is_the_default() {
  make_corpus
  train --state whole --steps 3
  train --state parts
  train --state parts
  train --state parts
  expect_same whole parts
  cp parts before
  train --state parts --steps 2  # made already
  expect_empty lines
  expect_same before parts
}

# A state is written now and then, but always at the end, and how often does not matter.
test_save_every() {
  make_corpus
  train --state whole --steps 5
  train --state seldom --steps 5 --save-every 3
  expect_same whole seldom
}

test_kill_at_any_moment() {
  make_corpus
  local kills=${UIO_TEST_KILLS:-12} steps process i made=0 delay begin
  steps=$((kills * 4))
  options='-j 1 --accumulate 1 --lr 0.01 --estimator window+tail --window 1 --reservoir 1'
  begin=${EPOCHREALTIME/./}
  train --steps 1
  begin=$(((${EPOCHREALTIME/./} - begin) / 1000))  # ms that one step takes with all that is around it
  train --state whole --steps $steps --export whole.adapter
  : >saved
  RANDOM=${UIO_TEST_SEED:-$$}
  echo "seed $RANDOM"
  mkdir run
  for ((i = 0; i < kills; ++i)); do
    uio-train-step $options --state run/state --steps $steps $texts >>output 2>err &
    process=$!
    delay=$((RANDOM % (2 * begin)))  # from before it is loaded to some steps later
    sleep "$((delay / 1000)).$(printf '%03d' $((delay % 1000)))"
    kill -9 $process 2>/dev/null && made=$((made + 1))
    wait $process 2>/dev/null
    [ ! -s err ] || fail "kill $i"
    if [ -e run/state ]; then
      uio-inspect run/state >inspected || fail "kill $i: the state is damaged"
      head -n 1 inspected | jq .description.step >>saved
    fi
  done
  echo "$made kills; states of steps $(sort -n saved | uniq | tr '\n' ' ')"
  [ "$made" -ge $((kills / 2)) ] || fail "only $made kills"
  sort -c -n saved || fail 'a state went back'
  uio-train-step $options --state run/state --steps $steps --export killed.adapter $texts >>output || fail 'the last run'
  expect_same whole run/state
  expect_same whole.adapter/adapter_model.safetensors killed.adapter/adapter_model.safetensors
  [ "$(ls run)" = state ] || fail "left behind: $(ls run)"
}

# status, what the message says, then options that go on from `state`; which must stay as it is.
expect_refusal() {
  local wanted=$1 said=$2
  shift 2
  cp state before
  run uio-train-step $options --state state --steps 4 "$@"
  expect_status "$wanted" "$*"
  expect_message uio-train-step
  grep -q -F -e "$said" err || fail "$*: message"
  expect_same before state
  expect_empty out "$*"
}

test_changed_options_are_refused_by_name() {
  make_corpus
  train --state state --steps 2
  cp state two
  local said part option last=
  while read -r said part option; do
    expect_refusal 4 "it was made with $said " $option $texts
    [ "$part" = none ] && continue
    grep -q "^hint: --reset $part " err || fail "$option: hint"
    [ "$part" = "$last" ] && continue  # one of each part is accepted where that is said
    last=$part
    run uio-train-step $options --state state --steps 3 $option --reset $part -v $texts
    expect_status 0 "$option --reset $part"
    grep -q "begun anew: $part" err || fail "$option: no note"
    jq -se 'map(.step) == [3]' out >/dev/null || fail "$option: not one step"
    # What is asked for now is what the state was made with from here on.
    run uio-train-step $options --state state --steps 4 $option $texts
    expect_status 0 "$option after --reset $part"
    cp two state
  done <<'END'
lr schedule --lr 0.02
schedule schedule --schedule linear
length schedule --schedule-steps 8
warmup schedule --warmup 0.5
final_lr schedule --final-lr 0.1
clip optimiser --clip 2
betas optimiser --betas 0.9,0.99
epsilon optimiser --epsilon 1e-6
weight_decay optimiser --weight-decay 0
accumulate data --accumulate 3
batch data --batch 1
shuffle data --no-shuffle
document_segments data --document-segments 2
seed random --seed 7
dtype none --dtype f64
END
  expect_refusal 4 'it was made with estimator "exact", now it is "bptt"' --estimator bptt $texts
  expect_refusal 4 'it was made with loss "token", now it is "released"' --loss released $texts
  expect_refusal 4 'it was made with distill 0.0, now it is 1.0' --objective distill $texts
  expect_refusal 4 'it was made with trainable "adapter", now it is "full"' --trainable full $texts
}

test_reset_begins_a_part_anew() {
  make_corpus
  train --state state --steps 2
  run uio-train-step $options --state state --steps 3 --lr 0.02 --reset schedule $texts
  jq -e '.lr == 0' out >/dev/null || fail 'the schedule does not begin with its warm-up'
  uio-inspect state | head -n 1 | jq -e '.description | .schedule_begin == 2 and .optimiser_steps == 3 and .counts == [6]' >/dev/null || fail 'description'
  run uio-train-step $options --state state --steps 4 --lr 0.02 --clip 2 --reset optimiser $texts
  uio-inspect state | head -n 1 | jq -e '.description | .schedule_begin == 2 and .optimiser_steps == 1 and .step == 4' >/dev/null || fail 'optimiser'
  run uio-train-step $options --state state --steps 5 --lr 0.02 --clip 2 --reset data doc1.txt doc2.txt
  uio-inspect state | head -n 1 | jq -e '.description | .counts == [2] and .step == 5 and .documents == 10' >/dev/null || fail 'data'
}

test_other_data_model_or_adapter() {
  make_corpus
  train --state state --steps 2
  expect_refusal 4 'corpora' doc1.txt doc2.txt
  sed 's/./X/5' doc3.txt >changed.txt
  expect_refusal 4 'corpora' doc1.txt doc2.txt changed.txt doc4.txt doc5.txt
  mkdir model
  cp -r "$UIO_MODEL"/* model
  chmod -R u+w model
  sed -i 's/10000.0/10001.0/' model/config.json
  expect_refusal 4 'it was made with base' -m model $texts
  expect_refusal 4 'adapter' --init adapter --rank 4 $texts
  uio-segment doc1.txt | uio-compress -o blob || fail 'no blob'
  expect_refusal 4 'cannot train on memories' blob
  expect_refusal 5 'missing' missing
  : >empty
  expect_refusal 3 'empty' empty
}

# An adapter goes on with other segments: each of its memory tokens' rows stays what it is; one row serves any number.
test_an_adapter_for_other_segments() {
  make_corpus
  train -l 20 --state state --steps 2 --export longer
  jq -e '.segment_length == 20' longer/adapter_config.json >/dev/null || fail 'segment length'
  expect_refusal 4 'adapter' -l 16 $texts
  run uio-train-step $options --memory-length 5 $texts
  expect_status 2
  grep -q 'row of its own' err || fail 'message'
  train --init adapter --shared-row --rank 2 -l 20 --memory-length 5 --export shared
  train -a shared -l 24 --memory-length 3 --state less --steps 2 --export less.adapter
  jq -e '.segment_length == 24 and .memory_length == 3' less.adapter/adapter_config.json >/dev/null || fail 'lengths'
  uio-compress -a less.adapter -o blob doc5.txt || fail 'cannot be used'
  # What the run began with is part of it: another adapter beside the state is refused, the same one is not.
  train -a shared -l 24 --memory-length 3 --state less --steps 3
  run uio-train-step $options -a less.adapter --state less --steps 4 $texts
  expect_status 4
  grep -q 'adapter_origin' err || fail 'message'
}

test_damaged_state() {
  make_corpus
  train --state state --steps 2
  cp state sound
  local size place
  size=$(stat -c %s state)
  for place in 20 $((size / 2)) $((size - 1)); do
    cp sound state
    printf '\377' | dd of=state bs=1 seek=$place conv=notrunc status=none
    expect_refusal 3 "'state'" $texts
  done
  for place in 0 7 100 $((size / 2)) $((size - 1)); do
    head -c $place sound >state
    expect_refusal 3 "'state'" $texts
  done
  cp "$UIO_MODEL/adapter/adapter_model.safetensors" state
  expect_refusal 4 "'state'" $texts
  rm -f state before
  mkdir state
  run uio-train-step $options --state state --steps 4 $texts
  [ "$status" -ge 3 ] || fail "a directory: status $status"
  expect_message uio-train-step
}

test_full_disk() {
  make_corpus
  train --state state --steps 2
  cp state before
  # A file that may not grow that far stands in for a disk …
  (ulimit -f 8; run uio-train-step $options --state state --steps 3 $texts; exit "$status")
  status=$?
  expect_status 5
  grep -q "cannot write: 'state'" err || fail 'message'
  expect_same before state
  # … and a real one, where one can be had.
  mkdir disk
  cat >on_disk <<'END'
mount -t tmpfs -o size=48k none disk || exit 77
cp state disk
uio-train-step "$@"
status=$?
cmp state disk/state || exit 99
[ "$(ls disk)" = state ] || exit 98
exit $status
END
  run unshare -rm bash on_disk $options --state disk/state --steps 3 $texts
  [ "$status" -eq 77 ] || [ "$status" -eq 1 ] && { echo "no disk of our own: $(cat err)"; return; }
  expect_status 5 'on a full disk'
  grep -q "cannot write: 'disk/state': no space left" err || fail 'message'
  train --state state --steps 3
}

# Decay that multiplies the weights by -100000 a step: they leave f32 within a few.
test_divergence() {
  make_corpus
  options='-j 1 --accumulate 2 --lr 1000 --weight-decay 100 --warmup 0 --schedule constant --schedule-steps 40'
  run uio-train-step $options --state state --steps 30 $texts
  expect_status 1
  expect_message uio-train-step
  local last
  last=$(tail -n 1 out | jq .step)
  grep -q "training diverged: 'step $((last + 1))': .*'.*' is not finite" err || fail 'message'
  grep -q "^hint: the state of step $last is kept in 'state'" err || fail 'hint'
  train --state good --steps "$last"
  expect_same good state
  run uio-train-step $options --state state --steps 30 $texts
  expect_status 1 'again'
  expect_empty out
  expect_same good state
}

# Largest relative difference of the tensors of two files, each tensor against its own norm.
relative_difference() {
  tensors_of "$1" >first.json
  tensors_of "$2" >second.json
  jq -rn --slurpfile a first.json --slurpfile b second.json '
    def norm: map(. * .) | add | sqrt;
    $a[0] as $a | $b[0] as $b | if ($a | keys) != ($b | keys) then error("other tensors") else . end
    | [$a | keys[] as $name | $a[$name].values as $x | $b[$name].values as $y | ($y | norm) as $size
       | ([range($x | length) | $x[.] - $y[.]] | norm) / (if $size == 0 then 1 else $size end)] | max'
}

check_gradients() {  # dtype, bound, loss
  train --dtype $1 --loss $3 --estimator exact --gradients exact
  train --dtype $1 --loss $3 --estimator bptt --gradients bptt
  expect_within "$(relative_difference exact bptt)" "$2" "exact and bptt, $1, $3"
}
test_gradients_of_estimators() {
  make_corpus
  check_gradients f32 1e-4 token
  check_gradients f64 1e-10 released
  check_gradients f64 1e-10 token
  train --dtype f64 --estimator incremental --window 100 --gradients incremental
  train --dtype f64 --estimator incremental --window 1 --gradients window
  train --dtype f64 --estimator tbptt --window 1 --gradients naive
  train --dtype f64 --batch 1 --gradients alone
  expect_within "$(relative_difference incremental bptt)" 1e-10 'incremental and bptt'
  expect_within "$(relative_difference window naive)" 1e-10 'incremental and tbptt'
  expect_within "$(relative_difference alone exact)" 1e-10 'documents alone and side by side'
  jq -en --arg found "$(relative_difference window bptt)" '($found | tonumber) > 0.01' >/dev/null || fail 'a window of 1 changes nothing'
}

# Without a first moment's memory it is the gradient itself, clipped: --gradients writes it before that.
test_clipping() {
  make_corpus
  options='-j 1 --betas 0,0 --lr 0'
  train --clip 0 --gradients whole --state free
  train --clip 0.25 --gradients same --state clipped
  expect_same whole same
  local norm
  norm=$(jq .gradient_norm lines)
  tensors_of whole >gradients.json
  tensors_of clipped | jq 'with_entries(select(.key | startswith("first_moment."))) | with_entries(.key |= ltrimstr("first_moment."))' >clipped.json
  tensors_of free | jq 'with_entries(select(.key | startswith("first_moment."))) | with_entries(.key |= ltrimstr("first_moment."))' >free.json
  jq -en --argjson norm "$norm" --slurpfile gradients gradients.json --slurpfile clipped clipped.json --slurpfile free free.json '
    def size: [.[].values[] | . * .] | add | sqrt;
    $norm > 0.3 and (($gradients[0] | size) / $norm - 1 | fabs) < 1e-5 and (($clipped[0] | size) / 0.25 - 1 | fabs) < 1e-5 and $free[0] == $gradients[0]
    and all($gradients[0] | to_entries[]; .key as $name | .value.values as $g | all(range($g | length);
      ($clipped[0][$name].values[.] - $g[.] * 0.25 / $norm | fabs) < 1e-6))' >/dev/null || fail 'not what clipping does'
}

test_threads_give_the_same_bits() {
  make_corpus
  train --state one --steps 2
  options=${options/-j 1/-j 2}
  unset OMP_NUM_THREADS
  export OMP_WAIT_POLICY=passive  # where other tests run beside it, threads that spin take minutes
  train --state two --steps 2
  expect_same one two
}

test_segments_from_a_pipe_are_the_texts() {
  make_corpus
  train --state texts --steps 2
  uio-segment $texts | uio-train-step $options --state stream --steps 2 >lines || fail 'a pipe'
  expect_same texts stream
}

test_metrics() {
  make_corpus
  train --steps 2 --estimator reservoir --reservoir 1 --validate doc1.txt --validate doc2.txt --validate-every 1
  jq -se 'map(.validation // false) == [false, true, false, true]' lines >/dev/null || fail "lines: $(cat lines)"
  jq -se 'map(select(.validation | not)) | all(
      (.loss > 0) and (.nll > 0) and .gradient_norm > 0 and .tokens > 0 and .scored > 0 and .tokens_per_second > 0 and .peak_bytes > 0
      and .gradient_variance > 0 and (.seconds | has("gradient") and has("sum") and has("optimiser"))
      and ((.buckets | map(.n) | add) == .scored) and (((.buckets | map(.n * .loss) | add) / .scored - .nll | fabs) < 1e-9))' lines >/dev/null || fail "steps: $(cat lines)"
  jq -se 'map(select(.validation)) | length == 2 and map(.step) == [1, 2] and all(.documents == 2 and .scored > 0 and .loss > 0 and .nll > 0)' lines >/dev/null ||
    fail "validation: $(cat lines)"
  # With a rate of 0 the validation is that of the weights at hand: what the programs score after memories, but the first segment.
  train --steps 1 --lr 0 --validate doc5.txt
  uio-score --dtype f32 --context memory --per-token doc5.txt >scores || fail 'uio-score'
  jq -en --slurpfile lines lines --slurpfile scores scores '
    [$scores[] | select(.position != null and .position > 32).logprob] as $scored | ($lines | map(select(.validation))[0]) as $found
    | $found.scored == ($scored | length) and ($found.nll + ($scored | add) / ($scored | length) | fabs) < 1e-5' >/dev/null || fail "other scores: $(cat lines)"
  train --steps 1 --estimator exact
  jq -e 'has("gradient_variance") | not' lines >/dev/null || fail 'a variance where nothing is drawn'
}

# Documents that nothing is scored on: no step is made of them in silence.
test_released_loss_needs_memories() {
  make_corpus
  run uio-train-step $options --trainable base -l 64 --loss released --state state $texts
  expect_status 2
  expect_message uio-train-step
  grep -q released err || fail 'message'
  [ ! -e state ] || fail 'a state of nothing'
}

test_exports() {
  make_corpus
  train --steps 2 --trainable full --state state --export model
  uio-score -m model --context memory doc5.txt >scores || fail 'the exported model and its adapter are not usable'
  train --steps 2 --export adapter --export-dtype bf16
  uio-score -a adapter --context memory doc5.txt >scores || fail 'the exported adapter is not usable'
  # In the public file is what is in the state.
  tensors_of state | jq 'with_entries(select(.key | startswith("weight."))) | with_entries(.key |= ltrimstr("weight."))' >kept.json
  tensors_of model/model.safetensors >base.json
  tensors_of model/adapter/adapter_model.safetensors >adapter.json
  jq -en --slurpfile kept kept.json --slurpfile base base.json --slurpfile adapter adapter.json '$kept[0] == $base[0] + $adapter[0]' >/dev/null || fail 'other weights'
}
