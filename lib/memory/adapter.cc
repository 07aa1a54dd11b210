#include "memory/adapter.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cmath>
#include <filesystem>
#include <set>

#include "base/error.h"
#include "base/random.h"
#include "io/memory_window.h"
#include "io/path.h"
#include "model/fingerprint.h"
#include "model/tensor.h"

namespace uio {
namespace {

constexpr char kBadConfig[] = "bad adapter configuration";

class Fields {
 public:
  Fields(const Json& json, std::string subject) : json_(json), subject_(std::move(subject)) {
    if (!json.is_object()) throw Error(ErrorKind::kData, kBadConfig, subject_, "not a JSON object");
  }
  bool has(const char* key) {
    seen_.insert(key);
    return json_.contains(key);
  }
  const Json& need(const char* key) {
    if (!has(key)) throw Error(ErrorKind::kData, kBadConfig, subject_, std::string("key '") + key + "' is missing");
    return json_.at(key);
  }
  std::string text(const char* key) {
    const Json& value = need(key);
    if (!value.is_string()) wrong(key, "a string");
    return value.get<std::string>();
  }
  std::int64_t integer(const char* key, std::int64_t low, std::int64_t high) {
    const Json& value = need(key);
    if (!value.is_number_integer() || value.get<double>() < static_cast<double>(low) || value.get<double>() > static_cast<double>(high))
      wrong(key, ("an integer from " + std::to_string(low) + " to " + std::to_string(high)).c_str());
    return value.get<std::int64_t>();
  }
  [[noreturn]] void wrong(const char* key, const char* expected) {
    throw Error(ErrorKind::kData, kBadConfig, subject_,
                std::string("key '") + key + "' is " + json_.at(key).dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 80) +
                    ", expected " + expected);
  }
  void refuse_unknown() {
    for (const auto& [key, value] : json_.items())
      if (!seen_.contains(key)) throw Error(ErrorKind::kMismatch, "unsupported adapter", subject_, "key '" + key + "' is not understood");
  }
  const std::string& subject() const { return subject_; }

