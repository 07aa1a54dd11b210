# shellcheck shell=bash disable=SC2034,SC2154  # status comes from run
# Silence, progress and remarks.

test_silent_on_success() {
  use_model
  make_text >book.txt
  run uio-segment -o book.seg book.txt
  expect_empty out
  expect_empty err
  run uio-compress -o book.uio book.seg
  expect_empty out
  expect_empty err
  run uio-inspect --verify book.uio
  expect_empty err
}

test_progress() {
  use_model
  make_text >book.txt
  run uio-segment --progress always -o book.seg book.txt
  expect_status 0
  grep -q "uio-segment: [0-9,]* of [0-9,]* bytes" err || fail 'no progress'
  [ "$(tail -c 4 err)" = $'\r\033[K' ] || fail 'progress is not erased'
  [ "$(wc -l <err)" -eq 0 ] || fail 'progress takes more than a line'
  run uio-segment --progress auto -o book.seg book.txt
  expect_empty err 'not a terminal'
  run_on_terminal 'uio-segment --progress never -o book.seg book.txt'
  expect_empty out
  run_on_terminal 'uio-segment --progress always -o book.seg book.txt'
  grep -q 'of [0-9,]* bytes' out || fail 'no progress on a terminal'
}

test_interrupted_progress_is_erased() {
  use_model
  mkfifo feed
  exec 7<>feed
  make_text >&7
  uio-segment --progress always -o result feed 2>err 7>&- &
  local process=$! limit=$((SECONDS + 60))
  until [ -s err ]; do [ "$SECONDS" -lt "$limit" ] || fail 'no progress'; done
  kill -TERM "$process"
  wait "$process"
  status=$?
  exec 7>&-
  expect_status 143
  [ "$(tail -c 4 err)" = $'\r\033[K' ] || fail 'progress is not erased'
}

test_verbose_version_names_libraries() {
  run uio-compress --version
  cp out short
  run uio-compress -vV
  expect_status 0
  grep -q '^LibTorch ' out || fail 'no LibTorch'
  head -n "$(wc -l <short)" out | cmp - short || fail 'the plain version does not come first'
}

test_bug_of_ours_is_told_shortly() {
  # A core library that is none.
  cp -R "$UIO_BIN" bin
  mkdir lib
  cp "$UIO_BIN"/../lib/libuio.so.0 lib/
  echo none >lib/libuio_core.so.0
  run env "LD_LIBRARY_PATH=$PWD/lib" UIO_MODEL=. bin/uio-score - </dev/null
  expect_status 70
  expect_message uio-score
}
