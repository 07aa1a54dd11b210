# The library that tests/cli/faults.sh preloads. A sanitizer wants to be loaded first itself: then those cases are skipped.
if(NOT UIO_SANITIZE)
  add_library(failing_calls MODULE ${CMAKE_CURRENT_LIST_DIR}/failing_calls.cc)
  target_link_libraries(failing_calls PRIVATE ${CMAKE_DL_LIBS})
  set_target_properties(failing_calls PROPERTIES PREFIX "" LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
endif()
