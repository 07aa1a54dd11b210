# shellcheck shell=bash disable=SC2154,SC2034  # sweeps use what is set for them
# Calls that fail where memories are used, in whole programs.

# shellcheck source=tests/cli/faults.sh
. "$UIO_ROOT/tests/cli/faults.sh"

test_decode() {
  prepare
  fresh
  outputs=(saved)
  echo old >../old/saved
  input=book.uio
  sweep uio-decode -n 4 -p Once --save saved
  report
}

test_score() {
  prepare
  fresh
  echo old >../old/result
  sweep uio-score --context none,memory -o result book.txt
  fresh
  outputs=()
  sweep uio-score --verify book.uio book.seg
  report
}
