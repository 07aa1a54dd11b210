# shellcheck shell=bash disable=SC2154,SC2034  # sweeps use what is set for them
# Segments and memories whose calls fail, in whole programs.

# shellcheck source=tests/cli/faults.sh
. "$UIO_ROOT/tests/cli/faults.sh"

test_segment() {
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
