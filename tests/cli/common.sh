# shellcheck shell=bash disable=SC2034  # the cases use what is set here
# Helpers of the shell cases. A case is a function; `fail` and `skip` end it.

UIO_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export UIO_ROOT
UIO_PROGRAMS='uio-segment uio-compress uio-decode uio-score uio-train-step uio-inspect'
UIO_STREAM_READERS='uio-compress uio-decode uio-inspect'

fail() {
  echo "$*"
  [ ! -s err ] || { echo '--- standard error:'; head -c 2000 err; }
  exit 1
}
skip() { echo "$*"; exit 77; }

# Runs a command: its status in $status, its output in the files `out` and `err`.
run() {
  "$@" >out 2>err
  status=$?
}

expect_status() { [ "$status" -eq "$1" ] || fail "status $status, expected $1: ${*:2}"; }
expect_empty() { [ ! -s "$1" ] || fail "$1 is not empty: ${*:2}: $(head -c 300 "$1" | tr -d '\0')"; }
expect_output() { [ -s "$1" ] || fail "$1 is empty: ${*:2}"; }
expect_same() { cmp -- "$1" "$2" || fail "$1 and $2 differ"; }
# Misuse and failures of the program $1: one line with its name, then perhaps a hint. Misuse writes nothing else; a run that
# fails later may have begun its output, which then lacks its end.
expect_message() {
  [ "$status" -ne 2 ] || expect_empty out "$1"
  head -n 1 err | grep -q "^$1: " || fail "$1: no message"
  if tail -n +2 err | grep -qv '^hint: '; then fail "$1: more than a message and a hint"; fi
}

# Refused with status $1 and a message with the words $2: the command that follows.
refused() {
  run "${@:3}"
  expect_status "$1" "${*:3}"
  grep -qe "$2" err || fail "${*:3}: $(cat err)"
}

# The names of files in the current directory must be those given.
expect_files() {
  local found
  found=$(find . -mindepth 1 -printf '%P\n' | sort)
  [ "$found" = "$(printf '%s\n' "$@" | sort)" ] || fail "files are: $found"
}

# A small model with an adapter, for programs that need one.
use_model() {
  if [ -n "${UIO_TEST_MODEL:-}" ]; then
    export UIO_MODEL=$UIO_TEST_MODEL
  elif [ -e "$UIO_ROOT/tests/golden/model/config.json" ]; then
    export UIO_MODEL=$UIO_ROOT/tests/golden/model
  else
    local shared=$UIO_ROOT/../shared/data/golden/released-uio
    [ -e "$shared/model/config.json" ] || skip 'no test model: tests/golden/model and ../shared are missing'
    export UIO_MODEL=$shared/model UIO_ADAPTER=$shared/adapter
  fi
}

# A text of a few hundred tokens: short enough for models of few positions.
make_text() {
  local i
  for i in 1 2 3 4; do
    echo "Once upon a time, on day $i, Lily and Tom went to the park. They saw a big dog and $i little birds."
    echo "\"Look,\" said Tom, \"the birds can sing.\" Lily was happy. Then they all went home to eat."
  done
}

# A stream of segments, and a blob of them.
make_segments() { make_text | uio-segment -o "$1" || fail 'cannot make segments'; }
make_blob() { make_text | uio-segment | uio-compress -o "$1" || fail 'cannot make a blob'; }

# Runs a command with a reader of its output that has gone already.
run_without_reader() {
  [ -p gone ] || mkfifo gone
  exec 8<>gone  # a reader, or the next line would wait for one
  exec 9>gone
  exec 8<&-
  "$@" >&9 2>err
  status=$?
  exec 9>&-
}

# Runs a command line with a terminal as its standard output and error; what it shows lands in `out`.
run_on_terminal() {
  command -v script >/dev/null || skip 'no script(1) to make a terminal'
  script -qec "$1" /dev/null >out </dev/null 2>err
  status=$?
}