 private:
  const Json& json_;
  std::string subject_;
  std::set<std::string> seen_;
};

SlotRule slot_rule(Fields& fields, const char* key) {
  const std::string name = fields.text(key);
  if (name == "staged") return SlotRule::kStaged;
  if (name == "causal") return SlotRule::kCausal;
  throw Error(ErrorKind::kMismatch, "unsupported adapter", fields.subject(), std::string("'") + key + "' is '" + name + "', expected staged or causal");
}

std::vector<Projection> targets(Fields& fields, const char* key, bool keys_and_values_only) {
  const Json& list = fields.need(key);
  if (!list.is_array()) fields.wrong(key, "a list of projections");
  std::vector<Projection> found;
  for (const Json& item : list) {
    bool known = false;
    for (int p = 0; p < kProjections && item.is_string(); ++p) {
      const auto projection = static_cast<Projection>(p);
      if (item.get<std::string>() != name_of(projection)) continue;
      if (keys_and_values_only && projection != Projection::kKey && projection != Projection::kValue) continue;
      found.push_back(projection);
      known = true;
    }
    if (!known)
      throw Error(ErrorKind::kMismatch, "unsupported adapter", fields.subject(),
                  std::string("'") + key + "' names " + item.dump() + ", which cannot be adapted");
  }
  return found;
}

std::string tensor_prefix(const char* part, std::int64_t layer, Projection projection) {
  const bool is_feed = projection == Projection::kGate || projection == Projection::kUp || projection == Projection::kDown;
  return std::string(part) + ".layers." + std::to_string(layer) + (is_feed ? ".mlp." : ".self_attn.") + name_of(projection);
}

// The keys that decide what is computed.
Json settings_of(const AdapterConfig& c) {
  Json names = Json::array(), heads = Json::array();
  for (const Projection p : c.encoder_targets) names.push_back(name_of(p));
  for (const Projection p : c.transfer_targets) heads.push_back(name_of(p));
  return Json{{"method", c.method},         {"segment_length", c.segment_length}, {"memory_length", c.memory_length},
              {"lora_rank", c.lora_rank},   {"lora_alpha", c.lora_alpha},         {"memory_mask", name_of(c.mask)},
              {"memory_positions", name_of(c.positions)}, {"encoder_targets", names}, {"transfer_targets", heads}};
}

// The configuration as one canonical text, part of the adapter's fingerprint. base_fingerprint is left out: it says nothing
// about what is computed that the memory's own base fingerprint does not say.
std::string canonical(const AdapterConfig& c) { return settings_of(c).dump(); }

// (slot + 1)·tokens/slots, rounded to the nearest.
std::int64_t staged(std::int64_t slot, std::int64_t tokens, std::int64_t slots) { return ((slot + 1) * 2 * tokens + slots) / (2 * slots); }

// Throws Error{kMismatch} where the last memory token would stand behind the model's positions.
void check_positions(const Adapter& adapter, const Model& model) {
  const std::int64_t last = adapter.slot_position(adapter.config.memory_length - 1) + 1, capacity = model.config().capacity();
  if (last <= capacity) return;
  throw Error(ErrorKind::kMismatch, "segment too long for the model", model.directory(),
              "L " + std::to_string(adapter.config.segment_length) + " with M " + std::to_string(adapter.config.memory_length) + " needs " +
                  std::to_string(last) + " positions, the model has " + std::to_string(capacity));
}

const std::string& checked_spill_folder(const ModelChoice& choice, const Model& model) {
  const std::string& folder = choice.memory_dir;
  const std::string what = "memory cannot be kept in a folder";
  if (choice.search == "dense") throw Error(ErrorKind::kUsage, what, folder, "all of it is to be seen", "--search exact looks for the nearest keys");
  if (!model.placement().device.is_cpu()) throw Error(ErrorKind::kUsage, what, folder, "it is searched by the CPU", "--device cpu");
  std::error_code failed;
  if (!std::filesystem::is_directory(folder, failed)) throw Error(ErrorKind::kIo, what, folder, path_exists(folder) ? "it is not a directory" : "no such directory");
  return folder;
}

}  // namespace

const char* name_of(SlotRule rule) { return rule == SlotRule::kStaged ? "staged" : "causal"; }

std::int64_t Adapter::slot_cover(std::int64_t slot, std::int64_t tokens) const {
  if (config.mask == SlotRule::kCausal) return tokens;
  return staged(slot, tokens, config.memory_length);
}

std::int64_t Adapter::slot_position(std::int64_t slot, std::int64_t tokens) const {
  if (config.positions == SlotRule::kCausal) return tokens + slot;
  return staged(slot, tokens, config.memory_length);
}

Json to_json(const AdapterConfig& config) {
  Json json = settings_of(config);
  json["format"] = "uio-adapter";
  json["version"] = 1;
  if (!config.base_fingerprint.empty()) json["base_fingerprint"] = config.base_fingerprint;
  return json;
}

AdapterConfig parse_adapter_config(const Json& json, const std::string& subject) {
  Fields fields(json, subject);
  AdapterConfig out;
  if (const std::string format = fields.text("format"); format != "uio-adapter")
    throw Error(ErrorKind::kMismatch, "unsupported adapter", subject, "format is '" + format + "', expected 'uio-adapter'");
  if (const std::int64_t version = fields.integer("version", 0, 1 << 30); version != 1)
    throw Error(ErrorKind::kMismatch, "unsupported adapter", subject, "version is " + std::to_string(version) + ", expected 1");
  out.method = fields.text("method");
  out.segment_length = static_cast<std::uint32_t>(fields.integer("segment_length", 1, 1 << 24));
  out.memory_length = static_cast<std::uint32_t>(fields.integer("memory_length", 1, 1 << 20));
  out.lora_rank = fields.integer("lora_rank", 0, 1 << 16);
  if (!fields.need("lora_alpha").is_number()) fields.wrong("lora_alpha", "a number");
  out.lora_alpha = fields.need("lora_alpha").get<double>();
  out.mask = slot_rule(fields, "memory_mask");
  out.positions = slot_rule(fields, "memory_positions");
  out.encoder_targets = targets(fields, "encoder_targets", false);
  out.transfer_targets = targets(fields, "transfer_targets", true);
  if (fields.has("base_fingerprint")) out.base_fingerprint = fields.text("base_fingerprint");
  fields.refuse_unknown();
  return out;
}

