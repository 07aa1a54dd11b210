# shellcheck shell=bash disable=SC2154  # status comes from run
# The tasks of uio-score through the program. What they measure is in tests/unit/score.

# A model of the dictionary's tokens with random weights and a hidden size of $1 (16), whose third layer of four is to be a memory layer.
make_dictionary_model() {
  "$UIO_ROOT/examples/small-model" --plain --hidden "${1:-16}" base || fail 'small-model'
  "$UIO_ROOT/examples/dictionary-texts" -n 3 >texts.jsonl || fail 'dictionary-texts'
  uio-train-step -m base -l 512 --trainable base --init base --steps 1 --accumulate 2 --lr 1e-9 --state state --export model --jsonl texts.jsonl >log ||
    fail 'no weights'
}

# Dictionaries to train on whose keys are alike: of few symbols in every other group, and no key twice in a group.
test_dictionaries() {
  "$UIO_ROOT/examples/dictionary-texts" -n 8 --records 5 --alike 3 --group 4 >texts.jsonl || fail 'dictionary-texts'
  jq -es 'def keys_of: [.[].parts[].text | scan("<k>(....)<v>") | .[0]]; def symbols: map(explode[]) | unique | length;
    (.[:4] | keys_of) as $all | (.[4:] | keys_of) as $few | length == 8 and ($all, $few | length == 24 and (unique | length) == 24) and
    ($all | symbols) > 3 and ($few | symbols) == 3' texts.jsonl >out || fail "$(cat texts.jsonl)"
  # Windows that begin in a definition: as long as the others, and what is asked for is whole in them.
  "$UIO_ROOT/examples/dictionary-texts" -n 40 --records 5 --shift >texts.jsonl || fail 'dictionary-texts --shift'
  jq -es 'map([.parts[].text] | add | split("<q>")) | all(.[0] as $read | (add | gsub("<.>"; "#") | length) == 112 - 6 and
    (.[1:6] | all(("<k>" + .) as $asked | $read | contains($asked)))) and (map(.[0][:3] != "<k>") | any)' texts.jsonl >out || fail "$(cat texts.jsonl)"
  run "$UIO_ROOT/examples/dictionary-texts" -n 8 --records 5 --alike 2 --group 4
  expect_status 2
}

test_lookup() {
  make_dictionary_model
  lookup=(uio-score -m model --memory-layers 2 -l 256 --task lookup --lengths '266,1K' --samples 2)
  "${lookup[@]}" >one || fail 'lookup'
  jq -es 'length == 6 and (.[:4] | all(.tokens == 100 and .values == 25 and .nll > 3 and .token_accuracy < 0.2)) and (.[:4] | map(.id)) ==
    ["lookup-266-0", "lookup-266-1", "lookup-1024-0", "lookup-1024-1"] and (.[4:] | all(.summary and .documents == 2 and .tokens == 200))' one >out ||
    fail "$(cat one)"
  "${lookup[@]}" >two || fail 'lookup again'
  expect_same one two
  "${lookup[@]}" --seed 1 >other || fail 'another seed'
  ! cmp -s one other || fail 'the seed changes nothing'
  "${lookup[@]}" --search exact --nearest 100000 >searched || fail 'search'
  paste -d' ' <(jq .nll one) <(jq .nll searched) | awk '{ d = $1 - $2; if (d < 0) d = -d; if (d > 1e-4) exit 1 }' || fail 'as many nearest keys as there are'
  # Each context for itself: a length that one of them has no positions for fails there alone.
  run "${lookup[@]}" --context none,memory,window,full
  expect_status 1 'full'
  grep -q "'full' of 'lookup-1024-0'" err || fail "$(cat err)"
  jq -es 'map(select(.summary)) | length == 7' out >/dev/null || fail 'other summaries'
  uio-score -m model -a fresh -l 64 --memory-length 4 --task lookup --lengths 512 --samples 1 >out || fail 'memory tokens'
}

