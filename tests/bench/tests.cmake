# Benchmarks: built with the tests, never part of pass or fail.
add_executable(rates EXCLUDE_FROM_ALL ${CMAKE_CURRENT_SOURCE_DIR}/bench/rates.cc)
target_link_libraries(rates PRIVATE uio_core)
set_target_properties(rates PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
