# shellcheck shell=bash disable=SC2154  # status comes from run
# The shared battery: what every program must do, whatever it is for.

test_help_is_on_stdout() {
  local program
  for program in $UIO_PROGRAMS; do
    run "$program" -h
    expect_status 0 "$program -h"
    expect_output out "$program -h"
    expect_empty err "$program -h"
    mv out short
    run "$program" --help
    expect_same short out
    grep -q "^usage: $program " out || fail "$program: no usage"
    [ "$(grep -n '^usage:' out | cut -d: -f1)" -gt "$(grep -n "^  .*$program " out | head -n 1 | cut -d: -f1)" ] ||
      fail "$program: examples do not come first"
  done
}

test_version_is_on_stdout() {
  local program
  for program in $UIO_PROGRAMS; do
    run "$program" --version
    expect_status 0 "$program"
    expect_empty err "$program"
    head -n 1 out | grep -Eqx "$program [0-9]+\.[0-9]+\.[0-9]+" || fail "$program: first line is $(head -n 1 out)"
    mv out long
    run "$program" -V
    expect_same long out
    run bash -c 'exec -a other "$(command -v "$1")" --version' bash "$program"
    expect_same long out
  done
}

test_help_and_version_win() {
  local program
  for program in $UIO_PROGRAMS; do
    run "$program" --no-such -h missing
    expect_status 0 "$program"
    expect_empty err "$program"
    grep -q '^usage:' out || fail "$program: no help"
    run "$program" --version --level=none '' -o
    expect_status 0 "$program"
    expect_empty err "$program"
  done
}

test_misuse() {
  local program
  for program in $UIO_PROGRAMS; do
    run "$program" --no-such
    expect_status 2 "$program --no-such"
    expect_message "$program"
    grep -q -e "'--no-such'" err || fail "$program: option not named"
    run "$program" -o
    expect_status 2 "$program -o"
    expect_message "$program"
    run "$program" --output
    expect_status 2 "$program --output"
    expect_message "$program"
    run "$program" --outpu x
    expect_status 2 "$program: abbreviation"
    expect_message "$program"
    run "$program" ''
    expect_status 2 "$program: empty operand"
    expect_message "$program"
    run "$program" --output= -
    expect_status 2 "$program: empty output"
    expect_message "$program"
    run "$program" --quiet=yes -
    expect_status 2 "$program: value for a flag"
    expect_message "$program"
    run "$program" --progress sometimes -
    expect_status 2 "$program: bad choice"
    expect_message "$program"
    grep -q "'sometimes'.*auto|always|never" err || fail "$program: choices not named"
    run "$program" -j 0x10 -
    expect_status 2 "$program: bad number"
    expect_message "$program"
    grep -q 'from 1 to' err || fail "$program: range not named"
    grep -q '^hint: ' err || fail "$program: no hint"
  done
}

test_options_may_take_any_place_and_the_last_wins() {
  local program
  for program in $UIO_PROGRAMS; do
    run "$program" --progress never -qv --seed 1 --seed=2 -j1 -m . -- -missing
    [ "$status" -ne 2 ] || fail "$program: taken for misuse"
    expect_message "$program"
    run "$program" missing -m . --progress never -qv
    [ "$status" -ne 2 ] || fail "$program: taken for misuse"
  done
}

test_full_disk_is_noticed() {
  [ -w /dev/full ] || skip 'no /dev/full'
  local program option
  for program in $UIO_PROGRAMS; do
    for option in -h --help --version --generate=man --generate=bash; do
      "$program" "$option" >/dev/full 2>err
      status=$?
      expect_status 5 "$program $option"
      grep -q "^$program: cannot write" err || fail "$program: no message"
    done
  done
}

test_full_disk_is_noticed_at_work() {
  [ -w /dev/full ] || skip 'no /dev/full'
  use_model
  make_text >book.txt
  uio-segment -o book.seg book.txt || fail 'no segments'
  uio-compress -o book.uio book.seg || fail 'no blob'
  local -a command
  while read -ra command; do
    "${command[@]}" >/dev/full 2>err
    status=$?
    expect_status 5 "${command[*]}"
    grep -q "^${command[0]}: cannot write" err || fail "${command[*]}: no message"
  done <<'END'
uio-segment book.txt
uio-compress book.seg
uio-decode -n 3 book.uio
uio-score --context none book.txt
uio-inspect book.uio
END
}

test_closed_output_is_noticed() {
  local program
  for program in $UIO_PROGRAMS; do
    "$program" --help >&- 2>err
    status=$?
    expect_status 5 "$program"
    "$program" --help >&- 2>&-
    status=$?
    expect_status 5 "$program, without standard error"
    "$program" --help >out 2>&-
    status=$?
    expect_status 0 "$program, without standard error"
  done
}

