// libtorch's fused attention with a dropout mask of a given seed.

#include <ATen/Context.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include <mutex>

#include "shim.h"

namespace metabert {
namespace {

// The fused kernels draw from the device's default generator and take no other. Whoever seeds it holds this until the
// kernel has taken its seed; nothing else in the program draws from it.
std::mutex default_generator_in_use;

}  // namespace
}  // namespace metabert

extern "C" char *metabert_fused_attention(at::Tensor **out, const at::Tensor *queries, const at::Tensor *keys,
                                          const at::Tensor *values, const at::Tensor *mask, double scale, double p,
                                          uint64_t seed) {
  return metabert::guarded([&] {
    std::unique_lock in_use(metabert::default_generator_in_use, std::defer_lock);
    if (p > 0.0) {
      in_use.lock();
      at::Generator generator = at::globalContext().defaultGenerator(queries->device());
      const std::scoped_lock lock(generator.mutex());
      generator.set_current_seed(seed);
    }
    *out = new at::Tensor(
        at::scaled_dot_product_attention(*queries, *keys, *values, *mask, p, /*is_causal=*/false, scale));
  });
}
