// What can be asked of processors and GPUs through libtorch's core alone, without CUDA's headers.

#include <ATen/cpu/Utils.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "shim.h"

extern "C" {

// Whether the processor multiplies bfloat16 matrices in hardware.
char *metabert_cpu_multiplies_bf16(bool *out) {
  return metabert::guarded([&] {
    const auto capabilities = at::cpu::get_cpu_capabilities();
    const auto has = [&](const char *name) {
      const auto found = capabilities.find(name);
      return found != capabilities.end() && found->second.isBool() && found->second.toBool();
    };
    *out = has("amx_bf16") || has("avx512_bf16");
  });
}

// Gives the calling thread a stream of its own on a GPU.
char *metabert_use_stream_of_own(int device_index) {
  return metabert::guarded([&] {
    const c10::impl::VirtualGuardImpl guard(c10::DeviceType::CUDA);
    const c10::Device device(c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(device_index));
    guard.exchangeStream(guard.getStreamFromGlobalPool(device));
  });
}

// Waits until a GPU has done all that it was given.
char *metabert_synchronize(int device_index) {
  return metabert::guarded([&] {
    const c10::impl::VirtualGuardImpl guard(c10::DeviceType::CUDA);
    guard.synchronizeDevice(static_cast<c10::DeviceIndex>(device_index));
  });
}

// The largest number of bytes that tensors took on a GPU so far.
char *metabert_peak_device_bytes(int device_index, int64_t *out) {
  return metabert::guarded([&] {
    const auto stats = c10::getDeviceAllocator(c10::DeviceType::CUDA)->getDeviceStats(
        static_cast<c10::DeviceIndex>(device_index));
    *out = stats.allocated_bytes[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)].peak;
  });
}

}  // extern "C"
