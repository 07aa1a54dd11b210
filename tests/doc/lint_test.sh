# shellcheck shell=bash disable=SC2154  # status comes from run
# Pages are sound mdoc.

test_mandoc() {
  command -v mandoc >/dev/null || skip 'no mandoc'
  local page
  for page in "$UIO_ROOT"/man/*.[157]; do
    run mandoc -T lint -W warning "$page"
    [ "$status" -eq 0 ] || fail "$page: $(cat out)"
  done
}
