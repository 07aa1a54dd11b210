# shellcheck shell=bash disable=SC2154  # status comes from run
# The cache of memories: what comes out is the same with it, without it, and whatever happened to it; and an edit costs little.

# Many short segments, so that a run writes many entries.
options=(-a fresh -l 16 --memory-length 4)

prepare() {
  use_model
  make_text >book.txt
  uio-segment -l 16 --boundaries content -o book.seg book.txt || fail 'segment'
  uio-compress "${options[@]}" -o fresh.uio book.seg || fail 'compress'
  segments=$(uio-inspect fresh.uio | jq -s 'map(select(.kind == "memory")) | length')
  distinct=$(uio-inspect fresh.uio | jq -s 'map(select(.kind == "memory").token_hash) | unique | length')
}

# Runs uio-compress with the cache, -v and $@, expects the bytes of $expected, and sets $found and $made.
compress_with() {
  run uio-compress -v "${options[@]}" --cache-dir cache "$@"
  expect_status 0 "$*"
  cmp -s out "${expected:-fresh.uio}" || fail "$*: other bytes than without the cache"
  found=$(sed -nE 's/.*cache: ([0-9]+) memories found.*/\1/p' err) made=$(sed -nE 's/.* ([0-9]+) made$/\1/p' err)
}

expect_counts() { [ "$found/$made" = "$1/$2" ] || fail "$found found and $made made, expected $1 and $2"; }

# Entries, and nothing else.
expect_clean() {
  local strays
  strays=$(find cache -type f | grep -vE '^cache/[0-9a-f]{2}/[0-9a-f]{62}$')
  [ -z "$strays" ] || fail "litter: $strays"
}

test_same_bytes_with_and_without() {
  prepare
  compress_with book.seg
  expect_counts $((segments - distinct)) "$distinct"
  compress_with book.seg
  expect_counts "$segments" 0
  compress_with --no-cache --cache-dir cache book.seg
  expect_counts "$segments" 0
  expect_clean
  run uio-compress -v "${options[@]}" --cache-dir cache --no-cache book.seg
  expect_same fresh.uio out
  ! grep -q 'cache:' err || fail 'a cache that was switched off'
  UIO_MEMORY_CACHE=cache run uio-compress -v "${options[@]}" book.seg
  grep -q "cache: $segments memories found, 0 made" err || fail 'the environment'

  # How the blob is stored does not matter; what the memories are does.
  uio-compress "${options[@]}" --level 9 -o level.uio book.seg
  expected=level.uio compress_with --level 9 book.seg
  expect_counts "$segments" 0
  uio-compress "${options[@]}" --form hidden -o hidden.uio book.seg
  expected=hidden.uio compress_with --form hidden book.seg
  expect_counts $((segments - distinct)) "$distinct"
  uio-compress "${options[@]}" --dtype f64 -o f64.uio book.seg
  expected=f64.uio compress_with --dtype f64 book.seg
  expect_counts $((segments - distinct)) "$distinct"
  uio-compress -a fresh -l 16 --memory-length 2 -o other.uio book.seg
  expected=other.uio compress_with --memory-length 2 book.seg
  expect_counts $((segments - distinct)) "$distinct"

  # Another document with the same text has its own name in its memories.
  cp book.txt copy.txt
  uio-segment -l 16 --boundaries content -o copy.seg copy.txt
  uio-compress "${options[@]}" -o copy.uio copy.seg
  expected=copy.uio compress_with copy.seg
  expect_counts "$segments" 0
  uio-inspect out | jq -es 'map(select(.kind == "memory").id) | unique == ["copy.txt"]' >/dev/null || fail 'another name'
}

test_batches_have_their_own() {
  prepare
  uio-segment -l 16 -o fixed.seg book.txt
  local batch
  for batch in 1 3; do
    uio-compress "${options[@]}" --batch $batch -o fixed.uio fixed.seg
    expected=fixed.uio compress_with --batch $batch fixed.seg
    expected=fixed.uio compress_with --batch $batch fixed.seg
    [ "$made" -eq 0 ] || fail "$made made again"
    # Some of a batch are gone.
    find cache -type f | sort | awk 'NR % 4 == 0' | xargs rm
    expected=fixed.uio compress_with --batch $batch fixed.seg
    [ "$made" -gt 0 ] || fail 'nothing was gone'
  done
}

