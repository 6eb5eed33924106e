// libtorch's fused Adam kernels, which trust their caller: they read and write as many elements of every tensor as the
// parameter has, in the order of memory.

#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>

#include <algorithm>

#include "shim.h"

namespace metabert {
namespace {

std::vector<at::Tensor> list(const at::Tensor *const *tensors, size_t count) {
  std::vector<at::Tensor> out;
  out.reserve(count);
  for (size_t i = 0; i < count; ++i) out.push_back(*tensors[i]);
  return out;
}

void check_written(const at::Tensor &tensor, const char *name) {
  TORCH_CHECK(tensor.is_contiguous(), name, ": expected a contiguous tensor, found the strides ", tensor.strides(),
              " of the shape ", tensor.sizes());
}

// Refuses a tensor to be written that shares memory with any other tensor of the step.
void check_apart(const std::vector<std::vector<at::Tensor>> &written, const std::vector<at::Tensor> &read) {
  struct Range {
    const char *begin, *end;
    bool is_written;
  };
  std::vector<Range> ranges;
  const auto add = [&](const std::vector<at::Tensor> &tensors, bool is_written) {
    for (const at::Tensor &tensor : tensors) {
      const auto begin = static_cast<const char *>(tensor.const_data_ptr());
      if (tensor.numel() > 0) ranges.push_back({begin, begin + tensor.nbytes(), is_written});
    }
  };
  for (const auto &tensors : written) add(tensors, true);
  add(read, false);
  std::sort(ranges.begin(), ranges.end(), [](const Range &a, const Range &b) { return a.begin < b.begin; });
  const char *end_of_written = nullptr, *end_of_read = nullptr;
  for (const Range &range : ranges) {
    TORCH_CHECK(range.begin >= end_of_written && (!range.is_written || range.begin >= end_of_read),
                "fused adam: expected parameters and moments with memory of their own, found shared memory");
    const char *&end = range.is_written ? end_of_written : end_of_read;
    end = std::max(end, range.end);
  }
}

}  // namespace
}  // namespace metabert

extern "C" const char *metabert_fused_adam(const at::Tensor *const *params, const at::Tensor *const *gradients,
                                           const at::Tensor *const *first_moments,
                                           const at::Tensor *const *second_moments, size_t count, double step,
                                           double lr, double beta1, double beta2, double weight_decay, double eps,
                                           bool is_decoupled) {
  using namespace metabert;
  return guarded([&] {
    const c10::NoGradGuard no_grad;
    auto p = list(params, count);
    auto g = list(gradients, count);
    auto m = list(first_moments, count);
    auto v = list(second_moments, count);
    for (size_t i = 0; i < count; ++i) {
      check_floating(p[i], "fused adam: parameter");
      check_like(p[i], p[0], p[i].sizes(), "fused adam: parameter");
      check_like(g[i], p[0], p[i].sizes(), "fused adam: gradient");
      check_like(m[i], p[0], p[i].sizes(), "fused adam: first moment");
      check_like(v[i], p[0], p[i].sizes(), "fused adam: second moment");
      check_written(p[i], "fused adam: parameter");
      check_written(m[i], "fused adam: first moment");
      check_written(v[i], "fused adam: second moment");
      g[i] = g[i].contiguous();
    }
    check_apart({p, m, v}, g);
    TORCH_CHECK(step >= 1.0, "fused adam: expected a step number of at least 1, found ", step);
    const std::vector<at::Tensor> steps(count, at::full({}, step, p[0].options().dtype(at::kFloat)));
    if (is_decoupled) {
      at::_fused_adamw_(p, g, m, v, {}, steps, lr, beta1, beta2, weight_decay, eps, false, false);
    } else {
      at::_fused_adam_(p, g, m, v, {}, steps, lr, beta1, beta2, weight_decay, eps, false, false);
    }
  });
}
