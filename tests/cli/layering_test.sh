# shellcheck shell=bash
# Nothing points upward: base < io < text; base < kernels < model < search < memory < score; cli beside them, cmd on top.

# What a folder may include, itself left out.
allowed() {
  case $1 in
    lib/base) ;;
    lib/io) echo base ;;
    lib/text) echo base io ;;
    kernels) echo base ;;
    lib/model) echo base io kernels ;;
    lib/search) echo base io kernels model ;;
    lib/memory) echo base io text kernels model search ;;
    lib/score) echo base io text kernels model search memory ;;
    lib/train) echo base io text kernels model search memory ;;
    lib/cli) echo base io text ;;
    lib/*.cc) echo base io text kernels model search memory score train ;;  # joins the layers to one library
    cmd) echo base io text cli ;;
    *) return 1 ;;
  esac
}

test_includes_point_downward() {
  local folder file layer own may
  while read -r folder; do
    may=$(allowed "$folder") || fail "$folder has no place in the order"
    own=${folder#lib/}
    while IFS=: read -r file layer; do
      case " $may $own " in
        *" $layer "*) ;;
        *) fail "$file includes $layer/, which is not below $folder" ;;
      esac
    done < <(cd "$UIO_ROOT" && grep -HrEo '^#include "(base|io|text|kernels|model|search|memory|score|train|cli|cmd)/' "$folder" |
      sed -E 's|:#include "([a-z]+)/.*|:\1|')
  done < <(cd "$UIO_ROOT" && find lib cmd kernels -name '*.cc' -o -name '*.h' -o -name '*.cu' | sed -E 's|^(lib/[^/]+\|cmd\|kernels)/.*|\1|' | sort -u)
}

test_torch_stays_above() {
  local found
  cd "$UIO_ROOT" || fail 'no root'
  found=$(grep -rlE '#include <(torch|ATen|c10|caffe2)/' lib/base lib/io lib/text lib/cli cmd)
  [ -z "$found" ] || fail "LibTorch is included in $found"
  found=$(grep -rlE '#include <CLI/|#include "cli/' lib/base lib/io lib/text lib/model lib/search lib/memory lib/score lib/train kernels 2>/dev/null)
  [ -z "$found" ] || fail "the command line is known to $found"
}

test_library_leaves_the_process_alone() {
  local found
  cd "$UIO_ROOT" || fail 'no root'
  found=$(grep -rnE '\b(std::cout|std::cerr|printf\(|puts\(|(std::|[^_a-z.])exit\(|isatty\()' lib --include='*.cc' --include='*.h' |
    grep -vE '^lib/cli/|snprintf')
  [ -z "$found" ] || fail "the library prints, exits or asks for a terminal: $found"
}

test_targets_link_downward() {
  command -v cmake >/dev/null || skip 'no cmake'
  local cache=${UIO_BIN%/bin}/CMakeCache.txt torch from to edges=0
  [ -e "$cache" ] || skip "no build tree beside $UIO_BIN"
  torch=$(sed -n 's/^UIO_TORCH_DIR:[A-Z]*=//p' "$cache")
  # Configured apart: the build tree is in use. CMake draws the graph, one line an edge.
  run cmake -S "$UIO_ROOT" -B graph --graphviz=graph.dot -DUIO_TESTS=OFF -DUIO_CUDA=OFF "-DUIO_TORCH_DIR=$torch"
  expect_status 0 'configure'
  while read -r from to; do
    edges=$((edges + 1))
    case " $(allowed_links "$from") " in
      *" $to "*) ;;
      *) fail "target $from links $to" ;;
    esac
  done < <(sed -nE 's|.*// (uio_[a-z]+) -> (uio_[a-z]+)$|\1 \2|p' graph.dot)
  [ "$edges" -gt 10 ] || fail "only $edges edges: $(cat graph.dot)"
}

# The same order for targets.
allowed_links() {
  case $1 in
    uio_base | uio_cli) ;;
    uio_io) echo uio_base ;;
    uio_text) echo uio_base uio_io ;;
    uio_kernels) echo uio_torch uio_base ;;
    uio_model) echo uio_torch uio_base uio_io uio_kernels ;;
    uio_search) echo uio_torch uio_base uio_io uio_kernels uio_model ;;
    uio_memory) echo uio_torch uio_base uio_io uio_text uio_kernels uio_model uio_search ;;
    uio_score) echo uio_torch uio_base uio_io uio_text uio_kernels uio_model uio_search uio_memory ;;
    uio_core) echo uio_torch uio_kernels uio_model uio_search uio_memory uio_score uio_train ;;
    uio_train) echo uio_torch uio_base uio_io uio_text uio_kernels uio_model uio_search uio_memory ;;
    uio_*) echo uio_torch uio_core ;;
  esac
}