# Memory in a folder: what is computed is the same, nothing is left there, and a full disk is said.
test_memory_in_a_folder() {
  make_dictionary_model 64
  mkdir memory
  lookup=(uio-score -m model --memory-layers 2 -l 256 --task lookup --lengths 34K --samples 1 --search exact --nearest 8)
  "${lookup[@]}" >one || fail 'lookup'
  local shim=${UIO_BIN%/bin}/tests/failing_calls.so
  with=()
  [ ! -e "$shim" ] || with=(env LD_PRELOAD="$shim" UIO_FAULT_ROOT="$PWD/memory" UIO_FAULT_LOG="$PWD/calls")
  "${with[@]}" "${lookup[@]}" --memory-dir "$PWD/memory" >two || fail 'lookup in a folder'
  expect_same one two
  [ -z "$(ls -A memory)" ] || fail "left $(ls -A memory)"
  run "${lookup[@]}" --memory-dir missing
  expect_status 5 'no folder'
  run uio-score -m model --memory-layers 2 --task lookup --lengths 512 --memory-dir memory
  expect_status 2 'dense search'
  [ -e "$shim" ] || return 0
  if [ "$(grep -c '^write ' calls)" -lt 2 ] || [ "$(grep -c '^pread ' calls)" -lt 4 ]; then fail "$(cut -d' ' -f1 calls | sort | uniq -c)"; fi
  for fault in tmpfile:1:EIO write:2:ENOSPC pread:5:EIO; do
    run "${with[@]}" UIO_FAULT="$fault" "${lookup[@]}" --memory-dir "$PWD/memory"
    expect_status 5 "$fault"
    grep -q "^uio-score: cannot .* memory .*/memory': " err || fail "$(cat err)"
    [ -z "$(ls -A memory)" ] || fail "left $(ls -A memory)"
  done
  "${with[@]}" UIO_FAULT='tmpfile:1:EOPNOTSUPP write:1:short write:3:EINTR pread:5:short pread:7:EINTR' "${lookup[@]}" --memory-dir "$PWD/memory" >two || fail 'interrupted'
  expect_same one two
}

# The definitions that training reads, and those that are asked for, are made alike.
test_dictionaries_are_alike() {
  make_dictionary_model
  uio-segment -m model --memory-layers 2 -l 256 --jsonl texts.jsonl | uio-inspect --tokens | jq -c 'select(.kind == "segment") | [.token_count, .is_closed, .scored]' >segments
  printf '[256,true,0]\n[256,false,100]\n' >wanted
  head -n 2 segments >found
  expect_same wanted found
  [ "$(wc -l <segments)" -eq 6 ] || fail "$(cat segments)"
  uio-segment -m model -l 512 --jsonl texts.jsonl | uio-inspect --tokens | jq -c 'select(.tokens) | .tokens' >tokens
  [ "$(wc -l <tokens)" -eq 3 ] || fail 'other documents'
  # As text: jq 1.6 finds slices of one list equal.
  jq -es 'all(. as $t | ([range(0; 250; 10) | $t[. + 1:. + 10] | tostring]) as $definitions | ([range(256; 506; 10) | $t[. + 1:. + 10] | tostring]) as $queries |
    ([range(0; 250; 10) | $t[. + 1:. + 5] | tostring] | unique | length) == 25 and ($queries - $definitions) == [] and
    ([range(0; 250; 10)] | all($t[.] == 1 and $t[. + 5] == 2)) and ([range(256; 506; 10)] | all($t[.] == 3 and $t[. + 5] == 2)))' tokens >out ||
    fail "other documents: $(head -n 1 tokens)"
}

test_pass_keys_of_the_demo_model() {
  uio-score --task passkey --lengths 600 --samples 8 --context none,memory,full >scores || fail 'passkey'
  jq -es 'map(select(.summary)) | (map(.context) == ["none", "memory", "full"]) and all(.n == 8) and .[0].first_number == 0 and .[1].first_number > 0.3' scores >out ||
    fail "$(jq -c 'select(.summary)' scores)"
  jq -es 'map(select(.summary | not)) | all(.tokens > 580 and .tokens <= 608 or .context == "none") and all(.before <= .characters)' scores >out || fail "$(head -n 3 scores)"
  uio-score --task passkey --lengths 100 --unit characters --samples 2 --context memory >short || fail 'characters'
  jq -es 'map(select(.summary | not)) | all(.characters == 100 and .tokens > 60)' short >out || fail "$(cat short)"
}

