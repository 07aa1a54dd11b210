# shellcheck shell=bash disable=SC2154  # status comes from run
# One run of uio-train-step as several processes: the same weights up to rounding from any number, by MPI and at a store.

# shellcheck source=tests/cli/golden_numbers.sh
. "$UIO_ROOT/tests/cli/golden_numbers.sh"

export OMP_NUM_THREADS=1
# Containers often forbid one process to read another's memory; Open MPI then says so and goes on.
export OMPI_MCA_btl_vader_single_copy_mechanism=none

needs_mpi() {
  command -v mpirun >/dev/null || skip 'no mpirun'
  [ -e "$UIO_BIN/../lib/libuio_mpi.so" ] || skip 'built without MPI'
}

# Eight documents of different lengths, and the arguments of a run that takes all of them a step.
prepare() {
  use_model
  local i
  for i in 1 2 3 4 5 6 7 8; do
    make_text | tr '\n' ' ' | head -c $((150 + 60 * i))
    echo " It was day $i."
  done >documents
  arguments=(--lines --accumulate 8 --steps 3 --lr 0.001 --weight-decay 0.01 --dtype f64 documents)
}

# Runs `uio-train-step` as $1 processes; 1 is no launcher.
train_as() {
  local count=$1
  shift
  if [ "$count" -eq 1 ]; then run uio-train-step "$@"; else run mpirun --allow-run-as-root --oversubscribe -n "$count" uio-train-step "$@"; fi
}

# Two exported adapters, or files of gradients: the worst tensor's distance relative to its norm; more than $3 fails.
expect_same_tensors() {
  tensors_of "$1" >first.json
  tensors_of "$2" >second.json
  local largest
  largest=$(relative_difference first.json second.json) || fail "$1 and $2 cannot be compared"
  expect_within "$largest" "$3" "$1 and $2"
}
expect_same_adapter() { expect_same_tensors "$1/adapter_model.safetensors" "$2/adapter_model.safetensors" "$3"; }

# All that does not say how long something took.
timeless() { jq -c 'del(.seconds, .tokens_per_second, .peak_bytes)' "$1"; }

test_any_number_of_processes_agrees() {
  needs_mpi
  prepare
  local count
  for count in 1 2 4; do
    train_as "$count" "${arguments[@]}" --state "$count.state" --export "$count" --gradients "$count.gradients" --validate documents
    expect_status 0 "$count processes"
    expect_empty err "$count processes"
    timeless out >"$count.metrics"
    [ "$(wc -l <"$count.metrics")" -eq 4 ] || fail "$count processes: $(wc -l <"$count.metrics") lines"
  done
  for count in 2 4; do
    expect_same_adapter 1 "$count" 1e-6
    jq -en --slurpfile a 1.metrics --slurpfile b "$count.metrics" '
      def flat: [leaf_paths as $p | {key: ($p | tostring), value: getpath($p)}] | from_entries;
      ($a | flat) as $a | ($b | flat) as $b | ($a | keys) == ($b | keys) and
      all($a | keys[]; ($a[.] | if type == "number" then . else 0 end) as $x | ($b[.] | if type == "number" then . else 0 end) as $y
        | ($x - $y | fabs) <= 1e-9 * ($x | fabs))' >/dev/null || fail "$count processes: other metrics: $(cat "$count.metrics")"
    expect_same_tensors 1.gradients "$count.gradients" 1e-9
  done
  # Each number of processes against itself, to the bit.
  for count in 2 4; do
    train_as "$count" "${arguments[@]}" --state again.state
    expect_status 0 "$count processes again"
    expect_same "$count.state" again.state
    rm again.state
  done
}

test_sampled_estimators_draw_the_same() {
  needs_mpi
  prepare
  local count
  for count in 1 3; do
    train_as "$count" "${arguments[@]}" --estimator importance --window 1 --reservoir 1 --export "$count"
    expect_status 0 "$count processes"
    timeless out >"$count.metrics"
  done
  expect_same_adapter 1 3 1e-6
  [ "$(jq -s 'all(.gradient_variance > 0)' 3.metrics)" = true ] || fail "no variance: $(cat 3.metrics)"
  jq -en --slurpfile a 1.metrics --slurpfile b 3.metrics \
    'all(range(3); ($a[.].gradient_variance / $b[.].gradient_variance - 1 | fabs) < 1e-6)' >/dev/null || fail 'other variances'
}

test_more_processes_than_documents() {
  needs_mpi
  prepare
  train_as 1 --lines --accumulate 2 --steps 2 --export one documents
  train_as 3 --lines --accumulate 2 --steps 2 --export three documents
  expect_status 0
  [ "$(grep -c 'have nothing to do' err)" -eq 1 ] || fail 'not one warning'
  expect_same_adapter one three 1e-5
}

test_resumed_with_another_number() {
  needs_mpi
  prepare
  train_as 1 "${arguments[@]}" --steps 4 --export whole
  train_as 2 "${arguments[@]}" --steps 4 --schedule-steps 4 --state run.state --steps 1
  expect_status 0
  train_as 3 "${arguments[@]}" --steps 4 --schedule-steps 4 --state run.state --steps 3
  expect_status 0
  train_as 1 "${arguments[@]}" --steps 4 --schedule-steps 4 --state run.state --export parts
  expect_status 0
  expect_same_adapter whole parts 1e-6
}

