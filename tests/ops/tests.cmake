# The table of ops: values and gradients are part of the tests, times and what runs are told on demand.
# Objects of their own, compiled like the library's: so they can share its precompiled header.
file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*.cc)
add_library(ops_objects OBJECT ${sources})
target_include_directories(ops_objects PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(ops_objects PUBLIC uio_core)
target_precompile_headers(ops_objects REUSE_FROM uio_kernels)
add_executable(ops $<TARGET_OBJECTS:ops_objects>)
target_link_libraries(ops PRIVATE uio_core)
set_target_properties(ops PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
foreach(mode test grad)
  add_test(NAME ops_${mode} COMMAND ops ${mode})
  set_tests_properties(ops_${mode} PROPERTIES LABELS unit)
endforeach()
