# shellcheck shell=bash
# Helpers of the golden cases: numbers of uio-score and of exported memories against expected ones, with jq.

# The largest difference between the log-probabilities of a context in $1 (output of --per-token) and the list that jq filter $4
# takes from file $3 (null: not scored). Every position must be there, and no other. More than $5 fails.
expect_logprobs() {  # scores, context, file, filter, tolerance
  local largest
  largest=$(jq -rn --slurpfile scores "$1" --arg context "$2" --slurpfile file "$3" '
    [$scores[] | select(.context == $context and .position != null)] as $found
    | [$file[0] | '"$4"' | to_entries[] | select(.value != null)] as $wanted
    | if ($wanted | length) == 0 then error("nothing is wanted") else . end
    | if [$found[].position] != [$wanted[].key] then error("positions differ") else . end
    | [range($wanted | length) | ($found[.].logprob - $wanted[.].value) | fabs] | max') || fail "$2: not comparable"
  expect_within "$largest" "$5" "$2"
}

# A largest difference $1, as jq printed it, against a tolerance.
expect_within() {  # difference, tolerance, what
  echo "$3: largest difference $1"
  jq -en --arg found "$1" --arg bound "$2" '($found | tonumber) <= ($bound | tonumber)' >/dev/null ||
    fail "$3: largest difference $1, expected at most $2"
}

# Largest difference of all log-probabilities of two outputs of --per-token.
difference_of_scores() {
  jq -rn --slurpfile a "$1" --slurpfile b "$2" '
    def scored: [.[] | select(.position != null)];
    ($a | scored) as $a | ($b | scored) as $b
    | if ($a | length) == 0 or ($a | map([.id, .context, .position])) != ($b | map([.id, .context, .position]))
      then error("other positions") else . end
    | [range($a | length) | ($a[.].logprob - $b[.].logprob) | fabs] | max'
}

# Mean of the differences' magnitudes, for roundings.
mean_difference_of_scores() {
  jq -rn --slurpfile a "$1" --slurpfile b "$2" '
    def scored: [.[] | select(.position != null)];
    ($a | scored) as $a | ($b | scored) as $b
    | if ($a | length) == 0 or ($a | length) != ($b | length) then error("other positions") else . end
    | [range($a | length) | ($a[.].logprob - $b[.].logprob) | fabs] | add / length'
}

# The tensors of a safetensors file of one dtype (F32 or F64) as one JSON object: name to {shape, values}.
tensors_of() {
  local header dtype
  header=$(od -An -tu8 -N8 "$1" | tr -d ' ')
  tail -c +9 "$1" | head -c "$header" >header.json
  dtype=$(jq -r '[del(.__metadata__)[].dtype] | unique | join(",")' header.json)
  case $dtype in F32) dtype=4 ;; F64) dtype=8 ;; *) fail "tensors of $dtype" ;; esac
  od -An -v "-tf$dtype" "-w$((dtype * 8))" -j $((8 + header)) "$1" | jq -s --argjson size "$dtype" --slurpfile header header.json '
    . as $data | $header[0] | del(.__metadata__)
    | map_values({shape, values: $data[(.data_offsets[0] / $size):(.data_offsets[1] / $size)]})'
}

# Largest difference between the exported memories of two blobs.
difference_of_blobs() {
  uio-inspect --export first.tensors "$1" || fail "cannot export $1"
  uio-inspect --export second.tensors "$2" || fail "cannot export $2"
  tensors_of first.tensors >first.json
  tensors_of second.tensors >second.json
  jq -rn --slurpfile a first.json --slurpfile b second.json '
    if ($a[0] | length) == 0 or ($a[0] | map_values(.shape)) != ($b[0] | map_values(.shape)) then error("other tensors") else . end
    | [$a[0] | keys[] as $name | range($a[0][$name].values | length) | ($a[0][$name].values[.] - $b[0][$name].values[.]) | fabs] | max'
}

# The worst relative error of a tensor (norm of the difference over the norm) between two outputs of tensors_of; the second is the truth.
relative_difference() {
  jq -rn --slurpfile a "$1" --slurpfile b "$2" '
    def norm: map(. * .) | add | sqrt;
    if ($b[0] | length) == 0 or ($a[0] | map_values(.shape)) != ($b[0] | map_values(.shape)) then error("other tensors") else . end
    | [$b[0] | keys[] as $name | $a[0][$name].values as $found | $b[0][$name].values as $wanted
       | ([range($wanted | length) | $found[.] - $wanted[.]] | norm) as $off | ($wanted | norm) as $size
       | if $size == 0 then $off else $off / $size end] | max'
}

# Directory $2: a copy of directory $1 whose files may be changed.
copy_model() {
  mkdir -p "$2"
  cp -R "$1/." "$2"
  chmod -R u+w "$2"
}

# The golden model without its adapters, with windows of 64 tokens, of which the last 24 of a document stay raw, and memory in its first and last layer or those given.
use_memory_layers() {
  copy_model "$UIO_ROOT/tests/golden/model" model
  rm -rf model/adapter*
  layers=$(jq '.num_hidden_layers - 1' model/config.json)
  jq --argjson layers "${1:-[0, $layers]}" '. + {mem_layers: $layers, mem_dtype: "float32", last_context_length: 24, max_position_embeddings: 64}' \
    model/config.json >changed.json || fail 'no configuration'
  mv changed.json model/config.json
  export UIO_MODEL=$PWD/model
}

# Changes the byte at offset $2 of file $1 (from the end if negative) to another.
change_byte() {
  local at=$2 old
  [ "$at" -ge 0 ] || at=$(($(stat -c %s "$1") + at))
  old=$(od -An -tu1 -j "$at" -N1 "$1")
  printf '%b' "\\0$(printf %o $((old ^ 1)))" | dd of="$1" bs=1 seek="$at" conv=notrunc status=none
}
