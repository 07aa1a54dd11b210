# shellcheck shell=bash disable=SC2154  # status comes from run
# What is generated from the option table is what lies in the tree, and every option is in all of it.

test_generated_parts_are_fresh() {
  run "$UIO_ROOT/tests/doc/generate" --check "$UIO_BIN"
  expect_status 0 'run tests/doc/generate'
}

# The long options of a program, from its completion of the shell, its page and its help.
test_help_manual_and_completions_agree() {
  local program
  for program in $UIO_PROGRAMS; do
    "$program" --help | grep -oE -e '--[a-z][a-z-]*' | sort -u >help
    "$program" --generate=man | sed 's/\\-/-/g' | grep -E '^\.(It )?Fl' | grep -oE 'Fl -[a-z][a-z-]*' | sed 's/Fl -/--/' | sort -u >manual
    sed -n "/^_${program//-/_}()/,/^}/p" "$UIO_ROOT/completions/uio.bash" | grep -F '_uio_operand' |
      grep -oE -e '--[a-z][a-z-]*' | sort -u >bash
    sed -n "/^  $program)/,/^    ;;/p" "$UIO_ROOT/completions/_uio" |
      grep -oE "^ +'(\*?\(?.*\{.*,--[a-z-]+|\*?--[a-z-]+)" | grep -oE -e '--[a-z-]+' | sort -u >zsh
    sed -nE "s/^complete -c $program .*-l ([a-z-]+).*/--\1/p" "$UIO_ROOT/completions/uio.fish" | sort -u >fish
    expect_output help
    local other
    for other in manual bash zsh fish; do
      diff help "$other" || fail "$program: help and $other list different options"
    done
  done
}

test_hidden_option_stays_hidden() {
  ! grep -rq -e --generate= "$UIO_ROOT"/man || fail 'in the manual'
  local program
  for program in $UIO_PROGRAMS; do
    ! "$program" --help | grep -q -e --generate || fail "$program --help"
  done
}

test_help_fits_the_screen() {
  local program
  for program in $UIO_PROGRAMS; do
    run "$program" --help
    ! grep -E '.{81,}' out || fail "$program: lines too long"
  done
}

test_statuses_are_in_every_page() {
  local page
  for page in "$UIO_ROOT"/man/uio*.[17]; do
    local section
    for section in NAME DESCRIPTION 'EXIT STATUS' ENVIRONMENT EXAMPLES 'SEE ALSO'; do
      grep -qx "\.Sh $section" "$page" || fail "$page has no $section"
    done
    for section in 0 1 2 3 5 70; do
      grep -qx "\.It $section" "$page" || fail "$page does not tell status $section"
    done
    grep -qx '\.Dd November [0-9]*, 2026' "$page" || fail "$page: date"
  done
}
