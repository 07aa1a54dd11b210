# The manual, the completions and the help are tested like programs.
file(GLOB cases CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*_test.sh)
foreach(case ${cases})
  get_filename_component(name ${case} NAME_WE)
  add_test(NAME doc_${name} COMMAND ${CMAKE_CURRENT_LIST_DIR}/../cli/run ${case})
  set_tests_properties(doc_${name} PROPERTIES LABELS doc SKIP_RETURN_CODE 77 TIMEOUT 600
    ENVIRONMENT "UIO_BIN=${CMAKE_BINARY_DIR}/bin")
endforeach()
