# shellcheck shell=bash disable=SC2154  # status comes from run
# Outputs are whole or absent, and nothing else is written.

# One line a program: what makes `result` out of book.txt, book.seg or book.uio.
commands='uio-segment book.txt
uio-compress book.seg
uio-decode -n 3 book.uio
uio-score --context none book.txt
uio-inspect book.uio'

make_inputs() {
  use_model
  export UIO_CACHE_DIR=$TMPDIR/../cache
  make_text >book.txt
  uio-segment -o book.seg book.txt || fail 'no segments'
  uio-compress -o book.uio book.seg || fail 'no blob'
}

test_file_equals_stdout_and_itself() {
  make_inputs
  local -a command
  while read -ra command; do
    "${command[@]}" >first || fail "${command[*]}"
    "${command[@]}" -o second || fail "${command[*]}"
    "${command[@]}" | cat >third
    expect_same first second
    expect_same first third
  done <<<"$commands"
}

test_writes_nothing_but_its_output() {
  make_inputs
  mkdir inputs
  mv book.* inputs
  local -a command
  while read -ra command; do
    (cd inputs && run "${command[@]}" -o ../result; mv out err .. && exit "$status") || fail "${command[*]}"
    expect_empty out "${command[*]}"
    expect_empty err "${command[*]}"
    expect_files inputs inputs/book.txt inputs/book.seg inputs/book.uio err out result
    rm result
  done <<<"$commands"
  local strays
  strays=$(find "$HOME" "$TMPDIR" -mindepth 1)
  [ -z "$strays" ] || fail "wrote $strays"
}

test_cache_that_cannot_be_written() {
  make_inputs
  touch file
  local -a command
  while read -ra command; do
    "${command[@]}" >first || fail "${command[*]}"
    UIO_CACHE_DIR=$PWD/file/cache run "${command[@]}"
    expect_status 0 "${command[*]}"
    expect_same first out
    (unset HOME XDG_CACHE_HOME; run "${command[@]}"; exit "$status") || fail "${command[*]}: no HOME"
  done <<<"$commands"
}

test_failure_keeps_the_old_file() {
  make_inputs
  head -c 200 book.seg >cut.seg
  head -c 200 book.uio >cut.uio
  printf 'text \377 text' >bad.txt
  echo old >result
  cp result old
  local -a command
  while read -ra command; do
    run "${command[@]}" -o result
    expect_status 3 "${command[*]}"
    expect_message "${command[0]}"
    expect_same old result
  done <<'END'
uio-segment bad.txt
uio-compress cut.seg
uio-decode -n 3 cut.uio
uio-score --context none bad.txt
uio-inspect cut.uio
END
  expect_files bad.txt book.seg book.txt book.uio cut.seg cut.uio err old out result
}

# Starts the command on a pipe that never ends, kills it once it has that open, and expects no trace.
kill_at_work() {  # signal, expected status, first bytes of the pipe, command
  local signal=$1 expected=$2 input=$3 process descriptor limit=$((SECONDS + 60)) has_begun=
  shift 3
  mkfifo feed
  exec 7<>feed
  cat "$input" >&7
  set -m  # without it, background jobs of a script ignore SIGINT
  "$@" -o result feed >out 2>err 7>&- &
  process=$!
  set +m
  until [ -n "$has_begun" ]; do
    for descriptor in "/proc/$process/fd/"[!7]*; do  # 7 is the shell's own, before it becomes the program
      [ "$descriptor" -ef feed ] && has_begun=yes
    done
    if [ "$SECONDS" -ge "$limit" ]; then fail "never read its input: $*"; fi
  done
  kill "-$signal" "$process"
  wait "$process" 2>/dev/null
  status=$?
  exec 7>&-
  expect_status "$expected" "$signal: $*"
  rm feed
}

test_killed_leaves_nothing() {
  use_model
  make_text >book.txt
  uio-segment -o book.seg book.txt || fail 'no segments'
  head -c 600 book.seg >begun.seg
  local signal expected
  while read -r signal expected; do
    kill_at_work "$signal" "$expected" book.txt uio-segment
    kill_at_work "$signal" "$expected" begun.seg uio-inspect
    kill_at_work "$signal" "$expected" begun.seg uio-compress
    kill_at_work "$signal" "$expected" book.txt uio-score
    kill_at_work "$signal" "$expected" begun.seg uio-decode
  done <<'END'
TERM 143
INT 130
HUP 129
KILL 137
END
  expect_files begun.seg book.seg book.txt err out
}

test_ignored_interrupt_stays_ignored() {
  use_model
  make_text >book.txt
  mkfifo feed
  (trap '' INT; exec uio-segment -o result <feed) &
  local process=$!
  exec 7>feed
  kill -INT "$process"
  cat book.txt >&7
  exec 7>&-
  wait "$process" || fail 'stopped'
  uio-inspect --verify result || fail 'not whole'
}

test_file_size_limit_is_a_write_error() {
  make_inputs
  seq 1 20000 >long.txt
  (ulimit -f 1; run uio-segment -o result long.txt; exit "$status")
  status=$?
  expect_status 5
  [ ! -e result ] || fail 'left a file'
}
