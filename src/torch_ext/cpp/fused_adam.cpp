// libtorch's fused Adam kernels.

#include "shim.h"

namespace {

std::vector<at::Tensor> list(at::Tensor *const *tensors, size_t count) {
  std::vector<at::Tensor> out;
  out.reserve(count);
  for (size_t i = 0; i < count; ++i) out.push_back(*tensors[i]);
  return out;
}

}  // namespace

extern "C" {

void metabert_free_message(char *message) { free(message); }

char *metabert_fused_adam(at::Tensor *const *params, at::Tensor *const *gradients, at::Tensor *const *first_moments,
                          at::Tensor *const *second_moments, size_t count, const at::Tensor *step, double lr,
                          double beta1, double beta2, double weight_decay, double eps, int decoupled) {
  return metabert::guarded([&] {
    const c10::NoGradGuard no_grad;
    auto p = list(params, count);
    auto g = list(gradients, count);
    auto m = list(first_moments, count);
    auto v = list(second_moments, count);
    const std::vector<at::Tensor> steps(count, *step);
    if (decoupled) {
      at::_fused_adamw_(p, g, m, v, {}, steps, lr, beta1, beta2, weight_decay, eps, false, false);
    } else {
      at::_fused_adam_(p, g, m, v, {}, steps, lr, beta1, beta2, weight_decay, eps, false, false);
    }
  });
}

}  // extern "C"
