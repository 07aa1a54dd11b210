// The one error type of the library, and the exit status that belongs to each kind.
// Place in the order: base, under everything.
#pragma once

#include <exception>
#include <string>
#include <utility>

namespace uio {

// The value is the exit status of the program that stops with it (uio(7), EXIT STATUS).
enum class ErrorKind {
  kNo = 1,        // done, but the answer is no, or some inputs failed
  kUsage = 2,     // the caller asked for something that cannot be asked for
  kData = 3,      // damaged, truncated or malformed input
  kMismatch = 4,  // sound input that belongs to another model, tokenizer, adapter or version
  kIo = 5,        // the operating system could not read or write
  kDevice = 6,    // device missing or out of memory
  kInternal = 70  // a bug of ours
};

// Thrown by every library function that fails. Rendered by the guard around main as
// `prog: what: 'subject': reason`, then `hint: …` on its own line when there is one.
// Wording: lower case, no full stop, the fault first, the expected and the found value in `reason`.
class Error : public std::exception {
 public:
  Error(ErrorKind kind, std::string what, std::string subject, std::string reason, std::string hint = {});

  ErrorKind kind() const noexcept { return kind_; }
  int status() const noexcept { return static_cast<int>(kind_); }
  const std::string& subject() const noexcept { return subject_; }
  const std::string& reason() const noexcept { return reason_; }
  const std::string& hint() const noexcept { return hint_; }
  // `what: 'subject': reason`; parts that are empty are left out. No hint, no program name.
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  ErrorKind kind_;
  std::string subject_, reason_, hint_, message_;
};

}  // namespace uio
