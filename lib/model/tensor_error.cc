#include "model/tensor_error.h"

#include <c10/util/Exception.h>

#include <new>

#include "base/quote.h"

namespace uio {

Error error_of(std::exception_ptr failure, const std::string& device) {
  try {
    std::rethrow_exception(failure);
  } catch (const Error& error) {
    return error;
  } catch (const c10::OutOfMemoryError& error) {
    return Error(ErrorKind::kDevice, "out of memory", device, first_line(error.what_without_backtrace()));
  } catch (const c10::Error& error) {
    const std::string text = first_line(error.what_without_backtrace());
    const bool is_memory = text.find("can't allocate memory") != std::string::npos || text.find("not enough memory") != std::string::npos;
    return Error(is_memory ? ErrorKind::kDevice : ErrorKind::kInternal, is_memory ? "out of memory" : "internal error", "", text);
  } catch (const std::bad_alloc&) {
    return Error(ErrorKind::kDevice, "out of memory", "", "");
  } catch (const std::exception& error) {
    return Error(ErrorKind::kInternal, "internal error", "", first_line(error.what()));
  } catch (...) {
    return Error(ErrorKind::kInternal, "internal error", "", "unknown exception");
  }
}

}  // namespace uio
