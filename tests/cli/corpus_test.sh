# shellcheck shell=bash disable=SC2154  # status comes from run
# The examples that keep a corpus and count what an edit costs.

# Runs the Makefile, and adds up what it says was found and made.
keep() {
  run make -s -f "$UIO_ROOT/examples/corpus.mk" FLAGS=-v "$@"
  expect_status 0 "$*"
  found=$(sed -nE 's/.*cache: ([0-9]+) memories found, ([0-9]+) made/\1/p' err | awk '{ s += $1 } END { print s + 0 }')
  made=$(sed -nE 's/.*cache: ([0-9]+) memories found, ([0-9]+) made/\2/p' err | awk '{ s += $1 } END { print s + 0 }')
}

test_a_corpus_is_kept_compressed() {
  command -v make >/dev/null || skip 'no make'
  use_model
  mkdir texts
  local i
  for i in 1 2 3; do make_text | sed "s/park/park of town $i/" >texts/$i.txt; done
  cat texts/*.txt texts/*.txt >texts/long.txt
  keep
  [ "$(echo memories/*)" = 'memories/1.uio memories/2.uio memories/3.uio memories/cache memories/long.uio' ] || fail "$(echo memories/*)"
  [ "$made" -gt 5 ] || fail "$made made"
  local all=$((made + found))
  keep
  [ $((made + found)) -eq 0 ] || fail 'something was done again'

  # One text changes, one goes, one comes.
  sed -i '1s/big dog/very big dog/' texts/long.txt
  rm texts/2.txt
  cp texts/1.txt texts/4.txt
  keep
  [ "$made" -gt 0 ] || fail 'the edit is not seen'
  [ "$made" -lt $((all / 3)) ] || fail "$made of $all made again"
  [ ! -e memories/2.uio ] || fail 'a blob without its text'
  for i in 1 3 4 long; do
    uio-segment --boundaries paragraph texts/$i.txt | uio-compress -o fresh.uio || fail 'compress'
    expect_same fresh.uio memories/$i.uio
  done
  keep verify
  [ "$(jq -s 'map(.ok) | all and length == 4' out)" = true ] || fail "verify: $(cat out)"

  # A text that cannot be compressed leaves no blob, and the others are kept.
  printf '\377' >texts/bad.txt
  run make -s -k -f "$UIO_ROOT/examples/corpus.mk"
  [ "$status" -ne 0 ] || fail 'a bad text went through'
  [ ! -e memories/bad.uio ] || fail 'a blob of a bad text'
}

test_edit_cost() {
  command -v python3 >/dev/null || skip 'no python3'
  "$UIO_ROOT/examples/edit-cost" --bin "$UIO_BIN" --draws 4 >costs 2>table || fail "edit-cost: $(cat table)"
  expect_output table
  # An edit near the start moves every end that is counted, and few that the content decides.
  jq -es 'length == 15 and
    (map(select(.edit == "a word put in near the start")) | INDEX(.boundaries)) as $cost |
    $cost.fixed.mean > 0.8 * $cost.fixed.segments and $cost.content.mean < 0.2 * $cost.content.segments and
    $cost.paragraph.mean < 0.2 * $cost.paragraph.segments' costs >/dev/null || fail "$(cat costs)"
}
