# shellcheck shell=bash disable=SC2016
# The zsh completions load, and zsh takes every specification in them.

test_zsh() {
  command -v zsh >/dev/null || skip 'no zsh'
  zsh -n "$UIO_ROOT/completions/_uio" || fail 'does not parse'
  # _arguments outside of a completion only reads its specifications; errors in them are told.
  zsh -fc '
    fpath=($1 $fpath); autoload -Uz compinit && compinit -u -D || exit 1
    for program in ${=2}; do [[ $_comps[$program] == _uio ]] || { print "$program: no completion"; exit 1 }; done
    autoload +X _uio
  ' zsh "$UIO_ROOT/completions" "$UIO_PROGRAMS" || fail 'does not load'
}

# A terminal in the terminal: zsh completes for real, and what it offers is read from the screen.
test_zsh_offers() {
  command -v zsh >/dev/null || skip 'no zsh'
  cat >script.zsh <<'END'
    zmodload zsh/zpty || { print 'no zpty'; exit 77 }
    zpty session "env TERM=dumb PS1= zsh -f -i"
    zpty -w session "PS1=; unsetopt prompt_cr prompt_sp; setopt noautolist; fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -D; print rea''dy"
    zpty -r session line '*ready*' || exit 1
    zpty -w -n session $'uio-score --dtype=b\t\n'
    zpty -w session "print e''nd"
    zpty -r session line '*end*'
    zpty -d session
    [[ $line == *'--dtype=bf16'* ]] || { print -r -- "$line"; exit 1 }
END
  timeout 60 zsh -f script.zsh "$UIO_ROOT/completions" >log 2>&1
  case $? in 0) ;; 77) skip 'zsh has no zpty' ;; *) fail "$(cat log)" ;; esac
}
