# shellcheck shell=bash disable=SC2154,SC2034  # status comes from run; sweeps use what is set for them
# Helpers of the fault cases: calls to the operating system that fail, in whole programs. The library of tests/faults makes the k-th
# call of each kind about the test's own files fail. What comes out is right and the status 0, or the status is 5 with one message; no
# output is half written, what was there before stays as it was or is replaced by the whole, and no temporary file is left.
# UIO_FAULTS: how many calls of a kind are tried, spread over all that a run makes; `all` tries each, as is done without it where the
# programs are quick, and for looks at what may be absent.

shim=${UIO_BIN%/bin}/tests/failing_calls.so
tried=${UIO_FAULTS:-2}

declare -A errors=(
  [open]=EIO [tmpfile]=EIO [read]=EIO [write]='ENOSPC EIO' [close]=EIO [duplicate]=EMFILE [stat]=EIO [fstat]=EIO [access]=EIO
  [fchmod]=EPERM [fsync]='EIO ENOSPC' [linkat]=ENOSPC [rename]=EIO [unlink]=EIO [mmap]='ENOMEM bus' [flock]=ENOLCK [futimens]=EPERM
  [mkdir]=ENOSPC [opendir]=EIO [realpath]=EACCES
)
# Interrupted, or one byte at a time: no reason to fail.
interrupted='open:1+:EINTR tmpfile:1+:EINTR read:1+:EINTR write:1+:EINTR close:1+:EINTR fsync:1+:EINTR flock:1+:EINTR fchmod:1+:EINTR'
short='read:1+:short write:1+:short'

# The folder `work` with a model and inputs; what a test notes for itself lies beside it.
prepare() {
  [ -e "$shim" ] || skip 'no library that makes calls fail'
  use_model
  mkdir work old new
  cd work || fail 'no folder'
  cp -rL "$UIO_MODEL" model
  rm -f model/expected.json model/generate.py
  find model -exec touch -d 2020-01-01 {} +  # old enough for its fingerprint to be kept
  export UIO_MODEL=$PWD/model OMP_NUM_THREADS=1
  make_text >book.txt
  uio-segment -o book.seg book.txt || fail 'no segments'
  uio-compress -o book.uio book.seg || fail 'no blob'
  export UIO_CACHE_DIR=$PWD/memo
}

# Runs the command of the sweep while $1 fails. `input`: what it reads through a pipe; then it also writes into one.
run_failing() {
  local -a with=(env LD_PRELOAD="$shim" UIO_FAULT_ROOT="$PWD" UIO_FAULT_LOG=../calls UIO_FAULT="$base $1" "${command[@]}")
  rm -f ../calls
  if [ -n "$input" ]; then
    # shellcheck disable=SC2002  # a pipe is wanted
    cat "$input" 2>../cat.err | "${with[@]}" 2>../err | cat >../out
    status=${PIPESTATUS[1]}
  else
    "${with[@]}" </dev/null >../out 2>../err
    status=$?
  fi
}

# What there was before the run.
reset() {
  rm -rf -- "${outputs[@]}" "${aids[@]}"
  cp -a ../old/. .
}