test_closed_segments_equal_segments_alone() {
  prepare
  uio-inspect fresh.uio | jq -es 'map(select(.kind == "memory").token_count) | unique | length > 3' >/dev/null || fail 'one length only'
  local i
  for ((i = 0; i < segments; i += 5)); do
    uio-inspect --cut --segments $i -o one.seg book.seg
    uio-compress "${options[@]}" -o one.uio one.seg || fail "segment $i"
    uio-inspect --export one.tensors one.uio >/dev/null
    uio-inspect --cut --segments $i -o part.uio fresh.uio
    uio-inspect --export part.tensors part.uio >/dev/null
    expect_same one.tensors part.tensors
  done
  # The decoder reads them, and closes segments where their text closes them; the others refuse by name.
  uio-decode "${options[@]}" --overflow oldest -n 6 -p ' Then' fresh.uio >from.memories || fail 'decode memories'
  uio-decode "${options[@]}" --overflow oldest -n 6 -p ' Then' book.seg >from.segments || fail 'decode segments'
  expect_same from.memories from.segments
  run uio-score "${options[@]}" --verify fresh.uio book.seg
  expect_status 0 'verify'
  run uio-score "${options[@]}" book.seg
  expect_status 4
  grep -q 'closed by its content' err || fail 'message'
  run uio-train-step "${options[@]}" book.seg
  expect_status 4
  grep -q 'closed by its content' err || fail 'message'
}

test_an_edit_costs_little() {
  prepare
  mkdir edited
  local boundaries
  for boundaries in content paragraph; do
    uio-segment -l 16 --boundaries $boundaries -o book.seg book.txt
    uio-compress "${options[@]}" -o fresh.uio book.seg
    compress_with book.seg
    sed '2s/happy/very very happy/' book.txt >edited/book.txt
    ! cmp -s book.txt edited/book.txt || fail 'no edit'
    (cd edited && uio-segment -l 16 --boundaries $boundaries -o ../edited.seg book.txt)
    uio-compress "${options[@]}" -o edited.uio edited.seg
    expected=edited.uio compress_with edited.seg
    [ "$made" -gt 0 ] || fail "$boundaries: the edit is not seen"
    [ $((3 * made)) -lt "$found" ] || fail "$boundaries: $made of $((made + found)) were made again"
  done
}

test_damage_is_made_good() {
  prepare
  compress_with book.seg
  local file n=0
  while read -r file; do
    n=$((n + 1))
    case $((n % 4)) in
      0) : >"$file" ;;
      1) printf x >>"$file" ;;
      2) printf '\377' | dd of="$file" bs=1 seek=$((RANDOM % $(stat -c %s "$file"))) conv=notrunc status=none; printf '\0\1\2\3' | dd of="$file" bs=1 seek=100 conv=notrunc status=none ;;
      3) truncate -s -1 "$file" ;;
    esac
  done < <(find cache -type f)
  compress_with book.seg
  expect_counts $((segments - distinct)) "$distinct"
  [ "$(grep -c 'is damaged and made again' err)" -eq "$distinct" ] || fail 'not told'
  compress_with book.seg
  expect_counts "$segments" 0
  run uio-compress "${options[@]}" --cache-dir cache book.seg
  expect_empty err
}

test_cache_size() {
  prepare
  compress_with --cache-size 20K book.seg
  [ "$(find cache -type f -printf '%s\n' | awk '{ s += $1 } END { print s }')" -le 20480 ] || fail "$(du -bs cache)"
  [ "$(find cache -type f | wc -l)" -gt 1 ] || fail 'nothing is kept'
  expect_clean
  compress_with --cache-size 1 book.seg
  grep -q 'nothing is cached' err || fail 'no remark'
  local size
  for size in 0 K 1k -1 1.5G 99999999999T ''; do
    run uio-compress "${options[@]}" --cache-dir cache --cache-size "$size" book.seg
    expect_status 2 "$size"
    expect_message uio-compress
  done
}