test_a_killed_process_ends_the_run() {
  needs_mpi
  prepare
  local run=("${arguments[@]}" --steps 100000 --schedule-steps 100000 --state run.state) launcher i
  : >out
  # shellcheck disable=SC2016  # expanded by each process
  mpirun --allow-run-as-root --oversubscribe -n 2 sh -c 'echo $$ >"pid.$OMPI_COMM_WORLD_RANK"; exec uio-train-step "$@"' - "${run[@]}" >out 2>err &
  launcher=$!
  for ((i = 0; i < 1200; ++i)); do
    [ "$(wc -l <out)" -lt 3 ] || break
    sleep 0.1
  done
  [ "$(wc -l <out)" -ge 3 ] || fail 'no steps'
  kill -9 "$(cat pid.1)"
  wait "$launcher"
  status=$?
  [ "$status" -ne 0 ] || fail 'status 0'
  grep -qi 'signal 9' err || fail 'no message'
  rm pid.0 pid.1
  expect_files documents err out run.state
  run uio-inspect --verify run.state
  expect_status 0 'the state'
  local step
  step=$(uio-inspect run.state | jq '.description.step // empty')
  run uio-train-step "${run[@]}" --steps $((step + 2)) --export resumed
  expect_status 0 'resume'
  train_as 4 "${run[@]}" --steps $((step + 4)) --export resumed
  expect_status 0 'resume with four'
  [ "$(head -n 1 out | jq .step)" -eq $((step + 3)) ] || fail "resumed at $(head -n 1 out), the state was of step $step"
}

# One message, whoever fails, and its status.
test_errors_are_told_once() {
  needs_mpi
  prepare
  train_as 3 -m missing "${arguments[@]}"
  [ "$status" -eq 5 ] || [ "$status" -eq 3 ] || fail "status $status"
  [ "$(grep -c '^uio-train-step: ' err)" -eq 1 ] || fail 'not one message'
  train_as 3 "${arguments[@]}" --export /proc/missing
  expect_status 5
  [ "$(grep -c '^uio-train-step: ' err)" -eq 1 ] || fail 'not one message'
  train_as 2 --steps 0 documents
  expect_status 2
  [ "$(grep -c '^uio-train-step: ' err)" -eq 1 ] || fail 'not one message'
  train_as 2 --steps 1 -
  expect_status 2
  grep -q 'several processes cannot read standard input' err || fail 'standard input'

  # A step that fails in one of them only: one document has more tokens than the model has positions.
  { make_text | tr '\n' ' '; make_text | tr '\n' ' '; echo; echo 'It was short.'; echo 'It was short too.'; } >documents
  train_as 3 --trainable base -l 1024 --lines --accumulate 3 --steps 1 --state run.state documents
  expect_status 4
  [ "$(grep -c '^uio-train-step: ' err)" -eq 1 ] || fail 'not one message'
  [ ! -e run.state ] || fail 'a state was written'
}

test_processes_must_agree() {
  needs_mpi
  prepare
  # shellcheck disable=SC2016
  run mpirun --allow-run-as-root --oversubscribe -n 3 sh -c 'exec uio-train-step "$@" --seed $((OMPI_COMM_WORLD_RANK / 2))' - "${arguments[@]}" --state run.state
  expect_status 4
  [ "$(grep -c '^uio-train-step: ' err)" -eq 1 ] || fail 'not one message'
  grep -q "the processes of the run differ: 'process 2': seed is 1, of process 0 0" err || fail 'message'
  [ ! -e run.state ] || fail 'a state was written'
}

# What torchrun sets; without it the first process keeps the store.
test_at_a_store() {
  prepare
  local port=$((20000 + RANDOM % 20000)) second
  local common=(env MASTER_ADDR=127.0.0.1 "MASTER_PORT=$port" WORLD_SIZE=2)
  run uio-train-step "${arguments[@]}" --export one
  expect_status 0
  "${common[@]}" RANK=1 uio-train-step "${arguments[@]}" --export two >second.out 2>second.err &
  second=$!
  run "${common[@]}" RANK=0 uio-train-step "${arguments[@]}" --export two
  expect_status 0
  wait "$second" || fail "the second process: $(cat second.err)"
  [ "$(wc -l <out)" -eq 3 ] || fail 'metrics'
  expect_empty second.out
  expect_same_adapter one two 1e-6

  "${common[@]}" RANK=1 uio-train-step "${arguments[@]}" --seed 1 >second.out 2>second.err &
  second=$!
  run "${common[@]}" RANK=0 uio-train-step "${arguments[@]}"
  expect_status 4
  wait "$second"
  [ $? -eq 4 ] || fail 'status of the second process'
  [ "$(cat err second.err | grep -c '^uio-train-step: the processes of the run differ')" -eq 1 ] || fail 'not one message'
}

test_launchers_that_do_not_fit() {
  prepare
  # The environment of two, and nobody else there.
  run env -u MASTER_ADDR PMI_RANK=0 PMI_SIZE=2 uio-train-step "${arguments[@]}"
  expect_status 6
  expect_message uio-train-step
  run env PMI_RANK=2 PMI_SIZE=2 uio-train-step "${arguments[@]}"
  expect_status 2
  grep -q "bad PMI_RANK in the environment: '2': expected a number from 0 to 1" err || fail 'message'
}