fail_of() { fail "${command[*]}: $fault: status $status: $*
$(cat ../err)
$(grep failed ../calls)"; }

expect_good() { if [ "$status" -ne 0 ] || [ -s ../err ]; then fail_of "$1"; fi; }

# Every output is that of before or that of after; after success, that of after. Aids (caches) may lack files, and have those of ../ever.
check_outputs() {
  local file
  while read -r file; do
    if cmp -s "$file" "../new/$file" || cmp -s "$file" "../ever/$file"; then continue; fi
    [ -e "../old/$file" ] || [ -e "../new/$file" ] || fail_of "left $file"
    cmp -s "$file" "../old/$file" || fail_of "$file is neither the old nor the new one"
    [ "$status" -ne 0 ] || fail_of "$file is still the old one"
  done < <(find . -type f -not -path './model/*' | sed 's|^\./||' | grep -vxF "$inputs")
  while read -r file; do
    [ -e "$file" ] || [ ! -e "../new/$file" ] || { [ "$status" -ne 0 ] && [ ! -e "../old/$file" ]; } || fail_of "$file is missing"
  done < <(cd ../new && for file in "${outputs[@]}"; do find "$file" -type f; done)
}

check_outcome() {
  local lines
  lines=$(wc -l <../err)
  case $status in
    0)
      [ "$lines" -le 1 ] || fail_of 'more than a remark'
      [ "$says" = times ] || cmp -s ../out ../out.good || fail_of 'other bytes'
      ;;
    1)
      # Some requests failed, each with a message of its own; the others have their answers.
      [ "$says" = answers ] || fail_of 'neither done nor a failure to read or write'
      jq -n --slurpfile found ../out --slurpfile good ../out.good '($found | length) == ($good | length) and
        ([$found, $good] | transpose | all(.[0] == .[1] or (.[0].id == .[1].id and .[0].error.status == 5)))' | grep -qx true || fail_of 'other answers'
      [ "$(grep -cE "^${command[0]}: [^:]+: '[^:]+': .+" ../err)" -eq "$(grep -c '"error"' ../out)" ] || fail_of 'not a message for each request that failed'
      ;;
    5)
      # A cache that could not be written is remarked as well where the disk stays full.
      [ "$(grep -vcE '^hint: |: cannot write to the cache: ' ../err)" -eq 1 ] || fail_of 'not one message'
      [ "$(grep -cE "^${command[0]}: [^:]+: '[^:]+': .+" ../err)" -eq "$(grep -vc '^hint: ' ../err)" ] || fail_of 'not a clear message'
      [[ $says != @(text|answers) ]] || cmp -s -n "$(stat -c %s ../out)" ../out ../out.good || fail_of 'other bytes before the end'
      ;;
    *) fail_of 'neither done nor a failure to read or write' ;;
  esac
  check_outputs
}

# Which of $1 calls of kind $2 are made to fail.
chosen() {
  local i tried=$tried
  if [ "$2" = stat ] && [ "$1" -le 20 ]; then tried=all; fi
  if [ "$tried" = all ] || [ "$1" -le "$tried" ]; then seq "$1"; else
    for ((i = 0; i < tried; ++i)); do echo $((1 + i * ($1 - 1) / (tried > 1 ? tried - 1 : 1))); done
  fi
}

# sweep COMMAND...: with `outputs` and `aids` set to names of files or folders, and what was there before in ../old.
runs=0 failures=0
sweep() {
  command=("$@")
  local fault='nothing fails' call count k error
  rm -rf -- "${outputs[@]}" "${aids[@]}"
  inputs=$(find . -type f -not -path './model/*' | sed 's|^\./||')
  find . -type f -exec sha256sum {} + >../sums
  reset
  run_failing ''
  expect_good 'not even the run without faults'
  rm -rf ../new
  mkdir ../new
  local name
  for name in "${outputs[@]}" "${aids[@]}"; do [ ! -e "$name" ] || cp -a "$name" ../new; done
  cp ../out ../out.good
  cp ../calls ../calls.good
  for fault in "$short" "$interrupted"; do
    reset
    run_failing "$fault"
    grep -q failed ../calls || fail_of 'nothing was to fail'
    expect_good 'interrupted or short calls are no failures'
    check_outcome
  done
  while read -r count call; do
    for error in ${errors[$call]:-}; do
      for k in $(chosen "$count" "$call"); do try "$call:$k:$error"; done
    done
    [ "$call" != write ] || try "write:$(((count + 1) / 2))+:ENOSPC"
  done < <(cut -d' ' -f1 ../calls.good | sort | uniq -c)
  reset
  sha256sum --status -c ../sums || fail 'an input was changed'
  rm -rf -- "${outputs[@]}" "${aids[@]}" ../old
  mkdir ../old
}

try() {
  fault=$1
  reset
  run_failing "$fault"
  runs=$((runs + 1))
  [ "$status" -eq 0 ] || failures=$((failures + 1))
  check_outcome
}

# Defaults of a sweep: no pipes, nothing else fails. `says` is what comes out of standard output: a text, which a failure may cut short;
# a verdict, which tells a failure too; lines with times; or answers, of which some may be an error and the others are those of before.
fresh() { outputs=(result) aids=(memo) input='' base='' says=text; }
report() { echo "note: $runs runs, $failures failed as they should"; }