test_closed_reader_ends_quietly() {
  local program
  for program in $UIO_PROGRAMS; do
    run_without_reader "$program" --help
    expect_status 141 "$program"
    expect_empty err "$program"
    trap '' PIPE
    run_without_reader "$program" --help
    trap - PIPE
    expect_status 141 "$program, SIGPIPE ignored"
    expect_empty err "$program"
  done
}

test_closed_reader_ends_work_quietly() {
  use_model
  make_text >book.txt
  uio-segment -o book.seg book.txt || fail 'no segments'
  uio-compress -o book.uio book.seg || fail 'no blob'
  local -a command
  while read -ra command; do
    run_without_reader "${command[@]}"
    expect_status 141 "${command[*]}"
    expect_empty err "${command[*]}"
    trap '' PIPE
    run_without_reader "${command[@]}"
    trap - PIPE
    expect_status 141 "${command[*]}, SIGPIPE ignored"
    expect_empty err "${command[*]}"
  done <<'END'
uio-segment book.txt
uio-compress book.seg
uio-decode -n 3 book.uio
uio-score --context none book.txt
uio-inspect book.uio
END
}

test_closed_input_is_noticed() {
  use_model
  local program
  for program in $UIO_PROGRAMS; do
    "$program" <&- >out 2>err
    status=$?
    expect_status 5 "$program"
    expect_message "$program"
  done
}

test_empty_input() {
  use_model
  local program
  for program in $UIO_STREAM_READERS; do
    run "$program" </dev/null
    expect_status 3 "$program"
    expect_message "$program"
    run "$program" -- - </dev/null
    expect_status 3 "$program -"
  done
  for program in uio-segment uio-score; do
    run "$program" </dev/null
    expect_status 0 "$program"
    expect_empty err "$program"
  done
}

test_missing_and_odd_inputs() {
  use_model
  mkdir directory
  local program
  for program in $UIO_PROGRAMS; do
    run "$program" missing
    expect_status 5 "$program missing"
    expect_message "$program"
    grep -q "'missing'" err || fail "$program: file not named"
    run "$program" directory
    expect_status 5 "$program directory"
    expect_message "$program"
    grep -q "'directory'.*directory" err || fail "$program: directory not told"
  done
  expect_files directory err out
}

test_missing_model() {
  local program
  make_text >book.txt
  for program in uio-segment uio-score; do
    run "$program" -m missing book.txt
    expect_status 5 "$program"
    expect_message "$program"
    run "$program" --model= book.txt
    expect_status 2 "$program"
    run env UIO_MODEL=missing "$program" book.txt
    expect_status 5 "$program"
  done
}

test_outputs_that_cannot_be() {
  use_model
  mkdir directory
  local program
  for program in $UIO_PROGRAMS; do
    run "$program" -o directory </dev/null
    expect_status 5 "$program"
    expect_message "$program"
    run "$program" -o missing/file </dev/null
    expect_status 5 "$program"
    expect_message "$program"
  done
  expect_files directory err out
}

test_refuses_binary_on_a_terminal() {
  use_model
  make_text >book.txt
  uio-segment -o book.seg book.txt || fail 'no segments'
  local line
  while read -r line; do
    run_on_terminal "$line"
    expect_status 2 "$line"
    grep -q 'refusing to write binary data to a terminal' out || fail "$line: $(cat out)"
  done <<'END'
uio-segment book.txt
uio-compress book.seg
uio-inspect --cut book.seg
END
  run_on_terminal 'uio-inspect --cut --force book.seg'
  expect_status 0 'forced'
  run_on_terminal 'uio-segment -f book.txt'
  expect_status 0 'forced'
}

test_terminal_input_gets_a_hint() {
  use_model
  local program
  for program in $UIO_PROGRAMS; do
    run_on_terminal "$program -o result"
    expect_status 2 "$program"
    grep -q 'standard input is a terminal' out || fail "$program: $(cat out)"
    grep -q 'hint: ' out || fail "$program: no hint"
    [ ! -e result ] || fail "$program: made a file"
  done
}

test_no_colour() {
  local program
  for program in $UIO_PROGRAMS; do
    NO_COLOR=1 run_on_terminal "$program --help; $program --no-such"
    ! grep -q $'\033' out || fail "$program: escapes under NO_COLOR"
  done
}

test_links_no_torch() {
  command -v ldd >/dev/null || skip 'no ldd'
  local program
  for program in $UIO_PROGRAMS; do
    ldd "$UIO_BIN/$program" >libraries || fail "$program: ldd"
    # Names only: the addresses behind them hold any letters.
    ! awk '{ print $1 }' libraries | grep -E 'torch|c10|cuda|mkl|gomp' || fail "$program links LibTorch"
  done
}