# A limit on the size of files stands in for a full disk; the output goes through a pipe.
test_full_disk_and_read_only() {
  prepare
  (ulimit -f 1; exec uio-compress "${options[@]}" --cache-dir cache book.seg 2>err) | cat >out
  [ "${PIPESTATUS[0]}" -eq 0 ] || fail 'a full disk'
  expect_same fresh.uio out
  [ "$(grep -c 'cannot write to the cache' err)" -eq 1 ] || fail 'not one remark'
  expect_clean
  touch file
  run uio-compress "${options[@]}" --cache-dir file/cache book.seg
  expect_status 5
  expect_message uio-compress
  # Root may write everywhere.
  [ "$(id -u)" -ne 0 ] || return 0
  compress_with book.seg
  chmod -R a-w cache
  sed 's/Tom/Tim/' book.txt | uio-segment -l 16 -o other.seg
  uio-compress "${options[@]}" -o other.uio other.seg
  expected=other.uio compress_with other.seg
  grep -q 'cannot write to the cache' err || fail 'no remark'
}

# Four processes, again and again, in a cache too small for all. UIO_SHARE_SECONDS: for how long, else five rounds each.
test_processes_share_a_cache() {
  prepare
  local process limit=$((SECONDS + ${UIO_SHARE_SECONDS:-0}))
  local -a processes=()
  for process in 1 2 3 4; do
    (round=0
     while [ $((round += 1)) -le 5 ] || [ "$SECONDS" -lt "$limit" ]; do
       uio-compress "${options[@]}" --cache-dir cache --cache-size $((process * 15))K -o "$process.uio" book.seg 2>"$process.err" || exit 1
       cmp fresh.uio "$process.uio" && [ ! -s "$process.err" ] || exit 1
       echo "$round" >"$process.rounds"
     done) &
    processes+=($!)
  done
  for process in "${processes[@]}"; do wait "$process" || fail "$(cat ./*.err)"; done
  expect_clean
  echo "note: $(cat ./*.rounds | awk '{ n += $1 } END { print n }') runs of four processes"
}

# SIGKILL at random moments: never a wrong byte, never a blocked cache, no litter after the next run. UIO_KILLS: how many runs must have
# been killed. The longest delay follows what the machine can do, so that three of four are, at any moment of their life.
test_killed_runs() {
  prepare
  local longest=2000 round=0 delay status_of_one killed=0 finished=0 unfinished=0
  local -a processes
  while [ "$killed" -lt "${UIO_KILLS:-120}" ]; do
    processes=()
    for _ in 1 2 3 4; do
      uio-compress "${options[@]}" --cache-dir cache --cache-size 30K -o "$round.uio" book.seg 2>>errors &
      processes+=($!)
    done
    delay=$((RANDOM % longest))
    sleep "$((delay / 1000)).$(printf %03d $((delay % 1000)))"
    kill -9 "${processes[@]}" 2>/dev/null
    for process in "${processes[@]}"; do
      wait "$process" 2>/dev/null
      status_of_one=$?
      case $status_of_one in
        137) killed=$((killed + 1)) longest=$((longest + longest / 50 + 1)) ;;
        0) finished=$((finished + 1)) longest=$((longest - longest / 17)) ;;
        *) fail "status $status_of_one: $(cat errors)" ;;
      esac
    done
    [ ! -d cache/unfinished ] || unfinished=$((unfinished + $(find cache/unfinished -type f | wc -l)))
    [ ! -e "$round.uio" ] || cmp -s fresh.uio "$round.uio" || fail 'a killed run left other bytes'
    rm -f "$round.uio"
    round=$((round + 1))
    if ((round % 10 == 0)); then
      compress_with book.seg
      expect_clean
      ! grep -q damaged err || fail 'a killed run left a damaged entry'
      [ $((round % 20)) -ne 0 ] || rm -r cache
    fi
  done
  [ ! -s errors ] || fail "messages: $(cat errors)"
  compress_with book.seg
  compress_with book.seg
  expect_counts "$segments" 0
  expect_clean
  echo "note: $killed runs killed, $finished finished before; unfinished entries found after rounds: $unfinished"
}
