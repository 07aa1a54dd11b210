# shellcheck shell=bash disable=SC2154,SC2034  # sweeps use what is set for them
# Calls that fail where models are trained, in whole programs.

# shellcheck source=tests/cli/faults.sh
. "$UIO_ROOT/tests/cli/faults.sh"

test_train_step() {
  prepare
  fresh
  outputs=(state export gradients) says=times
  sweep uio-train-step --state state --export export --gradients gradients book.seg
  # One step more, of a run whose results are there.
  outputs=(state export)
  (cd ../old && uio-train-step --state state --export export --steps 1 ../work/book.seg >/dev/null) || fail 'no first step'
  sweep uio-train-step --state state --export export --steps 2 --reset schedule book.seg
  report
}

# The files of an export belong together: whatever fails, no configuration stands beside tensors that it does not describe.
test_adapter_over_another() {
  prepare
  fresh
  outputs=(export)
  (cd ../old && uio-train-step --export export ../work/book.seg >/dev/null) || fail 'no adapter'
  jq '.lora_alpha += 1' ../old/export/adapter_config.json >config && mv config ../old/export/adapter_config.json
  command=(uio-train-step --steps 2 --export export book.seg)
  local fault='nothing fails' call k version file
  reset
  run_failing ''
  [ "$status" -eq 0 ] || fail_of 'not even the run without faults'
  cp -a export ../new
  cp ../calls ../calls.good
  for call in write fsync linkat rename unlink; do
    while read -r k; do
      reset
      fault=$call:$k:EIO
      run_failing "$fault"
      grep -q failed ../calls || fail_of 'nothing was to fail'
      runs=$((runs + 1))
      [ "$status" -eq 0 ] || [ "$status" -eq 5 ] || fail_of 'neither done nor a failure to write'
      [ -e export/adapter_config.json ] || continue
      version=old
      cmp -s {export,../old/export}/adapter_config.json || version=new
      for file in adapter_config.json adapter_model.safetensors; do
        cmp -s "export/$file" "../$version/export/$file" || fail_of "$file is not the $version one"
      done
      [ "$(find export -type f | wc -l)" -eq 2 ] || fail_of 'litter'
    done < <(awk -v call="$call" '$1 == call { ++n; if ($2 ~ /(^|\/)export(\/|$)/) print n }' ../calls.good)
  done
  [ "$runs" -gt 6 ] || fail "only $runs calls were made to fail"
  echo "note: $runs runs"
}
