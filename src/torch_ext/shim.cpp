// What tch lacks of libtorch: the fused Adam kernels, and dropout whose mask is a function of
// (seed, element) alone. Every entry point catches every exception and returns its message
// (to be freed with metabert_free_message) or a null pointer.

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <exception>
#include <vector>

namespace {

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

std::vector<at::Tensor> list(at::Tensor *const *tensors, size_t count) {
  std::vector<at::Tensor> out;
  out.reserve(count);
  for (size_t i = 0; i < count; ++i) out.push_back(*tensors[i]);
  return out;
}

// Two rounds of a 32-bit integer finaliser, each keyed by half of the seed. Multiplications of
// 32 bits vectorise where those of 64 bits do not.
inline uint32_t scramble(uint32_t x, uint32_t low, uint32_t high) {
  x += low;
  x ^= x >> 16;
  x *= 0x7feb352dU;
  x ^= x >> 15;
  x *= 0x846ca68bU;
  x ^= x >> 16;
  x ^= high;
  x *= 0x9e3779b1U;
  x ^= x >> 15;
  x *= 0x85ebca77U;
  x ^= x >> 13;
  return x;
}

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define METABERT_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define METABERT_CLONES
#endif

#define METABERT_DEFINE_MASKED(NAME, T)                                                          \
  METABERT_CLONES void NAME(const T *in, T *out, int64_t begin, int64_t end, uint32_t low,       \
                            uint32_t high, uint32_t dropped_below, T scale) {                    \
    for (int64_t i = begin; i < end; ++i) {                                                      \
      const T kept = scramble(static_cast<uint32_t>(i), low, high) >= dropped_below ? scale : T(0); \
      out[i] = in[i] * kept;                                                                     \
    }                                                                                            \
  }
METABERT_DEFINE_MASKED(masked_float, float)
METABERT_DEFINE_MASKED(masked_double, double)

at::Tensor masked(const at::Tensor &input, double p, uint64_t seed) {
  const at::Tensor x = input.contiguous();
  at::Tensor out = at::empty_like(x);
  const auto low = static_cast<uint32_t>(seed);
  const auto high = static_cast<uint32_t>(seed >> 32);
  const auto dropped_below = static_cast<uint32_t>(std::min(p * 4294967296.0, 4294967295.0));
  const double scale = 1.0 / (1.0 - p);
  TORCH_CHECK(x.numel() <= int64_t(UINT32_MAX), "dropout: more than 2^32 elements");
  TORCH_CHECK(x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble,
              "dropout: expected float32 or float64, found ", x.scalar_type());
  at::parallel_for(0, x.numel(), 1 << 15, [&](int64_t begin, int64_t end) {
    if (x.scalar_type() == at::kFloat) {
      masked_float(x.const_data_ptr<float>(), out.mutable_data_ptr<float>(), begin, end, low, high,
                   dropped_below, static_cast<float>(scale));
    } else {
      masked_double(x.const_data_ptr<double>(), out.mutable_data_ptr<double>(), begin, end, low,
                    high, dropped_below, scale);
    }
  });
  return out;
}

// The mask is computed again in the backward pass: cheaper than keeping it. The backward pass is
// this same function of the gradient, which makes it differentiable once more.
struct CounterDropout : public torch::autograd::Function<CounterDropout> {
  static at::Tensor forward(torch::autograd::AutogradContext *context, const at::Tensor &input,
                            double p, int64_t seed) {
    context->saved_data["p"] = p;
    context->saved_data["seed"] = seed;
    return masked(input, p, static_cast<uint64_t>(seed));
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext *context,
                                                 torch::autograd::variable_list gradients) {
    const double p = context->saved_data["p"].toDouble();
    const int64_t seed = context->saved_data["seed"].toInt();
    return {CounterDropout::apply(gradients[0], p, seed), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

extern "C" {

void metabert_free_message(char *message) { free(message); }

char *metabert_dropout(at::Tensor **out, const at::Tensor *input, double p, uint64_t seed) {
  return guarded([&] {
    *out = new at::Tensor(CounterDropout::apply(*input, p, static_cast<int64_t>(seed)));
  });
}

char *metabert_fused_adam(at::Tensor *const *params, at::Tensor *const *gradients,
                          at::Tensor *const *first_moments, at::Tensor *const *second_moments,
                          size_t count, const at::Tensor *step, double lr, double beta1,
                          double beta2, double weight_decay, double eps, int decoupled) {
  return guarded([&] {
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
