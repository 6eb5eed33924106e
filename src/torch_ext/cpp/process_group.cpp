// Several processes as one group: libtorch's c10d with its TCP store, and Gloo to move tensors between CPUs.

#define USE_C10D_GLOO

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "shim.h"

// Of libtorch's core: messages below this level are not printed.
extern int32_t FLAGS_caffe2_log_level;

namespace {

// c10d prints warnings and stack traces of what it also throws. TORCH_CPP_LOG_LEVEL brings them back.
void silence_logging() {
  constexpr int32_t fatal = 3;
  if (std::getenv("TORCH_CPP_LOG_LEVEL") == nullptr) FLAGS_caffe2_log_level = fatal;
}

struct Store {
  c10::intrusive_ptr<c10d::Store> keys;
};

struct Group {
  c10::intrusive_ptr<c10d::Backend> backend;
};

// Refuses what cannot be sent as it lies in memory.
at::Tensor check_buffer(const at::Tensor &tensor, const char *name) {
  metabert::check_dense(tensor, name);
  TORCH_CHECK(tensor.is_cpu() && tensor.is_contiguous() && tensor.dim() == 1, name,
              ": expected a contiguous vector on the CPU");
  return tensor;
}

// Waits for the collective that `start` begins. c10d's flight recorder, one for the whole process, notes the beginning in a map
// that it does not lock: groups of several threads would write to it at once.
template <typename F>
void finish(F start) {
  static std::mutex starting;
  c10::intrusive_ptr<c10d::Work> work;
  {
    const std::lock_guard<std::mutex> guard(starting);
    work = start();
  }
  work->wait();
}

int64_t total(const std::vector<int64_t> &sizes) {
  int64_t sum = 0;
  for (const int64_t size : sizes) {
    TORCH_CHECK(size >= 0, "expected sizes of at least 0, found ", size);
    sum += size;
  }
  return sum;
}

}  // namespace

extern "C" {

// Opens a TCP store, or connects to it. `prefix` keeps its keys apart from those of others.
const char *metabert_store_open(Store **out, const char *host, uint16_t port, bool hosts_store, const char *prefix,
                                int64_t timeout_ms) {
  return metabert::guarded([&] {
    silence_logging();
    c10d::TCPStoreOptions options;
    options.port = port;
    options.isServer = hosts_store;
    options.waitWorkers = false;
    options.timeout = std::chrono::milliseconds(timeout_ms);
    auto tcp = c10::make_intrusive<c10d::TCPStore>(host, options);
    auto store = std::make_unique<Store>();
    store->keys = c10::make_intrusive<c10d::PrefixStore>(prefix, std::move(tcp));
    *out = store.release();
  });
}

void metabert_store_close(Store *store) {
  // A destructor that throws would end the process.
  metabert::guarded([&] { delete store; });
}

// Leaves a number under a key.
const char *metabert_store_set(Store *store, const char *key, int64_t number) {
  return metabert::guarded([&] {
    const std::string text = std::to_string(number);
    store->keys->set(key, std::vector<uint8_t>(text.begin(), text.end()));
  });
}

// The number under a key, if there is one within `timeout_ms`.
const char *metabert_store_get(Store *store, const char *key, int64_t timeout_ms, bool *found, int64_t *number) {
  *found = false;
  return metabert::guarded([&] {
    try {
      store->keys->wait({key}, std::chrono::milliseconds(timeout_ms));
    } catch (const c10::DistStoreError &) {
      return;  // The time is over.
    }
    const std::vector<uint8_t> value = store->keys->get(key);
    *number = std::stoll(std::string(value.begin(), value.end()));
    *found = true;
  });
}

// Connects to the other processes, which meet at the store.
const char *metabert_group_join(Group **out, Store *store, const char *address, int rank, int size,
                                int64_t timeout_ms) {
  return metabert::guarded([&] {
    TORCH_CHECK(size >= 1 && rank >= 0 && rank < size, "expected a rank below ", size, ", found ", rank);
    const std::chrono::milliseconds timeout(timeout_ms);
    // The default goes by GLOO_SOCKET_IFNAME, or else by the machine's name.
    auto options = *address == '\0' ? c10d::ProcessGroupGloo::Options::create_default(timeout)
                                    : c10d::ProcessGroupGloo::Options::create(timeout);
    if (*address != '\0') {
      options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(address));
    }
    auto group = std::make_unique<Group>();
    group->backend = c10::make_intrusive<c10d::ProcessGroupGloo>(store->keys, rank, size, std::move(options));
    *out = group.release();
  });
}

void metabert_group_leave(Group *group) {
  metabert::guarded([&] { delete group; });
}

// `output`, `[size * n]`, gets the `input`s, `[n]`, of all ranks in order.
const char *metabert_group_all_gather(Group *group, const at::Tensor *input, const at::Tensor *output) {
  return metabert::guarded([&] {
    at::Tensor from = check_buffer(*input, "input"), to = check_buffer(*output, "output");
    TORCH_CHECK(to.numel() == from.numel() * group->backend->getSize() && to.scalar_type() == from.scalar_type(),
                "all-gather: expected an output of ", group->backend->getSize(), " inputs, found another size or dtype");
    auto parts = to.chunk(group->backend->getSize());
    std::vector<std::vector<at::Tensor>> outputs{{parts.begin(), parts.end()}};
    std::vector<at::Tensor> inputs{from};
    finish([&] { return group->backend->allgather(outputs, inputs); });
  });
}

// Each rank gets its part of the `input` of every rank; the parts have the sizes given, in elements.
const char *metabert_group_all_to_all(Group *group, const at::Tensor *input, const int64_t *input_sizes,
                                      const at::Tensor *output, const int64_t *output_sizes) {
  return metabert::guarded([&] {
    at::Tensor from = check_buffer(*input, "input"), to = check_buffer(*output, "output");
    const int size = group->backend->getSize();
    std::vector<int64_t> sent(input_sizes, input_sizes + size), got(output_sizes, output_sizes + size);
    TORCH_CHECK(total(sent) == from.numel() && total(got) == to.numel() && to.scalar_type() == from.scalar_type(),
                "all-to-all: expected buffers of the sizes of their parts, found others");
    finish([&] { return group->backend->alltoall_base(to, from, got, sent); });
  });
}

// `tensor` of rank `root` replaces those of the other ranks.
const char *metabert_group_broadcast(Group *group, const at::Tensor *tensor, int root) {
  return metabert::guarded([&] {
    std::vector<at::Tensor> tensors{check_buffer(*tensor, "tensor")};
    c10d::BroadcastOptions options;
    options.rootRank = root;
    finish([&] { return group->backend->broadcast(tensors, options); });
  });
}

}  // extern "C"