std::int64_t parameters_of(const AdapterConfig& adapter, const ModelConfig& model, bool shared_row) {
  std::int64_t sum = (shared_row ? 1 : adapter.memory_length) * model.hidden_size;
  for (const auto* list : {&adapter.encoder_targets, &adapter.transfer_targets}) {
    for (const Projection p : *list) {
      const auto [in, out] = size_of(model, p);
      sum += model.layers * adapter.lora_rank * (in + out);
    }
  }
  return sum;
}

Adapter load_adapter(const std::string& directory, const Model& model) {
  const std::string path = directory + "/adapter_config.json", weights = directory + "/adapter_model.safetensors";
  Adapter adapter;
  adapter.config = parse_adapter_config(read_json(path), path);
  const AdapterConfig& c = adapter.config;
  // Unknown where a model is there by its shapes alone.
  const bool is_known = !c.base_fingerprint.empty() && !model.fingerprint().empty();
  if (is_known && c.base_fingerprint != model.fingerprint())
    throw Error(ErrorKind::kMismatch, "adapter belongs to another model", directory,
                "made for base " + c.base_fingerprint + ", the model is " + model.fingerprint());
  const SafetensorsFile file(weights);
  std::set<std::string> used;
  const auto device = model.placement().device;
  const auto get = [&](const std::string& name, const std::vector<std::int64_t>& shape, at::ScalarType dtype) {
    const auto found = file.tensors().find(name);
    if (found == file.tensors().end()) throw Error(ErrorKind::kData, "bad adapter", weights, "tensor '" + name + "' is missing");
    if (found->second.shape != shape)
      throw Error(ErrorKind::kMismatch, "adapter does not fit the model", weights,
                  "tensor '" + name + "' is " + shape_text(found->second.shape) + ", expected " + shape_text(shape));
    used.insert(name);
    return load(found->second, name, dtype, device).clone();  // the file is unmapped when we return
  };

  const ModelConfig& m = model.config();
  const auto rows = file.tensors().find("memory_tokens");
  const bool is_shared = rows != file.tensors().end() && rows->second.shape.size() == 2 && rows->second.shape[0] == 1;
  adapter.memory_tokens = get("memory_tokens", {is_shared ? 1 : c.memory_length, m.hidden_size}, model.placement().residual());
  adapter.encoder.resize(static_cast<std::size_t>(m.layers));
  adapter.transfer.resize(static_cast<std::size_t>(m.layers));
  if (c.lora_rank > 0) {
    const auto read_pairs = [&](const char* part, const std::vector<Projection>& list, std::vector<LayerLora>& into) {
      for (std::int64_t l = 0; l < m.layers; ++l) {
        for (const Projection p : list) {
          const std::string prefix = tensor_prefix(part, l, p);
          const auto [in, out] = size_of(m, p);
          Lora& lora = into[static_cast<std::size_t>(l)][static_cast<std::size_t>(p)];
          lora.a = get(prefix + ".lora_A.weight", {c.lora_rank, in}, model.placement().computed);
          lora.b = get(prefix + ".lora_B.weight", {out, c.lora_rank}, model.placement().computed);
          lora.scale = c.lora_alpha / static_cast<double>(c.lora_rank);
        }
      }
    };
    read_pairs("encoder", c.encoder_targets, adapter.encoder);
    read_pairs("transfer", c.transfer_targets, adapter.transfer);
  }
  for (const auto& [name, view] : file.tensors())
    if (!used.contains(name)) throw Error(ErrorKind::kMismatch, "unsupported adapter", weights, "tensor '" + name + "' is not understood");
  adapter.fingerprint = fingerprint_of("uio-adapter\n" + canonical(c), file.tensors(), 1);
  return adapter;
}

