# bash completion for the uio programs, made from their option table: uio-inspect --generate=bash

# Sets `current`, the word to complete, and `option`, the word before it that may want it as its value.
_uio_where() {
  local before=$((COMP_CWORD - 1))
  current=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[before]}
  if [[ $current == = ]]; then
    current=
  elif [[ $option == = && $before -gt 1 ]]; then
    option=${COMP_WORDS[before - 1]}
  fi
}

_uio_words() { mapfile -t COMPREPLY < <(compgen -W "$1" -- "$current"); }

_uio_list() {
  local head=
  [[ $current != *,* ]] || head=${current%,*},
  mapfile -t COMPREPLY < <(compgen -P "$head" -W "$1" -- "${current##*,}")
}

_uio_files() {
  compopt -o filenames 2>/dev/null
  mapfile -t COMPREPLY < <(compgen -f -- "$current")
}

_uio_directories() {
  compopt -o filenames 2>/dev/null
  mapfile -t COMPREPLY < <(compgen -d -- "$current")
}

_uio_operand() {
  local word
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    [[ $word != -- ]] || { _uio_files; return; }
  done
  if [[ $current == -* ]]; then _uio_words "$1"; else _uio_files; fi
}

_uio_segment() {
  local current option
  _uio_where
  case $option in
    --boundaries) _uio_words 'fixed content paragraph' ;;
    -m | --model) _uio_directories ;;
    -a | --adapter) _uio_directories ;;
    --method) _uio_words 'uio fot' ;;
    --device) _uio_words 'auto cpu cuda' ;;
    --dtype) _uio_words 'auto f32 bf16 f16 f64' ;;
    -o | --output) _uio_files ;;
    --progress) _uio_words 'auto always never' ;;
    --memory-layers | -l | --segment-length | -j | --threads | --seed | --level) COMPREPLY=() ;;
    *) _uio_operand '--lines --jsonl --replace-invalid --boundaries -m --model -a --adapter --method --memory-layers -l --segment-length --device --dtype -j --threads --seed -o --output --level -f --force -q --quiet -v --verbose --progress -h --help -V --version' ;;
  esac
}
complete -F _uio_segment uio-segment

_uio_compress() {
  local current option
  _uio_where
  case $option in
    --form) _uio_words 'kv hidden' ;;
    --precision) _uio_words 'exact int8 int4' ;;
    --index) _uio_words 'flat ivf hnsw sq8 ivfpq' ;;
    --cache-dir) _uio_directories ;;
    -m | --model) _uio_directories ;;
    -a | --adapter) _uio_directories ;;
    --method) _uio_words 'uio fot' ;;
    --search) _uio_words 'dense exact index' ;;
    --device) _uio_words 'auto cpu cuda' ;;
    --dtype) _uio_words 'auto f32 bf16 f16 f64' ;;
    -o | --output) _uio_files ;;
    --progress) _uio_words 'auto always never' ;;
    --batch | --cache-size | --memory-layers | --nearest | --probe | -l | --segment-length | --memory-length | -j | --threads | --seed | --level) COMPREPLY=() ;;
    *) _uio_operand '--keep-tokens --form --precision --batch --index --cache-dir --no-cache --cache-size -n --dry-run -m --model -a --adapter --method --memory-layers --search --nearest --probe -l --segment-length --memory-length --device --dtype -j --threads --seed -o --output --level -f --force -q --quiet -v --verbose --progress -h --help -V --version' ;;
  esac
}
complete -F _uio_compress uio-compress

_uio_decode() {
  local current option
  _uio_where
  case $option in
    -f | --prompt-file) _uio_files ;;
    --chat) _uio_words 'llama2 llama3 mistral chatml' ;;
    --save) _uio_files ;;
    --overflow) _uio_words 'refuse oldest' ;;
    -m | --model) _uio_directories ;;
    -a | --adapter) _uio_directories ;;
    --method) _uio_words 'uio fot' ;;
    --search) _uio_words 'dense exact index' ;;
    --memory-dir) _uio_directories ;;
    --device) _uio_words 'auto cpu cuda' ;;
    --dtype) _uio_words 'auto f32 bf16 f16 f64' ;;
    --weights) _uio_words 'stored int8' ;;
    -o | --output) _uio_files ;;
    --progress) _uio_words 'auto always never' ;;
    -p | --prompt | --system | -n | --max-tokens | --temperature | --top-k | --top-p | --min-p | --repeat-penalty | --stop | --retrieve | --batch | --memory-layers | --nearest | --probe | -l | --segment-length | --memory-length | -j | --threads | --seed | --level) COMPREPLY=() ;;
    *) _uio_operand '-p --prompt -f --prompt-file --chat --system --parse-special -n --max-tokens --temperature --top-k --top-p --min-p --repeat-penalty --stop --ignore-eos --save --jsonl --overflow --retrieve --batch -m --model -a --adapter --method --memory-layers --search --nearest --probe --memory-dir -l --segment-length --memory-length --device --dtype --weights -j --threads --seed -o --output --level --force -q --quiet -v --verbose --progress -h --help -V --version' ;;
  esac
}
complete -F _uio_decode uio-decode