test_focus_and_documents_in_memory() {
  use_model
  make_text >book.txt
  sed 's/dog/cat/; s/happy/sad/' book.txt >other.txt
  focus=(uio-score --memory-layers '0,2' -l 64 --task focus)
  "${focus[@]}" book.txt book.txt >same || fail 'focus'
  jq -es 'map(select(.summary)) | map([.documents_in_memory, .documents]) == [[1, 2], [2, 2]] and (.[1].share - 0.5 | fabs) < 1e-6 and (.[1].gain - 1 | fabs) < 1e-6' same >out ||
    fail "$(cat same)"
  "${focus[@]}" --documents-in-memory 2 book.txt other.txt >scores || fail 'two documents'
  uio-segment --memory-layers 0,2 -l 64 book.txt other.txt >both.seg || fail segment
  "${focus[@]}" --documents-in-memory 2 both.seg >again || fail 'a stream'
  expect_same scores again
  # Perplexity with other documents in memory: with its own alone it is as ever, and the first has none before it.
  local score=(uio-score --memory-layers '0,2' -l 64 --context 'none,memory')
  "${score[@]}" other.txt >alone || fail 'alone'
  "${score[@]}" --documents-in-memory 1,2 book.txt other.txt >several || fail 'several'
  jq -es '(.[0] | map(select(.context == "memory" and .id))) as $alone | .[1] as $all | ($all | map(select(.id)) | map([.id, .context, .documents_in_memory]))
    == [["other.txt", "none", null], ["other.txt", "memory", 1], ["other.txt", "memory", 2]] and $all[1].nll == $alone[0].nll and $all[2].nll != $all[1].nll' \
    <(jq -s . alone) <(jq -s . several) >out || fail "$(cat several)"
  # With memory tokens, too: the memories of the earlier document are those of its blob.
  uio-score --context memory --documents-in-memory 2 --overflow oldest book.txt other.txt >out || fail 'memory tokens'
}

refused_by_score() {
  refused "$@"
  expect_message uio-score
}

test_what_no_task_has_is_refused() {
  use_model
  make_text >book.txt
  refused_by_score 2 'bad value of --task' uio-score --task none book.txt
  refused_by_score 2 '--lengths with --task perplexity' uio-score --lengths 512 book.txt
  refused_by_score 2 '--last with --task lookup' uio-score --task lookup --last 5
  refused_by_score 2 '--unit with --task lookup' uio-score --task lookup --unit characters
  refused_by_score 2 '--verify with --task passkey' uio-score --task passkey --verify book.uio
  refused_by_score 2 '--context with --task focus' uio-score --task focus --context none book.txt
  refused_by_score 2 'makes its documents' uio-score --task passkey book.txt
  refused_by_score 2 'context not of this task' uio-score --task passkey --context window --samples 1
  local lengths
  for lengths in '' 0 12x 5,,6 5,5 K 9999999999999999999; do refused_by_score 2 'bad value of --lengths' uio-score --task passkey --lengths "$lengths"; done
  refused_by_score 2 'text too long' uio-score --task passkey --lengths 2G
  refused_by_score 4 "dictionary's vocabulary" uio-score --task lookup
  refused_by_score 4 'focus without memory layers' uio-score --task focus book.txt
  refused_by_score 4 'no document longer than a window' uio-score --task focus --memory-layers 1 -l 200 <(head -c 20 book.txt)
  refused_by_score 2 'fewer documents' uio-score --task focus --memory-layers 1 -l 64 --documents-in-memory 2 book.txt
  refused_by_score 2 'fewer documents' uio-score --documents-in-memory 3 --context memory --memory-layers 1 -l 64 book.txt
  make_dictionary_model
  refused_by_score 2 'no dictionary of that length' uio-score -m model --memory-layers 2 -l 256 --task lookup --lengths 512,265
}