Adapter initial_adapter(const Model& model, AdapterConfig config, bool shared_row, std::uint64_t seed) {
  const ModelConfig& m = model.config();
  Adapter adapter;
  const std::int64_t row = m.eos.empty() ? 2 : m.eos.front();
  if (row < 0 || row >= m.vocabulary)
    throw Error(ErrorKind::kMismatch, "no fresh adapter", model.directory(), "end-of-sequence token " + std::to_string(row) + " is not in the vocabulary");
  adapter.memory_tokens =
      model.embedding_row(row).detach().to(model.placement().residual()).unsqueeze(0).repeat({shared_row ? 1 : config.memory_length, 1});
  adapter.encoder.resize(static_cast<std::size_t>(m.layers));
  adapter.transfer.resize(static_cast<std::size_t>(m.layers));
  const auto options = at::TensorOptions().dtype(model.placement().residual());
  const auto make_pairs = [&](const char* part, const std::vector<Projection>& list, std::vector<LayerLora>& into) {
    for (std::int64_t l = 0; l < m.layers; ++l) {
      for (const Projection p : list) {
        const auto [in, out] = size_of(m, p);
        const double bound = 1 / std::sqrt(static_cast<double>(in));
        auto generator = at::detail::createCPUGenerator(Random(seed, tensor_prefix(part, l, p)).next());
        Lora& lora = into[static_cast<std::size_t>(l)][static_cast<std::size_t>(p)];
        lora.a = at::empty({config.lora_rank, in}, options).uniform_(-bound, bound, generator).to(model.placement().device);
        lora.b = at::zeros({out, config.lora_rank}, options).to(model.placement().device);
        lora.scale = config.lora_alpha / static_cast<double>(config.lora_rank);
      }
    }
  };
  if (config.lora_rank > 0) {
    make_pairs("encoder", config.encoder_targets, adapter.encoder);
    make_pairs("transfer", config.transfer_targets, adapter.transfer);
  }
  adapter.config = std::move(config);
  // Rows and updates come of the base, the configuration and the seed, so these stand for them.
  adapter.fingerprint = fingerprint_of("uio-adapter initial " + std::to_string(row) + " " + std::to_string(seed) + " " + model.fingerprint() + "\n" +
                                           canonical(adapter.config), {}, 1);
  return adapter;
}

Adapter fresh_adapter(const Model& model, std::uint32_t segment_length, std::uint32_t memory_length) {
  AdapterConfig config;
  config.segment_length = segment_length;
  config.memory_length = memory_length;
  return initial_adapter(model, std::move(config), /*shared_row=*/true, 0);
}

void for_each_tensor(Adapter& adapter, const std::function<void(const std::string& name, at::Tensor& tensor)>& visit) {
  visit("memory_tokens", adapter.memory_tokens);
  const auto visit_pairs = [&](const char* part, std::vector<LayerLora>& layers) {
    for (std::size_t l = 0; l < layers.size(); ++l) {
      for (int p = 0; p < kProjections; ++p) {
        Lora& lora = layers[l][static_cast<std::size_t>(p)];
        if (!lora.a.defined()) continue;
        const std::string prefix = tensor_prefix(part, static_cast<std::int64_t>(l), static_cast<Projection>(p));
        visit(prefix + ".lora_A.weight", lora.a);
        visit(prefix + ".lora_B.weight", lora.b);
      }
    }
  };
  visit_pairs("encoder", adapter.encoder);
  visit_pairs("transfer", adapter.transfer);
}

