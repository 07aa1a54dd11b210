# shellcheck shell=bash disable=SC2154
# The fish completions load and offer what they should.

test_fish() {
  command -v fish >/dev/null || skip 'no fish'
  fish -n "$UIO_ROOT/completions/uio.fish" || fail 'does not parse'
  run fish --no-config -c "source $UIO_ROOT/completions/uio.fish; complete -C 'uio-score --dtype b'; complete -C 'uio-compress --for'"
  expect_status 0
  expect_empty err
  cut -f 1 out | sort | tr '\n' ' ' >words
  [ "$(cat words)" = '--force --form bf16 ' ] || fail "offers $(cat words)"
}
