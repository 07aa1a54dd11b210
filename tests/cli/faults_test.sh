# shellcheck shell=bash disable=SC2154,SC2034  # sweeps use what is set for them
# Segments and memories whose calls fail, in whole programs.

# shellcheck source=tests/cli/faults.sh
. "$UIO_ROOT/tests/cli/faults.sh"

test_segment() {
  tried=${UIO_FAULTS:-all}
  prepare
  fresh
  echo old >../old/result
  sweep uio-segment -o result book.txt
  fresh
  sweep uio-segment -o result book.txt
  input=book.txt outputs=()
  sweep uio-segment
  report
}

test_inspect() {
  tried=${UIO_FAULTS:-all}
  prepare
  fresh
  outputs=()
  sweep uio-inspect book.uio
  sweep uio-inspect model/adapter
  says=verdict
  sweep uio-inspect --verify book.seg
  sweep uio-inspect --verify model/model.safetensors
  fresh
  echo old >../old/result
  sweep uio-inspect --export result book.uio
  fresh
  base='tmpfile:1+:EOPNOTSUPP'  # a temporary file that has a name
  echo old >../old/result
  sweep uio-inspect --cut --segments 0 -o result book.seg
  fresh
  input=book.uio outputs=()
  sweep uio-inspect --index
  report
}

test_compress() {
  prepare
  fresh
  echo old >../old/result
  sweep uio-compress -o result book.seg
  report
}

test_compress_with_a_cache() {
  prepare
  fresh
  aids=(memo cache) outputs=()
  input=book.seg
  sweep uio-compress --cache-dir cache
  # Some of the entries are there, and not all that are made have room.
  uio-compress --cache-dir cache -o /dev/null book.seg || fail 'no cache'
  mkdir ../ever
  cp -a cache ../ever
  find cache -type f | sort | awk 'NR % 3 == 0' | xargs rm
  mv memo cache ../old
  fresh
  aids=(memo cache)
  sweep uio-compress --cache-dir cache --cache-size 20K -o result book.seg
  report
}

# SIGKILL just before a call: what is there is the old or the whole, and the next run finds nothing in its way and leaves no litter in the
# cache. (A file that is being replaced has a temporary name from its link to its rename; killed just then, it keeps that.)
test_killed_at_a_call() {
  prepare
  fresh
  aids=(memo cache)
  echo old >../old/result
  command=(uio-compress --cache-dir cache -o result book.seg)
  local fault='nothing fails' call count k left=0
  reset
  run_failing ''
  expect_good 'not even the run without faults'
  cp -a result cache ../new
  cp ../calls ../calls.good
  for call in mkdir flock write rename fsync linkat close; do
    count=$(grep -c "^$call " ../calls.good)
    for k in $(chosen "$count" "$call"); do
      reset
      fault=$call:$k:kill
      run_failing "$fault"
      [ "$status" -eq 137 ] || fail_of 'not killed'
      cmp -s result ../old/result || cmp -s result ../new/result || fail_of 'half an output'
      [ ! -d cache/unfinished ] || left=$((left + $(find cache/unfinished -type f | wc -l)))
      run_failing ''
      expect_good 'the next run'
      expect_same result ../new/result
      diff -r cache ../new/cache || fail_of 'the cache has other entries, or litter'
      find . -name '.uio-*.tmp' >../temporary
      [ ! -s ../temporary ] || [ "$call" = rename ] || [ "$call" = close ] || fail_of "$(cat ../temporary)"
      rm -f .uio-*.tmp
      runs=$((runs + 1))
    done
  done
  [ "$left" -gt 0 ] || fail 'no entry was left unfinished'
  echo "note: $runs runs killed, $left left an unfinished entry"
}
