# The pages and golden files that unit_io reads are those of this checkout, wherever the build is.
if(TARGET unit_io)
  set_tests_properties(unit_io PROPERTIES ENVIRONMENT "UIO_SOURCE_DIR=${CMAKE_SOURCE_DIR}")
endif()

# A short run of the fuzzer; tests/fuzz/run is the long one, under sanitizers.
add_executable(stream_fuzz_driver ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/frames_of.cc ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/mutations.cc
  ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/stream_fuzz.cc ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/stream_fuzz_driver.cc)
target_include_directories(stream_fuzz_driver PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(stream_fuzz_driver PRIVATE uio)
set_target_properties(stream_fuzz_driver PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
foreach(kind streams safetensors)
  set(option "")
  if(kind STREQUAL safetensors)
    set(option --safetensors)
  endif()
  add_test(NAME fuzz_${kind} COMMAND stream_fuzz_driver ${option} 20000)
  set_tests_properties(fuzz_${kind} PROPERTIES LABELS unit ENVIRONMENT "UIO_SOURCE_DIR=${CMAKE_SOURCE_DIR}")
endforeach()
