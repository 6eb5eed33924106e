// libtorch's fused attention with a dropout mask of a given seed.

#include <ATen/Context.h>
#include <ATen/ExpandUtils.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include <mutex>

#include "shim.h"

namespace metabert {
namespace {

// The fused kernels draw from the device's default generator and take no other. Whoever seeds it holds this until the
// kernel has taken its seed; nothing else in the program draws from it.
std::mutex default_generator_in_use;

void check_parts(const at::Tensor &queries, const at::Tensor &keys, const at::Tensor &values, const at::Tensor &mask) {
  check_floating(queries, "fused attention: queries");
  check_dense(keys, "fused attention: keys");
  TORCH_CHECK(queries.dim() == 4 && keys.dim() == 4,
              "fused attention: expected queries and keys [batch, heads, rows, head_dim], found ", queries.sizes(),
              " and ", keys.sizes());
  const int64_t batch = queries.size(0), heads = queries.size(1), rows = keys.size(2), head_dim = queries.size(3);
  TORCH_CHECK(heads > 0 && rows > 0 && head_dim > 0,
              "fused attention: expected heads, keys and columns, found queries ", queries.sizes(), " and keys ",
              keys.sizes());
  check_like(keys, queries, {batch, heads, rows, head_dim}, "fused attention: keys");
  check_like(values, queries, keys.sizes(), "fused attention: values");
  check_like(mask, queries, mask.sizes(), "fused attention: mask");
  TORCH_CHECK(mask.dim() >= 2 && at::is_expandable_to(mask.sizes(), {batch, heads, queries.size(2), rows}),
              "fused attention: mask: expected a shape that expands to ",
              at::IntArrayRef({batch, heads, queries.size(2), rows}), ", found ", mask.sizes());
}

}  // namespace
}  // namespace metabert

extern "C" const char *metabert_fused_attention(at::Tensor **out, const at::Tensor *queries, const at::Tensor *keys,
                                                const at::Tensor *values, const at::Tensor *mask, double scale,
                                                double p, uint64_t seed) {
  return metabert::guarded([&] {
    metabert::check_parts(*queries, *keys, *values, *mask);
    metabert::check_scale(scale);
    metabert::check_probability(p);
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
