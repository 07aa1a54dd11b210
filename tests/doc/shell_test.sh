# shellcheck shell=bash disable=SC2154  # status comes from run
# The project's own scripts are sound.

test_shellcheck() {
  command -v shellcheck >/dev/null || skip 'no shellcheck'
  cd "$UIO_ROOT" || fail 'no root'
  local -a scripts
  mapfile -t scripts < <(grep -rlE '^#!.*(ba)?sh$|^# shellcheck shell=' tests examples .ci completions --exclude-dir=data 2>/dev/null)
  shellcheck -x "${scripts[@]}" || fail 'shellcheck'
}
