#include "base/hash.h"

#include <openssl/evp.h>
#include <xxhash.h>

#include <array>
#include <new>

#include "base/endian.h"
#include "base/error.h"
#include "base/hex.h"

namespace uio {
namespace {

void require(int ok) {
  if (ok != 1) throw Error(ErrorKind::kInternal, "cannot compute a SHA-256 hash", "", "libcrypto refuses");
}

struct Xxh3 {
  Xxh3() : context(XXH3_createState()) {
    if (context == nullptr) throw std::bad_alloc();
  }
  ~Xxh3() { XXH3_freeState(context); }
  Xxh3(const Xxh3&) = delete;
  Xxh3& operator=(const Xxh3&) = delete;
  XXH3_state_t* context;
};

}  // namespace

struct Hasher::State {
  State() : context(EVP_MD_CTX_new()) {
    if (context == nullptr) throw std::bad_alloc();
    require(EVP_DigestInit_ex(context, EVP_sha256(), nullptr));
  }
  ~State() { EVP_MD_CTX_free(context); }
  EVP_MD_CTX* context;
};

Hasher::Hasher() : state_(std::make_unique<State>()) {}
Hasher::~Hasher() = default;
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;

void Hasher::add(std::span<const std::byte> bytes) { require(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size())); }

void Hasher::add_field(std::string_view field) {
  std::array<std::byte, 8> length;
  store_le<std::uint64_t>(length.data(), field.size());
  add(length);
  add(std::as_bytes(std::span(field)));
}

std::string Hasher::hex() {
  std::array<std::byte, 32> digest;
  require(EVP_DigestFinal_ex(state_->context, reinterpret_cast<unsigned char*>(digest.data()), nullptr));
  return to_hex(digest);
}

std::string sha256_hex(std::span<const std::byte> bytes) {
  Hasher hasher;
  hasher.add(bytes);
  return hasher.hex();
}

std::uint64_t checksum(std::span<const std::byte> bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

struct Checksum::State : Xxh3 {
  State() { XXH3_64bits_reset(context); }
};

Checksum::Checksum() : state_(std::make_unique<State>()) {}
Checksum::~Checksum() = default;

void Checksum::add(std::span<const std::byte> bytes) { XXH3_64bits_update(state_->context, bytes.data(), bytes.size()); }

std::uint64_t Checksum::value() const { return XXH3_64bits_digest(state_->context); }

struct WideChecksum::State : Xxh3 {
  State() { XXH3_128bits_reset(context); }
};

WideChecksum::WideChecksum() : state_(std::make_unique<State>()) {}
WideChecksum::~WideChecksum() = default;

void WideChecksum::add_field(std::span<const std::byte> field) {
  std::array<std::byte, 8> length;
  store_le<std::uint64_t>(length.data(), field.size());
  XXH3_128bits_update(state_->context, length.data(), length.size());
  XXH3_128bits_update(state_->context, field.data(), field.size());
}

std::string WideChecksum::hex() const {
  XXH128_canonical_t digest;
  XXH128_canonicalFromHash(&digest, XXH3_128bits_digest(state_->context));
  return to_hex(std::as_bytes(std::span(digest.digest)));
}

}  // namespace uio
