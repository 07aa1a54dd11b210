#include "base/build_id.h"

#include <elf.h>
#include <link.h>

#include <cstdint>
#include <cstring>
#include <span>

#include "base/hex.h"

namespace uio {
namespace {

struct Search {
  std::uintptr_t address;
  std::string found;
};

std::size_t padded(std::size_t size) { return (size + 3) & ~std::size_t{3}; }

// The build id among the notes of a segment.
std::string id_in(std::span<const std::byte> notes) {
  ElfW(Nhdr) note;
  while (notes.size() >= sizeof note) {
    std::memcpy(&note, notes.data(), sizeof note);
    const std::size_t name = sizeof note, content = name + padded(note.n_namesz), end = content + padded(note.n_descsz);
    if (end > notes.size()) break;
    if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && std::memcmp(notes.data() + name, "GNU", 4) == 0)
      return to_hex(notes.subspan(content, note.n_descsz));
    notes = notes.subspan(end);
  }
  return "";
}

int look(dl_phdr_info* object, std::size_t, void* data) {
  auto& search = *static_cast<Search*>(data);
  const std::span headers(object->dlpi_phdr, object->dlpi_phnum);
  bool is_inside = false;
  for (const auto& header : headers) {
    const std::uintptr_t begin = object->dlpi_addr + header.p_vaddr;
    is_inside = is_inside || (header.p_type == PT_LOAD && search.address >= begin && search.address < begin + header.p_memsz);
  }
  if (!is_inside) return 0;
  for (const auto& header : headers) {
    if (header.p_type != PT_NOTE || !search.found.empty()) continue;
    search.found = id_in({reinterpret_cast<const std::byte*>(object->dlpi_addr + header.p_vaddr), header.p_memsz});
  }
  return 1;
}

}  // namespace

std::string build_id_of(const void* address) {
  Search search{reinterpret_cast<std::uintptr_t>(address), ""};
  dl_iterate_phdr(look, &search);
  return search.found;
}

}  // namespace uio
