# shellcheck shell=bash disable=SC2154  # status comes from run
# Models and adapters that are missing, cut, damaged or of another kind: each has its status and its message, and nothing is computed.
# The damaged directories are made from tests/golden/model.

# shellcheck source=tests/cli/golden_numbers.sh
. "$UIO_ROOT/tests/cli/golden_numbers.sh"

golden=$UIO_ROOT/tests/golden/model

fresh_model() {
  rm -rf bad
  copy_model "$golden" bad
  rm -f bad/text.txt bad/expected.json bad/generate.py
  [ -e text ] || head -c 100 "$golden/text.txt" >text
}

# The model `bad` is refused with status $1 and a message that holds $2 (a regular expression) behind the program's name.
expect_refused() {
  run uio-score -m bad --context none text
  expect_status "$1" "$2"
  expect_message uio-score
  head -n 1 err | grep -qE "^uio-score: $2" || fail "the message is not '$2'"
}
# The same for its adapter, which only memories need.
expect_adapter_refused() {
  run uio-score -m bad --context memory text
  expect_status "$1" "$2"
  expect_message uio-score
  head -n 1 err | grep -qE "^uio-score: $2" || fail "the message is not '$2'"
}

little_endian_64() {
  local shift
  for shift in 0 8 16 24 32 40 48 56; do printf '%b' "\\0$(printf %o $((($1 >> shift) & 255)))"; done
}
# Rewrites the header of safetensors file $1 by jq filter $2; the data stay as they are, at a multiple of 8 bytes.
edit_header() {
  local length header
  length=$(od -An -tu8 -N8 "$1" | tr -d ' ')
  header=$(tail -c +9 "$1" | head -c "$length" | jq -c "$2") || fail "edit_header: $2"
  while [ $((${#header} % 8)) -ne 0 ]; do header+=' '; done
  { little_endian_64 ${#header}; printf %s "$header"; tail -c +$((9 + length)) "$1"; } >edited
  mv edited "$1"
}
edit_json() {
  jq "$2" "$1" >edited || fail "edit_json: $2"
  mv edited "$1"
}

test_sound_model_passes() {
  fresh_model
  run uio-score -m bad --context none,memory text
  expect_status 0 'the copy is as good as the original'
}

test_missing_parts() {
  fresh_model
  rm -r bad
  expect_refused 5 "cannot read model: 'bad': no such directory"
  touch bad
  expect_refused 5 "cannot read model: 'bad': it is not a directory"
  rm bad
  mkdir bad
  expect_refused 5 "cannot read[^:]*: 'bad/tokenizer.model'"
  fresh_model
  rm bad/tokenizer.model
  expect_refused 5 "cannot read[^:]*: 'bad/tokenizer.model'"
  fresh_model
  rm bad/config.json
  expect_refused 5 "cannot read[^:]*: 'bad/config.json'"
  fresh_model
  rm bad/model.safetensors
  expect_refused 5 "cannot read model: 'bad': no model.safetensors and no model.safetensors.index.json"
  # Half-written: an index whose shards have not come yet, a shard that is another's.
  echo '{"weight_map": {"model.norm.weight": "model-00001-of-00002.safetensors"}}' >bad/model.safetensors.index.json
  expect_refused 5 "cannot read[^:]*: 'bad/model-00001-of-00002.safetensors'"
  cp "$golden/adapter/adapter_model.safetensors" bad/model-00001-of-00002.safetensors
  expect_refused 3 "bad checkpoint: 'bad/model-00001-of-00002.safetensors': tensor 'model.norm.weight' of the index is not in it"
  fresh_model
  mv bad/model.safetensors bad/pytorch_model.bin
  expect_refused 4 "unsupported model: 'bad': its weights are pickled"
  mv bad/pytorch_model.bin bad/rest
  echo '{}' >bad/pytorch_model.bin.index.json
  expect_refused 4 "unsupported model: 'bad': its weights are pickled"
  fresh_model
  rm -r bad/adapter
  expect_adapter_refused 2 "no adapter: 'bad'"
  grep -q '^hint: --adapter fresh' err || fail 'no hint'
  mkdir bad/adapter
  expect_adapter_refused 5 "cannot read[^:]*: 'bad/adapter/adapter_config.json'"
  cp "$golden/adapter/adapter_config.json" bad/adapter
  expect_adapter_refused 5 "cannot read[^:]*: 'bad/adapter/adapter_model.safetensors'"
  run uio-score -m "$golden" -a missing --context memory text
  expect_status 5 'missing adapter'
  expect_message uio-score
  run uio-compress -m "$golden" -a text text
  expect_status 5 'a file for an adapter'
  expect_message uio-compress
}

test_empty_files() {
  local file
  for file in config.json model.safetensors tokenizer.model; do
    fresh_model
    : >bad/$file
    expect_refused 3 ".*'bad/$file'"
  done
  for file in adapter_config.json adapter_model.safetensors; do
    fresh_model
    : >bad/adapter/$file
    expect_adapter_refused 3 ".*'bad/adapter/$file'"
  done
  fresh_model
  rm bad/model.safetensors
  : >bad/model.safetensors.index.json
  expect_refused 3 ".*'bad/model.safetensors.index.json'"
}

test_directories_for_files() {
  local file
  for file in config.json model.safetensors tokenizer.model; do
    fresh_model
    rm bad/$file
    mkdir bad/$file
    expect_refused 5 ".*'bad/$file'.*directory"
  done
  for file in adapter_config.json adapter_model.safetensors; do
    fresh_model
    rm bad/adapter/$file
    mkdir bad/adapter/$file
    expect_adapter_refused 5 ".*'bad/adapter/$file'.*directory"
  done
}

test_cut_and_grown_weights() {
  fresh_model
  local size header at
  size=$(stat -c %s bad/model.safetensors)
  header=$(od -An -tu8 -N8 bad/model.safetensors | tr -d ' ')
  for at in 1 7 8 9 100 $((7 + header)) $((8 + header)) $((9 + header)) $((size / 2)) $((size - 1)); do
    head -c "$at" "$golden/model.safetensors" >bad/model.safetensors
    expect_refused 3 "cannot read: 'bad/model.safetensors': "
  done
  cp "$golden/model.safetensors" bad/model.safetensors
  echo >>bad/model.safetensors
  expect_refused 3 "cannot read: 'bad/model.safetensors': .*1 bytes after its last tensor"
  # The header is longer than the file, longer than any header may be, not JSON.
  { little_endian_64 $((size * 2)); tail -c +9 "$golden/model.safetensors"; } >bad/model.safetensors
  expect_refused 3 "cannot read: 'bad/model.safetensors': header ends early"
  { little_endian_64 -1; tail -c +9 "$golden/model.safetensors"; } >bad/model.safetensors
  expect_refused 3 "cannot read: 'bad/model.safetensors': header"
  head -c "$size" /dev/zero >bad/model.safetensors
  expect_refused 3 "cannot read: 'bad/model.safetensors': header"
  fresh_model
  head -c 300 "$golden/adapter/adapter_model.safetensors" >bad/adapter/adapter_model.safetensors
  expect_adapter_refused 3 "cannot read: 'bad/adapter/adapter_model.safetensors': "
}

test_offsets_of_tensors() {
  local name=model.layers.0.input_layernorm.weight filter message
  while IFS='~' read -r filter message; do
    fresh_model
    edit_header bad/model.safetensors "$filter"
    expect_refused 3 "cannot read: 'bad/model.safetensors': .*$message"
  done <<END
.["$name"].data_offsets |= map(. - 128)~overlaps another
.["$name"].data_offsets |= map(. + 1000000000)~outside the file
.["$name"].data_offsets = [128, 0]~outside the file
.["$name"].data_offsets[1] += 4~needs 128
.["$name"].data_offsets = [0]~not two natural numbers
.["$name"].data_offsets = [-1, 127]~not two natural numbers
.["$name"].data_offsets = [0.5, 128.5]~not two natural numbers
del(.["$name"])~(leaves a hole|after its last tensor)
.["$name"].shape = [33]~needs 132
.["$name"].shape = [-32]~impossible size
.["$name"].shape = [4611686018427387904, 4]~overflows
.["$name"].shape = "32"~not a list
.["$name"].dtype = "F31"~unknown dtype
.["$name"].dtype = 32~not a string
.["$name"].extra = 1~unknown key
.["$name"] = []~not described by an object
del(.["$name"].shape)~has no shape
.__metadata__ = {"format": 1}~not a string
END
}

test_tensors_of_other_shapes_and_dtypes() {
  local name=model.layers.1.self_attn.q_proj.weight status filter message
  while IFS='~' read -r status filter message; do
    fresh_model
    edit_header bad/model.safetensors "$filter"
    expect_refused "$status" "$message"
  done <<END
4~.["$name"].shape = [32, 48]~bad checkpoint: 'bad': tensor '$name' is .32, 48., the configuration asks for .48, 32.
4~.["$name"].shape = [1536]~bad checkpoint: 'bad': tensor '$name' is .1536., the configuration asks for .48, 32.
4~.["$name"].dtype = "I32"~unsupported tensor: '$name': dtype I32
4~.["model.embed_tokens.weight"].dtype = "U32"~unsupported tensor: 'model.embed_tokens.weight': dtype U32
3~with_entries(if .key == "$name" then .key = "model.layers.1.self_attn.w_proj.weight" else . end)~bad checkpoint: 'bad': tensor '$name' is missing
4~with_entries(if .key == "model.layers.2.mlp.up_proj.weight" then .key = "model.layers.3.mlp.up_proj.weight" else . end) | .["model.layers.2.mlp.up_proj.weight"] = {dtype: "F32", shape: [0], data_offsets: [0, 0]}~bad checkpoint: 'bad': tensor 'model.layers.2.mlp.up_proj.weight' is .0.
4~.["model.layers.0.self_attn.q_proj.bias"] = {dtype: "F32", shape: [0], data_offsets: [0, 0]}~unsupported model: 'bad': tensor 'model.layers.0.self_attn.q_proj.bias' is not understood
END
  # What tells the configuration tells of other weights.
  local key value
  while read -r key value message; do
    fresh_model
    edit_json bad/config.json ".$key = $value"
    expect_refused 4 "bad checkpoint: 'bad': tensor .*$message"
  done <<'END'
vocab_size 321 the configuration asks for .321, 32.
hidden_size 36 the configuration asks for
intermediate_size 25 the configuration asks for .25, 32.
num_key_value_heads 4 the configuration asks for .48, 32.
head_dim 8 the configuration asks for .32, 32.
END
  fresh_model
  edit_json bad/config.json '.num_hidden_layers = 4'
  expect_refused 3 "bad checkpoint: 'bad': tensor 'model.layers.3..* is missing"
  fresh_model
  edit_json bad/config.json '.num_hidden_layers = 2'
  expect_refused 4 "unsupported model: 'bad': tensor 'model.layers.2..* is not understood"
  fresh_model
  edit_json bad/config.json '.tie_word_embeddings = false'
  expect_refused 3 "bad checkpoint: 'bad': tensor 'lm_head.weight' is missing"
  fresh_model
  edit_json bad/config.json '.attention_bias = true'
  expect_refused 3 "bad checkpoint: 'bad': tensor '.*.bias' is missing"
}

# The key is named, whatever is wrong with it.
test_configuration() {
  local status filter message
  while IFS='~' read -r status filter message; do
    fresh_model
    edit_json bad/config.json "$filter"
    expect_refused "$status" "$message"
  done <<'END'
4~.sparse_attention = true~unsupported model: 'bad/config.json': key 'sparse_attention' is not understood
4~.rope_scaling = {"rope_type": "linear", "factor": 2, "extra": 1}~unsupported model: .*key 'extra' is not understood
4~.rope_scaling = {"rope_type": "longrope", "factor": 2}~unsupported model: .*longrope
3~.rope_scaling = {"rope_type": "linear"}~bad configuration: .*'factor'
3~.rope_scaling = "linear"~bad configuration: .*'rope_scaling'
4~.model_type = "gpt2"~unsupported model: .*'gpt2'
4~del(.model_type)~unsupported model: .*model_type
4~.hidden_act = "gelu"~unsupported model: .*'gelu'
4~.partial_rotary_factor = 0.5~unsupported model: .*partial_rotary_factor
3~del(.hidden_size)~bad configuration: 'bad/config.json': key 'hidden_size' is missing
3~.hidden_size = "32"~bad configuration: .*'hidden_size' is .*expected
3~.hidden_size = 32.5~bad configuration: .*'hidden_size'
3~.hidden_size = 0~bad configuration: .*'hidden_size'
3~.hidden_size = -32~bad configuration: .*'hidden_size'
3~.num_hidden_layers = 100000000000000000000~bad configuration: .*'num_hidden_layers'
3~.vocab_size = []~bad configuration: .*'vocab_size'
3~.rope_theta = 0~bad configuration: .*'rope_theta'
3~.rms_norm_eps = "small"~bad configuration: .*'rms_norm_eps'
3~.tie_word_embeddings = 1~bad configuration: .*'tie_word_embeddings'
3~.num_key_value_heads = 3~bad configuration: .*3 KV heads
3~.num_key_value_heads = 8~bad configuration: .*'num_key_value_heads'
3~.eos_token_id = "2"~bad configuration: .*'eos_token_id'
3~[.]~bad configuration: 'bad/config.json': not a JSON object
END
  fresh_model
  head -c 200 "$golden/config.json" >bad/config.json
  expect_refused 3 ".*'bad/config.json'.*not valid JSON"
  printf '{"hidden_size": 32, "hidden_size": 64}' >bad/config.json
  expect_refused 3 ".*'bad/config.json'.*twice"
  head -c 4096 /dev/urandom >bad/config.json
  expect_refused 3 ".*'bad/config.json'"
}

test_index() {
  local status index message
  while IFS='~' read -r status index message; do
    fresh_model
    mv bad/model.safetensors bad/part.safetensors
    printf '%s' "$index" >bad/model.safetensors.index.json
    expect_refused "$status" "$message"
  done <<'END'
3~{"weight_map": {}}~bad index: 'bad/model.safetensors.index.json': 'weight_map' is empty
3~{}~bad index: .*'weight_map'
3~[]~bad index: .*'weight_map'
3~{"weight_map": {"model.norm.weight": 1}}~bad index: .*'model.norm.weight'
3~{"weight_map": {"model.norm.weight": "../bad/part.safetensors"}}~bad index: .*leads out of the directory
3~{"weight_map": {"model.norm.weight": ".."}}~bad index: .*leads out of the directory
3~{"weight_map": {"model.norm.weight": ""}}~bad index: .*leads out of the directory
3~{"weight_map": {"lm_head.weight": "part.safetensors"}}~bad checkpoint: 'bad/part.safetensors': tensor 'lm_head.weight'
3~{"weight_map": {"model.norm.weight": "part.~.*'bad/model.safetensors.index.json'.*not valid JSON
END
  # The same tensors in two files.
  fresh_model
  mv bad/model.safetensors bad/part.safetensors
  cp bad/part.safetensors bad/other.safetensors
  echo '{"weight_map": {"model.norm.weight": "part.safetensors", "model.embed_tokens.weight": "other.safetensors"}}' >bad/model.safetensors.index.json
  expect_refused 3 "bad checkpoint: .*is in another file as well"
  # And one that is right.
  rm bad/other.safetensors
  echo '{"weight_map": {"model.norm.weight": "part.safetensors"}}' >bad/model.safetensors.index.json
  run uio-score -m bad --context none text
  expect_status 0 'one shard with an index'
}

test_tokenizer() {
  fresh_model
  head -c 1000 "$golden/tokenizer.model" >bad/tokenizer.model
  expect_refused 3 ".*'bad/tokenizer.model'"
  head -c 5000 /dev/urandom >bad/tokenizer.model
  expect_refused 3 ".*'bad/tokenizer.model'"
  fresh_model
  rm bad/tokenizer.model
  echo '{}' >bad/tokenizer.json
  expect_refused 4 "unsupported tokenizer: 'bad/tokenizer.json': version"
  # More pieces than rows of the embedding.
  fresh_model
  cp "$UIO_ROOT/tests/golden/text/bpe-bytes/tokenizer.model" bad
  expect_refused 4 "tokenizer does not fit the model: 'bad': it has [0-9]+ tokens, the model 320"
}

test_adapter_configuration() {
  local status filter message
  while IFS='~' read -r status filter message; do
    fresh_model
    edit_json bad/adapter/adapter_config.json "$filter"
    expect_adapter_refused "$status" "$message"
  done <<'END'
4~.format = "peft"~unsupported adapter: 'bad/adapter/adapter_config.json': format is 'peft'
4~.version = 2~unsupported adapter: .*version is 2, expected 1
4~.method = "gist"~unsupported memory method: 'gist'
4~.memory_mask = "full"~unsupported adapter: .*'memory_mask' is 'full'
4~.memory_positions = "none"~unsupported adapter: .*'memory_positions' is 'none'
4~.encoder_targets = ["w_proj"]~unsupported adapter: .*'encoder_targets' names "w_proj"
4~.transfer_targets = ["q_proj"]~unsupported adapter: .*'transfer_targets' names "q_proj"
4~.encoder_targets = ["q_proj"]~unsupported adapter: .*tensor 'encoder.layers.0.self_attn.v_proj.lora_A.weight' is not understood
4~.dropout = 0.1~unsupported adapter: .*key 'dropout' is not understood
3~del(.segment_length)~bad adapter configuration: .*key 'segment_length' is missing
3~.segment_length = 0~bad adapter configuration: .*'segment_length'
3~.segment_length = "32"~bad adapter configuration: .*'segment_length'
3~.memory_length = 4.5~bad adapter configuration: .*'memory_length'
3~.memory_length = -4~bad adapter configuration: .*'memory_length'
3~.lora_rank = 1e30~bad adapter configuration: .*'lora_rank'
3~.lora_alpha = "6"~bad adapter configuration: .*'lora_alpha'
3~.encoder_targets = "q_proj"~bad adapter configuration: .*'encoder_targets'
3~.memory_mask = 1~bad adapter configuration: .*'memory_mask'
3~[]~bad adapter configuration: .*not a JSON object
4~.base_fingerprint = "0123"~adapter belongs to another model: 'bad/adapter': made for base 0123, the model is [0-9a-f]{64}
4~.segment_length = 300~segment too long for the model: 'bad': L 300 with M 4 needs 301 positions, the model has 256
END
}

test_adapter_of_other_shapes() {
  local status filter message
  while IFS='~' read -r status filter message; do
    fresh_model
    edit_header bad/adapter/adapter_model.safetensors "$filter"
    expect_adapter_refused "$status" "$message"
  done <<'END'
4~.memory_tokens.shape = [2, 64]~adapter does not fit the model: .*tensor 'memory_tokens' is .2, 64., expected .4, 32.
4~.memory_tokens.shape = [128]~adapter does not fit the model: .*tensor 'memory_tokens'
4~.["transfer.layers.2.self_attn.k_proj.lora_B.weight"].shape = [2, 24]~adapter does not fit the model: .*is .2, 24., expected .24, 2.
4~.memory_tokens.dtype = "I32"~unsupported tensor: 'memory_tokens': dtype I32
3~with_entries(if .key == "memory_tokens" then .key = "memory_rows" else . end)~bad adapter: .*tensor 'memory_tokens' is missing
3~with_entries(.key |= sub("encoder.layers.2"; "encoder.layers.3"))~bad adapter: .*tensor 'encoder.layers.2..* is missing
4~.extra = {dtype: "F32", shape: [0], data_offsets: [0, 0]}~unsupported adapter: .*tensor 'extra' is not understood
END
  fresh_model
  edit_json bad/adapter/adapter_config.json '.memory_length = 5'
  expect_adapter_refused 4 "adapter does not fit the model: .*tensor 'memory_tokens' is .4, 32., expected .5, 32."
  fresh_model
  edit_json bad/adapter/adapter_config.json '.lora_rank = 3'
  expect_adapter_refused 4 "adapter does not fit the model: .*expected .3, 32."
  # An adapter of the same shapes but another base goes as long as it does not say whose it is; it says so if it names one.
  run uio-score -m "$golden" -a "$golden/adapter" -l 64 --context memory text
  expect_status 2 'another segment length than the trained one'
  expect_message uio-score
  grep -q '64 asked for, 32 trained' err || fail 'not both lengths'
}

# All programs with a model say the same of it.
test_every_program_refuses() {
  fresh_model
  uio-segment -m bad -o segments text || fail 'uio-segment'
  uio-compress -m bad -o blob segments || fail 'uio-compress'
  edit_json bad/config.json '.sparse_attention = true'
  local -a command
  while read -ra command; do
    run "${command[@]}"
    expect_status 4 "${command[*]}"
    expect_message "${command[0]}"
    grep -q "'sparse_attention' is not understood" err || fail "${command[*]}: key not named"
  done <<'END'
uio-compress -m bad segments
uio-decode -m bad -p x blob
uio-decode -m bad -p x --save grown
uio-score -m bad --context none text
uio-score -m bad --verify blob text
END
  [ ! -e grown ] || fail 'left a file'
}

# The same model with feed-forward layers of 2^20: 1.2 GB of zeros, sparse on disk.
make_large_model() {
  fresh_model
  edit_json bad/config.json '.intermediate_size = 1048576'
  # shellcheck disable=SC2016  # jq's variables
  edit_header bad/model.safetensors '
    to_entries | map(select(.key != "__metadata__"))
    | map(if .key | test("down_proj") then .value.shape = [32, 1048576] elif .key | test("(gate|up)_proj") then .value.shape = [1048576, 32] else . end)
    | reduce .[] as $entry ({at: 0, header: {}};
        ($entry.value.shape | reduce .[] as $n (4; . * $n)) as $bytes
        | .header[$entry.key] = {dtype: "F32", shape: $entry.value.shape, data_offsets: [.at, .at + $bytes]} | .at += $bytes)
    | .header'
  local length data
  length=$(od -An -tu8 -N8 bad/model.safetensors | tr -d ' ')
  data=$(tail -c +9 bad/model.safetensors | head -c "$length" | jq '[.[].data_offsets[1]] | max')
  truncate -s $((8 + length)) bad/model.safetensors
  truncate -s $((8 + length + data)) bad/model.safetensors || skip 'no room for a sparse file'
}

# Weights are used where the file is mapped. With room for one mapping and a half of 1.2 GB there is none for a copy.
test_model_is_mapped_not_read() {
  make_large_model
  printf 'a' >short
  (ulimit -v 2600000; run uio-score -m bad -j 1 --context none short; exit "$status")
  status=$?
  expect_status 0 'within 2.6 GB of addresses'
  # The same limit, but numbers that have to be converted: more than there is.
  (ulimit -v 2600000; run uio-score -m bad -j 1 --dtype f64 --context none short; exit "$status")
  status=$?
  expect_status 6 'a copy does not fit'
  expect_message uio-score
}

# A file larger than all addresses there are: a failure to map, told as such.
test_model_larger_than_memory() {
  fresh_model
  edit_header bad/model.safetensors '.filler = {dtype: "U8", shape: [100000000000], data_offsets: [([.[].data_offsets? // empty | .[1]] | max),
    ([.[].data_offsets? // empty | .[1]] | max) + 100000000000]}'
  local length
  length=$(od -An -tu8 -N8 bad/model.safetensors | tr -d ' ')
  truncate -s $(($(stat -c %s bad/model.safetensors) + 100000000000)) bad/model.safetensors || skip 'no room for a sparse file'
  # Not read: 100 GB are refused for what the header says, in no more memory than any other.
  (ulimit -d 2000000; run uio-score -m bad --context none text; exit "$status")
  status=$?
  expect_status 4 'a tensor of 100 GB that nobody knows'
  grep -q "tensor 'filler' is not understood" err || fail 'not the tensor'
  (ulimit -v 8000000; run uio-score -m bad --context none text; exit "$status")
  status=$?
  expect_status 5 'cannot be mapped'
  expect_message uio-score
  grep -q "^uio-score: cannot map: 'bad/model.safetensors': " err || fail 'not the file'
}
