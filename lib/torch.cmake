# Finds LibTorch (-DUIO_TORCH_DIR, the python3 on PATH, the private copy of tests/setup) and makes the target uio_torch.
if(NOT UIO_TORCH_DIR)
  execute_process(
    COMMAND python3 -c "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '')"
    OUTPUT_VARIABLE found OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(found AND EXISTS "${found}/lib/libtorch_cpu.so" AND EXISTS "${found}/include/ATen/ATen.h")
    set(UIO_TORCH_DIR "${found}")
  endif()
endif()
if(NOT UIO_TORCH_DIR)
  foreach(cache "$ENV{UIO_CACHE_DIR}" "$ENV{XDG_CACHE_HOME}/uio" "$ENV{HOME}/.cache/uio")
    file(GLOB found "${cache}/torch-2.11.0/lib/python3*/site-packages/torch")
    if(found)
      list(GET found 0 UIO_TORCH_DIR)
      break()
    endif()
  endforeach()
endif()
if(NOT EXISTS "${UIO_TORCH_DIR}/lib/libtorch_cpu.so")
  message(FATAL_ERROR "LibTorch not found: give -DUIO_TORCH_DIR=…/site-packages/torch, or run tests/setup")
endif()
message(STATUS "LibTorch: ${UIO_TORCH_DIR}")

foreach(library c10 torch_cpu)
  add_library(uio_import_${library} SHARED IMPORTED GLOBAL)
  set_target_properties(uio_import_${library} PROPERTIES IMPORTED_LOCATION ${UIO_TORCH_DIR}/lib/lib${library}.so)
endforeach()
get_filename_component(site_packages ${UIO_TORCH_DIR} DIRECTORY)
set(UIO_TORCH_RPATH "${UIO_TORCH_DIR}/lib;${site_packages}/nvidia/cu13/lib")
add_library(uio_torch INTERFACE)
target_include_directories(uio_torch SYSTEM INTERFACE ${UIO_TORCH_DIR}/include ${UIO_TORCH_DIR}/include/torch/csrc/api/include)
target_link_libraries(uio_torch INTERFACE uio_import_torch_cpu uio_import_c10)
# at::parallel_for is an OpenMP pragma in a header: without this flag our loops would run on one thread, in silence.
target_compile_options(uio_torch INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fopenmp>)
# The run-time is LibTorch's own libgomp.so.1, found by the RPATH below: one in the process, not two.
target_link_libraries(uio_torch INTERFACE ${UIO_TORCH_DIR}/lib/libgomp.so.1)
# DT_RPATH, which LD_LIBRARY_PATH cannot override; libraries newer than the system's linker's view are tolerated.
target_link_options(uio_torch INTERFACE LINKER:--as-needed LINKER:--disable-new-dtags LINKER:--allow-shlib-undefined
  "LINKER:-rpath,${UIO_TORCH_DIR}/lib" "LINKER:-rpath,${site_packages}/nvidia/cu13/lib")

# libuio_cuda.so: our device code, linked to LibTorch's CUDA part so that loading it registers the CUDA operators.
function(uio_add_cuda_plugin)
  foreach(library c10_cuda torch_cuda)
    add_library(uio_import_${library} SHARED IMPORTED)
    set_target_properties(uio_import_${library} PROPERTIES IMPORTED_LOCATION ${UIO_TORCH_DIR}/lib/lib${library}.so)
  endforeach()
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/kernels/*.cu)
  add_library(uio_cuda MODULE ${sources})
  set_target_properties(uio_cuda PROPERTIES CUDA_RUNTIME_LIBRARY Shared BUILD_RPATH "${UIO_TORCH_RPATH}")
  set_target_properties(uio_cuda PROPERTIES CUDA_STANDARD 17)  # the newest dialect that CMake 3.25 knows of nvcc 13
  # Nothing of it is called by name: without --no-as-needed the linker would leave LibTorch's CUDA part out.
  target_link_options(uio_cuda PRIVATE LINKER:--allow-shlib-undefined LINKER:--disable-new-dtags LINKER:--no-as-needed)
  target_link_libraries(uio_cuda PRIVATE uio_import_torch_cuda uio_import_c10_cuda)
  target_include_directories(uio_cuda PRIVATE ${CMAKE_SOURCE_DIR})
  # NCCL for several processes: the toolkit's to link with, LibTorch's own at run time (same soname, one in the process).
  find_path(UIO_NCCL_INCLUDE nccl.h HINTS ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES} ${site_packages}/nvidia/nccl/include)
  find_library(UIO_NCCL_LIBRARY NAMES nccl libnccl.so.2 HINTS /usr/local/cuda/lib /usr/local/cuda/lib64 ${site_packages}/nvidia/nccl/lib)
  if(UIO_NCCL_INCLUDE AND UIO_NCCL_LIBRARY)
    target_include_directories(uio_cuda SYSTEM PRIVATE ${UIO_NCCL_INCLUDE})
    target_link_libraries(uio_cuda PRIVATE ${UIO_NCCL_LIBRARY})
    set_target_properties(uio_cuda PROPERTIES BUILD_RPATH "${UIO_TORCH_RPATH};${site_packages}/nvidia/nccl/lib")
  else()
    message(STATUS "NCCL not found: no run of several processes on GPUs")
    get_target_property(sources uio_cuda SOURCES)
    list(FILTER sources EXCLUDE REGEX "nccl")
    set_target_properties(uio_cuda PROPERTIES SOURCES "${sources}")
  endif()
endfunction()
