# Benchmarks: built with the tests, so that they always compile; what they measure is never part of pass or fail.
foreach(benchmark rates train_rates load_rates search_rates)
  add_executable(${benchmark} ${CMAKE_CURRENT_SOURCE_DIR}/bench/${benchmark}.cc)
  target_link_libraries(${benchmark} PRIVATE uio_core)
  target_include_directories(${benchmark} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  set_target_properties(${benchmark} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
endforeach()