SegmentShape asked_segments(const ModelChoice& choice, const ModelConfig& model) {
  SegmentShape shape{choice.segment_length, choice.memory_length};
  if (shape.length == 0) shape.length = static_cast<std::uint32_t>(std::clamp<std::int64_t>(model.capacity() / 2, 1, 1024));
  if (shape.slots == 0) shape.slots = std::max<std::uint32_t>(1, shape.length / 32);
  return shape;
}

Adapter window_adapter(const ModelChoice& choice, const Model& model) {
  const ModelConfig& c = model.config();
  const MemoryWindow window = read_memory_window(model.directory(), choice.segment_length);
  Adapter adapter;
  adapter.config.method = "fot";
  adapter.config.segment_length = adapter.config.memory_length = window.length;
  adapter.window.memory = c.memory;
  adapter.window.tail = window.tail;
  adapter.window.search.nearest = choice.search == "dense" ? 0 : choice.nearest;
  adapter.window.search.by_index = choice.search == "index";
  adapter.window.search.probe = choice.probe;
  if (!choice.memory_dir.empty()) adapter.window.search.spill_folder = checked_spill_folder(choice, model);
  std::vector<std::int64_t>& layers = adapter.window.memory.layers;
  if (!choice.memory_layers.empty()) layers = checked_memory_layers(choice.memory_layers, c.layers, model.directory());
  if (layers.empty())
    throw Error(ErrorKind::kUsage, "no memory layers", model.directory(), "its config.json has no 'mem_layers', and no --memory-layers were given");
  // What a memory's keys and values depend on, beside the base: not how they are searched, nor how a text was cut.
  adapter.fingerprint = fingerprint_of("uio-fot\n" + Json{{"layers", layers}, {"positions", c.memory.has_positions}, {"dtype", name_of(c.memory.dtype)}}.dump(), {}, 1);
  return adapter;
}

Adapter choose_adapter(const ModelChoice& choice, const Model& model) {
  if (choose_method(choice) == "fot") return window_adapter(choice, model);
  Adapter adapter;
  if (choice.adapter == "fresh") {
    const SegmentShape shape = asked_segments(choice, model.config());
    adapter = fresh_adapter(model, shape.length, shape.slots);
  } else {
    const std::string directory = choice.adapter.empty() ? model.directory() + "/adapter" : choice.adapter;
    if (choice.adapter.empty() && !path_exists(directory))
      throw Error(ErrorKind::kUsage, "no adapter", model.directory(), "it has no folder 'adapter', and no --adapter was given",
                  "--adapter fresh makes an untrained one, to try things out");
    adapter = load_adapter(directory, model);
    const auto check = [&](const char* option, std::uint32_t asked, std::uint32_t has) {
      if (asked != 0 && asked != has)
        throw Error(ErrorKind::kUsage, std::string(option) + " differs from the adapter's", directory,
                    std::to_string(asked) + " asked for, " + std::to_string(has) + " trained");
    };
    check("--segment-length", choice.segment_length, adapter.config.segment_length);
    check("--memory-length", choice.memory_length, adapter.config.memory_length);
  }
  check_positions(adapter, model);
  return adapter;
}

Adapter with_segments(Adapter adapter, const SegmentShape& shape, const Model& model) {
  const std::uint32_t slots = shape.slots > 0 ? shape.slots : adapter.config.memory_length;
  if (slots != adapter.config.memory_length && adapter.memory_tokens.size(0) != 1)
    throw Error(ErrorKind::kUsage, "--memory-length differs from the adapter's", std::to_string(slots),
                "each of its " + std::to_string(adapter.config.memory_length) + " memory tokens has a row of its own", "an adapter made with --shared-row takes any number");
  adapter.config.memory_length = slots;
  if (shape.length > 0) adapter.config.segment_length = shape.length;
  check_positions(adapter, model);
  return adapter;
}

}  // namespace uio
