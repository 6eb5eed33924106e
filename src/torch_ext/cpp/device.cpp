// Questions to processors and GPUs through libtorch's core alone, without CUDA's headers.

#include <map>
#include <mutex>
#include <utility>

#include <ATen/cpu/Utils.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "shim.h"

namespace {

c10::Device gpu(const c10::impl::VirtualGuardImpl &guard, size_t index) {
  const auto count = static_cast<size_t>(guard.deviceCount());
  TORCH_CHECK(index < count, "expected the number of a GPU, of which there are ", count, ", found ", index);
  return {c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(index)};
}

}  // namespace

extern "C" {

// Whether the processor multiplies bfloat16 matrices in hardware.
const char *metabert_cpu_multiplies_bf16(bool *out) {
  return metabert::guarded([&] {
    const auto capabilities = at::cpu::get_cpu_capabilities();
    const auto has = [&](const char *name) {
      const auto found = capabilities.find(name);
      return found != capabilities.end() && found->second.isBool() && found->second.toBool();
    };
    *out = has("amx_bf16") || has("avx512_bf16");
  });
}

// Gives the calling thread the stream of worker number `worker` on a GPU. Always the same one: what the allocator keeps, it keeps
// for each stream.
const char *metabert_use_stream_of_worker(size_t index, size_t worker) {
  return metabert::guarded([&] {
    static std::mutex mutex;
    static std::map<std::pair<size_t, size_t>, c10::Stream> streams;
    const c10::impl::VirtualGuardImpl guard(c10::DeviceType::CUDA);
    const c10::Device device = gpu(guard, index);
    const std::lock_guard<std::mutex> lock(mutex);
    auto found = streams.find({index, worker});
    if (found == streams.end())
      found = streams.emplace(std::pair{index, worker}, guard.getStreamFromGlobalPool(device)).first;
    guard.exchangeStream(found->second);
  });
}

// Makes a GPU the calling thread's current one, which libraries of CUDA go by.
const char *metabert_make_current(size_t index) {
  return metabert::guarded([&] {
    const c10::impl::VirtualGuardImpl guard(c10::DeviceType::CUDA);
    guard.setDevice(gpu(guard, index));
  });
}

// The stream that the calling thread's work on a GPU goes to, as CUDA's own handle.
const char *metabert_current_stream(size_t index, void **out) {
  return metabert::guarded([&] {
    const c10::impl::VirtualGuardImpl guard(c10::DeviceType::CUDA);
    *out = guard.getStreamNativeHandle(guard.getStream(gpu(guard, index)));
  });
}

// Whether that stream has nothing left to do.
const char *metabert_is_idle(size_t index, bool *out) {
  return metabert::guarded([&] {
    const c10::impl::VirtualGuardImpl guard(c10::DeviceType::CUDA);
    *out = guard.queryStream(guard.getStream(gpu(guard, index)));
  });
}

// Waits until a GPU has finished its work.
const char *metabert_synchronize(size_t index) {
  return metabert::guarded([&] {
    const c10::impl::VirtualGuardImpl guard(c10::DeviceType::CUDA);
    const c10::Device device = gpu(guard, index);
    // The wait returns to the device that was current, which would give a process a context on GPU 0 that has no use for it.
    const c10::DeviceGuard on(device);
    guard.synchronizeDevice(device.index());
  });
}

// The largest number of bytes that tensors took on a GPU so far.
const char *metabert_peak_device_bytes(size_t index, int64_t *out) {
  return metabert::guarded([&] {
    const c10::impl::VirtualGuardImpl guard(c10::DeviceType::CUDA);
    const c10::Device device = gpu(guard, index);
    const auto stats = c10::getDeviceAllocator(device.type())->getDeviceStats(device.index());
    *out = stats.allocated_bytes[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)].peak;
  });
}

}  // extern "C"
