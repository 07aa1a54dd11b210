# shellcheck shell=bash disable=SC2154
# Every EXAMPLES block of the manual runs as it stands, the blocks of a page one after the other in one directory.

run_examples() {
  use_model
  make_text >book.txt
  local block
  # Blocks of the section as NUL-separated scripts, the escapes of roff undone.
  while IFS= read -r -d '' block; do
    printf '%s' "$block" >block
    run bash -euo pipefail block
    expect_status 0 "$block"
    expect_empty err "$block"
  done < <(awk '
    /^\.Sh / { inside = ($0 == ".Sh EXAMPLES"); next }
    inside && /^\.Bd / { printing = 1; next }
    inside && /^\.Ed/ { printf "%c", 0; printing = 0; blocks++; next }
    printing { gsub(/\\&/, ""); gsub(/\\e/, "\\"); gsub(/\\-/, "-"); print }' "$UIO_ROOT/man/$1")
  [ -e block ] || fail "$1 has no examples"
}

for page in "$UIO_ROOT"/man/*.[17]; do
  page=${page##*/}
  eval "test_${page//[.-]/_}() { run_examples $page; }"
done
