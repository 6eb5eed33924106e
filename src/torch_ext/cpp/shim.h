// Shared parts of the shim's entry points. Each catches every exception and returns its text (see message.h), or a null
// pointer, and checks all that its kernels rely on: nothing that safe Rust passes makes them crash, or read or write
// outside a tensor.

#pragma once

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cstdint>
#include <exception>
#include <limits>
#include <vector>

#include "message.h"

namespace metabert {

template <typename F>
const char *guarded(F body) {
  try {
    body();
    return nullptr;
  } catch (const c10::Error &error) {
    return keep_message(error.what_without_backtrace());
  } catch (const std::exception &error) {
    return keep_message(error.what());
  } catch (...) {
    return keep_message("unknown C++ exception");
  }
}

// Refuses tensors whose elements are not plain numbers in memory: undefined, sparse, quantised, nested, lazily negated
// or zero ones, and those of other devices. All of them have dispatch keys of their own.
inline void check_dense(const at::Tensor &tensor, const char *name) {
  const auto key = (tensor.key_set() - c10::autograd_dispatch_keyset_with_ADInplaceOrView -
                    c10::autocast_dispatch_keyset)
                       .highestPriorityTypeId();
  TORCH_CHECK(key == c10::DispatchKey::CPU || key == c10::DispatchKey::CUDA, name,
              ": expected a dense tensor on a CPU or GPU, found ", key);
}

inline void check_floating(const at::Tensor &tensor, const char *name) {
  check_dense(tensor, name);
  TORCH_CHECK(tensor.is_floating_point(), name, ": expected floating-point numbers, found ", tensor.scalar_type());
}

// Refuses tensors that the kernels of this shim do not handle.
inline void check_real(const at::Tensor &tensor, const char *name) {
  check_dense(tensor, name);
  TORCH_CHECK(tensor.is_cpu(), name, ": expected a tensor on the CPU, found one on ", tensor.device());
  TORCH_CHECK(tensor.scalar_type() == at::kFloat || tensor.scalar_type() == at::kDouble, name,
              ": expected float32 or float64, found ", tensor.scalar_type());
}

// Refuses tensors of another device, dtype or shape than expected.
inline void check_like(const at::Tensor &tensor, const at::Tensor &model, at::IntArrayRef sizes, const char *name) {
  check_dense(tensor, name);
  TORCH_CHECK(tensor.device() == model.device(), name, ": expected a tensor on ", model.device(), ", found one on ",
              tensor.device());
  TORCH_CHECK(tensor.scalar_type() == model.scalar_type(), name, ": expected ", model.scalar_type(), ", found ",
              tensor.scalar_type());
  TORCH_CHECK(tensor.sizes() == sizes, name, ": expected the shape ", sizes, ", found ", tensor.sizes());
}

inline void check_probability(double p) {
  TORCH_CHECK(p >= 0.0 && p < 1.0, "dropout: expected a probability from 0 to below 1, found ", p);
}

// Attention subtracts the largest score before it scales, which only a factor of at least 0 allows.
inline void check_scale(double scale) {
  TORCH_CHECK(scale >= 0.0 && scale <= std::numeric_limits<float>::max(),
              "attention: expected a finite scale of at least 0, found ", scale);
}

// A mask is a hash of 32 bits of the position: beyond that it would repeat itself.
inline void check_positions(int64_t count) {
  TORCH_CHECK(count <= int64_t(1) << 32, "dropout: expected at most 2^32 elements, found ", count);
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
