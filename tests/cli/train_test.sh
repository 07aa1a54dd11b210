# shellcheck shell=bash disable=SC2154  # status comes from run
# The command line of uio-train-step: what is refused before a model is read, and how.

# $1: what the message must say; then the arguments. No model, no input and no tensor library are needed to find the mistake.
expect_misuse() {
  local said=$1
  shift
  run uio-train-step "$@" </dev/null
  expect_status 2 "$*"
  expect_message uio-train-step
  grep -q -e "$said" err || fail "$*: message"
  grep -q '^hint: ' err || fail "$*: no hint"
}

test_values_out_of_range() {
  expect_misuse "bad value of --steps: '0': expected a whole number from 1 to" --steps 0 -
  expect_misuse "bad value of --lr: 'fast': expected a number from 0 to" --lr fast -
  expect_misuse "bad value of --lr: '-1'" --lr -1 -
  expect_misuse "bad value of --betas: '0.9': expected two numbers" --betas 0.9 -
  expect_misuse "bad value of --estimator: 'best': expected bptt|tbptt|incremental|exact|reservoir|window+tail" --estimator best -
  expect_misuse "bad value of --trainable: 'all': expected adapter|full|base" --trainable all -
  expect_misuse "bad value of --reset: 'weights': expected optimiser|schedule|data|random" --reset weights -
  expect_misuse "bad value of --transfer-targets: 'q_proj': expected k_proj|v_proj" --transfer-targets q_proj -
  expect_misuse "bad value of --mix: 'lm': expected a name" --mix lm -
  expect_misuse "bad value of --corpus-weights: '0,0'" --corpus-weights 0,0 a b
  expect_misuse 'bad value of --state' --state= -
}

test_options_that_mean_nothing_without_another() {
  expect_misuse '--save-every without --state FILE' --save-every 10 -
  expect_misuse '--reset without --state FILE' --reset data -
  expect_misuse '--mix without --objective mix' --mix lm=1 -
  expect_misuse '--objective mix without --mix' --objective mix -
  expect_misuse '--export-dtype without --export DIR' --export-dtype bf16 -
  expect_misuse '--validate-every without --validate FILE' --validate-every 5 -
  expect_misuse '--rank without a fresh adapter' -m . --rank 8 -
}

test_contradictions() {
  expect_misuse '--lines and --jsonl exclude each other' --lines --jsonl -
  expect_misuse '--corpus-weights does not fit the operands' --corpus-weights 1,2 one
  expect_misuse 'standard input is asked for twice' --validate - -
  expect_misuse "one file for two outputs: 'x'" --state x --gradients x -
  expect_misuse "--init adapter with --adapter: 'some'" -m . --init adapter -a some -
  expect_files err out
}

test_the_environment_may_ask_for_a_fresh_adapter() {
  run env UIO_ADAPTER=some uio-train-step -m missing --rank 8 -
  expect_status 2
  grep -q 'without a fresh adapter' err || fail 'not refused'
  # What is wrong here is the model, which is looked for later.
  run env UIO_ADAPTER=fresh uio-train-step -m missing --rank 8 -
  [ "$status" -ne 2 ] || fail 'refused'
  run env UIO_ADAPTER=some uio-train-step -m missing --init adapter --rank 8 --memory-length 4 -
  [ "$status" -ne 2 ] || fail 'refused'
}

test_list_estimators() {
  run uio-train-step --list-estimators </dev/null
  expect_status 0
  expect_empty err
  local name
  for name in bptt tbptt incremental exact reservoir window+tail importance released decayed; do
    grep -q -F -w -e "$name" out || fail "$name is missing"
  done
  cp out shown
  run uio-train-step --list-estimators -o table
  expect_empty out
  expect_same shown table
}
