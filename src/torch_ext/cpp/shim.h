// What every entry point of the shim needs. Each catches every exception and returns its message (to be freed with
// metabert_free_message), or a null pointer.

#pragma once

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cstdint>
#include <cstring>
#include <exception>
#include <vector>

namespace metabert {

template <typename F>
char *guarded(F body) {
  try {
    body();
    return nullptr;
  } catch (const std::exception &error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("unknown C++ exception");
  }
}

inline void check_real(const at::Tensor &tensor, const char *what) {
  TORCH_CHECK(tensor.scalar_type() == at::kFloat || tensor.scalar_type() == at::kDouble, what,
              ": expected float32 or float64, found ", tensor.scalar_type());
}

// A backward pass that is not itself differentiable must not be asked for a second derivative.
inline void check_first_order(const char *what) {
  TORCH_CHECK(!at::GradMode::is_enabled(), what, ": has no second derivative");
}

// Calls body(scalar) with a value of the tensor's dtype, which check_real has let through.
template <typename F>
void dispatch_real(const at::Tensor &tensor, F body) {
  if (tensor.scalar_type() == at::kFloat) {
    body(float());
  } else {
    body(double());
  }
}

}  // namespace metabert
