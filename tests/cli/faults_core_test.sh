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

test_serve() {
  prepare
  uio-compress --level 0 -o stored.uio book.seg || fail 'no stored blob'
  printf '{"id":%s,"memory":["%s.uio"],"prompt":"Once","max_tokens":3}\n' 1 book 2 stored 3 book >requests
  fresh
  says=answers outputs=()
  sweep uio-decode --jsonl requests
  input=requests
  sweep uio-decode --jsonl --batch 2
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
