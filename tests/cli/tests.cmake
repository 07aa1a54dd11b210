# One entry per file of cases; 77 is a skip, whose reason the log names.
file(GLOB cases CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*_test.sh)
foreach(case ${cases})
  get_filename_component(name ${case} NAME_WE)
  add_test(NAME cli_${name} COMMAND ${CMAKE_CURRENT_LIST_DIR}/run ${case})
  set_tests_properties(cli_${name} PROPERTIES LABELS cli SKIP_RETURN_CODE 77 TIMEOUT 600
    ENVIRONMENT "UIO_BIN=${CMAKE_BINARY_DIR}/bin")
endforeach()
