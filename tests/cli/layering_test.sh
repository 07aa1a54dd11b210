# shellcheck shell=bash
# Nothing points upward: base < io < text; base < kernels < model < memory < score; cli beside them, cmd on top.

# What a folder may include, itself left out.
allowed() {
  case $1 in
    lib/base) ;;
    lib/io) echo base ;;
    lib/text) echo base io ;;
    kernels) echo base ;;
    lib/model) echo base io kernels ;;
    lib/memory) echo base io text kernels model ;;
    lib/score) echo base io text kernels model memory ;;
    lib/train) echo base io text kernels model memory ;;
    lib/cli) echo base io text ;;
    lib/*.cc) echo base io text kernels model memory score train ;;  # joins the layers to one library
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
    done < <(cd "$UIO_ROOT" && grep -HrEo '^#include "(base|io|text|kernels|model|memory|score|train|cli|cmd)/' "$folder" |
      sed -E 's|:#include "([a-z]+)/.*|:\1|')
  done < <(cd "$UIO_ROOT" && find lib cmd kernels -name '*.cc' -o -name '*.h' -o -name '*.cu' | sed -E 's|^(lib/[^/]+\|cmd\|kernels)/.*|\1|' | sort -u)
}

test_torch_stays_above() {
  local found
  cd "$UIO_ROOT" || fail 'no root'
  found=$(grep -rlE '#include <(torch|ATen|c10|caffe2)/' lib/base lib/io lib/text lib/cli cmd)
  [ -z "$found" ] || fail "LibTorch is included in $found"
  found=$(grep -rlE '#include <CLI/|#include "cli/' lib/base lib/io lib/text lib/model lib/memory lib/score kernels 2>/dev/null)
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
  local build=${UIO_BIN%/bin}
  [ -e "$build/CMakeCache.txt" ] || skip "no build tree at $build"
  # One line an edge, "from" to target; found in the graph that CMake itself draws.
  (cd "$build" && cmake --graphviz="$PWD/graph.dot" . >/dev/null 2>&1) || skip 'cmake cannot draw its graph'
  local edges=$build/graph.dot order='uio_base uio_io uio_text uio_kernels uio_model uio_memory uio_score' from to
  while read -r from to; do
    case " $order " in *" $from "*) ;; *) continue ;; esac
    case " $order " in *" $to "*) ;; *) continue ;; esac
    case "$from:$to" in
      uio_base:* | uio_io:uio_[!b]* | uio_text:uio_[!bi]* | uio_kernels:uio_[!b]* | uio_model:uio_[!bik]* | uio_memory:uio_score)
        fail "target $from links $to" ;;
    esac
  done < <(sed -nE 's|.*// ([a-z_]+) -> ([a-z_]+)$|\1 \2|p' "$edges")
  rm -f "$edges"*
}
