# shellcheck shell=bash disable=SC1091,SC2154
# The bash completions load and offer what they should.

# Completes a command line, whose last word is the one at the cursor, split as bash does at `=`.
complete_words() {
  COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
  "_${1//-/_}"
  printf '%s\n' "${COMPREPLY[@]}"
}

expect_words() { [ "$(complete_words "${@:2}" | sort | tr '\n' ' ')" = "$1 " ] || fail "${*:2} offers $(complete_words "${@:2}")"; }

test_bash() {
  . "$UIO_ROOT/completions/uio.bash" || fail 'does not load'
  local program
  for program in $UIO_PROGRAMS; do
    complete -p "$program" | grep -q "_${program//-/_}" || fail "$program: no completion"
  done
  mkdir directory
  touch file
  expect_words '--device --document --dtype' uio-inspect --d
  expect_words 'bf16' uio-score --dtype b
  expect_words 'bf16' uio-score --dtype = b
  expect_words 'always auto never' uio-score --progress =
  expect_words 'none,streaming' uio-score --context none,s
  expect_words 'directory' uio-compress -m d
  expect_words 'file' uio-compress -o f
  expect_words 'file' uio-compress --form kv f
  expect_words '' uio-compress --batch f
  expect_words '' uio-compress -- --b
}