_uio_score() {
  local current option
  _uio_where
  case $option in
    --task) _uio_words 'perplexity lookup passkey focus' ;;
    --unit) _uio_words 'tokens characters' ;;
    --context) _uio_list 'none memory retrieved memory+retrieved window full streaming' ;;
    --memory) _uio_files ;;
    --verify) _uio_files ;;
    --overflow) _uio_words 'refuse oldest' ;;
    --form) _uio_words 'kv hidden' ;;
    --precision) _uio_words 'exact int8 int4' ;;
    -m | --model) _uio_directories ;;
    -a | --adapter) _uio_directories ;;
    --method) _uio_words 'uio fot' ;;
    --search) _uio_words 'dense exact index' ;;
    --memory-dir) _uio_directories ;;
    --device) _uio_words 'auto cpu cuda' ;;
    --dtype) _uio_words 'auto f32 bf16 f16 f64' ;;
    --weights) _uio_words 'stored int8' ;;
    -o | --output) _uio_files ;;
    --progress) _uio_words 'auto always never' ;;
    --lengths | --samples | --documents-in-memory | --last | --tolerance | --retrieve | --memory-layers | --nearest | --probe | -l | --segment-length | --memory-length | -j | --threads | --seed) COMPREPLY=() ;;
    *) _uio_operand '--task --lengths --unit --samples --documents-in-memory --context --last --per-token --memory --recall --verify --tolerance --overflow --retrieve --lines --jsonl --replace-invalid --form --precision -m --model -a --adapter --method --memory-layers --search --nearest --probe --memory-dir -l --segment-length --memory-length --device --dtype --weights -j --threads --seed -o --output -f --force -q --quiet -v --verbose --progress -h --help -V --version' ;;
  esac
}
complete -F _uio_score uio-score

_uio_train_step() {
  local current option
  _uio_where
  case $option in
    --state) _uio_files ;;
    --reset) _uio_list 'optimiser schedule data random objective' ;;
    --trainable) _uio_words 'adapter full base' ;;
    --objective) _uio_words 'lm autoencode distill text crossbatch mix' ;;
    --memory-gradient) _uio_words 'on off' ;;
    --loss) _uio_words 'token released' ;;
    --validate) _uio_files ;;
    --gradients) _uio_files ;;
    --export) _uio_directories ;;
    --export-dtype) _uio_words 'f32 bf16 f16' ;;
    --estimator) _uio_words 'bptt tbptt incremental exact reservoir window+tail importance released decayed' ;;
    --recompute) _uio_words 'auto always never' ;;
    --optimiser) _uio_words 'adamw muon' ;;
    --schedule) _uio_words 'cosine linear constant' ;;
    --init) _uio_list 'adapter base' ;;
    --encoder-targets) _uio_list 'q_proj k_proj v_proj o_proj gate_proj up_proj down_proj' ;;
    --transfer-targets) _uio_list 'k_proj v_proj' ;;
    --mask) _uio_words 'staged causal' ;;
    --positions) _uio_words 'staged causal' ;;
    -m | --model) _uio_directories ;;
    -a | --adapter) _uio_directories ;;
    --device) _uio_words 'auto cpu cuda' ;;
    --dtype) _uio_words 'auto f32 bf16 f16 f64' ;;
    -o | --output) _uio_files ;;
    --progress) _uio_words 'auto always never' ;;
    --steps | --save-every | --mix | --crossbatch | --repeat-prompt | --document-segments | --corpus-weights | --validate-every | --window | --reservoir | --decay | --accumulate | --batch | --lr | --betas | --epsilon | --weight-decay | --warmup | --final-lr | --schedule-steps | --clip | --rank | --alpha | --memory-layers | -l | --segment-length | --memory-length | -j | --threads | --seed) COMPREPLY=() ;;
    *) _uio_operand '--state --steps --save-every --reset --trainable --objective --mix --crossbatch --memory-gradient --repeat-prompt --loss --document-segments --corpus-weights --no-shuffle --validate --validate-every --gradients --export --export-dtype --estimator -n --dry-run --list-estimators --window --reservoir --decay --accumulate --batch --recompute --optimiser --lr --betas --epsilon --weight-decay --warmup --schedule --final-lr --schedule-steps --clip --init --rank --alpha --encoder-targets --transfer-targets --mask --positions --shared-row --lines --jsonl -m --model -a --adapter --memory-layers -l --segment-length --memory-length --device --dtype -j --threads --seed -o --output -f --force -q --quiet -v --verbose --progress -h --help -V --version' ;;
  esac
}
complete -F _uio_train_step uio-train-step

_uio_inspect() {
  local current option
  _uio_where
  case $option in
    --export) _uio_files ;;
    -m | --model) _uio_directories ;;
    -a | --adapter) _uio_directories ;;
    --device) _uio_words 'auto cpu cuda' ;;
    --dtype) _uio_words 'auto f32 bf16 f16 f64' ;;
    -o | --output) _uio_files ;;
    --progress) _uio_words 'auto always never' ;;
    --document | --segments | -j | --threads | --seed) COMPREPLY=() ;;
    *) _uio_operand '--verify --tokens --index --cut --export --document --segments -m --model -a --adapter --device --dtype -j --threads --seed -o --output -f --force -q --quiet -v --verbose --progress -h --help -V --version' ;;
  esac
}
complete -F _uio_inspect uio-inspect
