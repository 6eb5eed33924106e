// The bodies of the kernels. This file is compiled once for each instruction set, with METABERT_ISA as its name.
//
// Reductions are marked for the compiler to reorder into vector lanes, which it may not do unasked.

#include "kernels.h"

#include <cmath>
#include <cstring>

#define INLINE inline __attribute__((always_inline))

namespace metabert::METABERT_ISA {
namespace {

// Two rounds of a 32-bit integer finaliser, each keyed by half of the seed. Multiplications of 32 bits vectorise where
// those of 64 bits do not.
INLINE uint32_t scramble(uint32_t x, uint32_t low, uint32_t high) {
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

template <typename T>
INLINE T mask(uint32_t position, const Dropout &dropout, T scale) {
  const uint32_t bits = scramble(position, dropout.low, dropout.high);
  return bits >= dropout.dropped_below ? scale : T(0);
}

// exp for arguments of at most 0, to about two units in the last place: 2^n times a polynomial (Cephes). Unlike the
// library's it vectorises.
INLINE float exp_of(float x) {
  const float clamped = x < -87.0f ? -87.0f : x;
  // Adding 1.5 * 2^23 rounds to an integer, which the lowest bits of the sum then hold. Taking it from there, and not by
  // a conversion, is defined for NaN too.
  const float shifted = clamped * 1.44269504088896341f + 12582912.0f;
  const float n = shifted - 12582912.0f;
  const float r = clamped - n * 0.693359375f + n * 2.12194440e-4f;
  float y = 1.9875691500e-4f;
  y = y * r + 1.3981999507e-3f;
  y = y * r + 8.3334519073e-3f;
  y = y * r + 4.1665795894e-2f;
  y = y * r + 1.6666665459e-1f;
  y = y * r + 5.0000001201e-1f;
  y = y * r * r + r + 1.0f;
  uint32_t bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + 127) << 23;
  float power;
  std::memcpy(&power, &bits, sizeof power);
  return x < -87.0f ? 0.0f : y * power;
}

INLINE double exp_of(double x) { return std::exp(x); }

// `count` elements of which the first has mask position `first`.
template <typename T>
INLINE void drop(const T *in, T *out, int64_t count, int64_t first, const Dropout &dropout) {
  const Dropout local = dropout;
  const T kept = static_cast<T>(local.scale);
  const auto start = static_cast<uint32_t>(first);
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) out[i] = in[i] * mask(start + static_cast<uint32_t>(i), local, kept);
}

template <typename T>
void softmax_dropout(const T *scores, T *weights, T *dropped, int64_t rows, int64_t cols, T scale,
                                 int64_t first, const Dropout &dropout) {
  for (int64_t row = 0; row < rows; ++row) {
    const T *in = scores + row * cols;
    T *out = weights + row * cols;
    T top = in[0];
#pragma omp simd reduction(max : top)
    for (int64_t i = 0; i < cols; ++i) top = in[i] > top ? in[i] : top;
    T sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < cols; ++i) {
      const T power = exp_of((in[i] - top) * scale);
      out[i] = power;
      sum += power;
    }
    const T inverse = T(1) / sum;
#pragma omp simd
    for (int64_t i = 0; i < cols; ++i) out[i] *= inverse;
    if (dropout.is_active()) drop(out, dropped + row * cols, cols, first + row * cols, dropout);
  }
}

template <typename T>
void softmax_dropout_backward(const T *weights, T *gradient, int64_t rows, int64_t cols, T scale,
                                          int64_t first, const Dropout &dropout) {
  for (int64_t row = 0; row < rows; ++row) {
    const T *p = weights + row * cols;
    T *g = gradient + row * cols;
    if (dropout.is_active()) drop(g, g, cols, first + row * cols, dropout);
    T dot = 0;
#pragma omp simd reduction(+ : dot)
    for (int64_t i = 0; i < cols; ++i) dot += p[i] * g[i];
#pragma omp simd
    for (int64_t i = 0; i < cols; ++i) g[i] = p[i] * (g[i] - dot) * scale;
  }
}

template <typename T>
void layer_norm(const T *x, const T *residual, const T *gain, const T *bias, T eps, T *out,
                            T *normalised, T *inverse_std, int64_t begin, int64_t end, int64_t cols,
                            const Dropout &dropout) {
  for (int64_t row = begin; row < end; ++row) {
    const int64_t at = row * cols;
    T *z = normalised + at;
    if (dropout.is_active()) {
      drop(x + at, z, cols, at, dropout);
    } else {
      std::memcpy(z, x + at, cols * sizeof(T));
    }
    if (residual != nullptr) {
      const T *r = residual + at;
#pragma omp simd
      for (int64_t i = 0; i < cols; ++i) z[i] += r[i];
    }
    T mean = 0;
#pragma omp simd reduction(+ : mean)
    for (int64_t i = 0; i < cols; ++i) mean += z[i];
    mean /= cols;
    // Two passes: the mean of squares minus the square of the mean cancels.
    T variance = 0;
#pragma omp simd reduction(+ : variance)
    for (int64_t i = 0; i < cols; ++i) variance += (z[i] - mean) * (z[i] - mean);
    variance /= cols;
    const T inverse = T(1) / std::sqrt(variance + eps);
    inverse_std[row] = inverse;
    T *o = out + at;
#pragma omp simd
    for (int64_t i = 0; i < cols; ++i) {
      z[i] = (z[i] - mean) * inverse;
      o[i] = z[i] * gain[i] + bias[i];
    }
  }
}

template <typename T>
void layer_norm_backward(const T *d_out, const T *normalised, const T *inverse_std, const T *gain, T *d_x,
                                     T *d_residual, T *d_gain, T *d_bias, int64_t begin, int64_t end, int64_t cols,
                                     const Dropout &dropout) {
  for (int64_t row = begin; row < end; ++row) {
    const int64_t at = row * cols;
    const T *d = d_out + at;
    const T *z = normalised + at;
    T *r = d_residual + at;
    T mean = 0, slope = 0;
#pragma omp simd reduction(+ : mean, slope)
    for (int64_t i = 0; i < cols; ++i) {
      const T inner = d[i] * gain[i];
      d_gain[i] += d[i] * z[i];
      d_bias[i] += d[i];
      r[i] = inner;
      mean += inner;
      slope += inner * z[i];
    }
    mean /= cols;
    slope /= cols;
    const T inverse = inverse_std[row];
#pragma omp simd
    for (int64_t i = 0; i < cols; ++i) r[i] = (r[i] - mean - z[i] * slope) * inverse;
    if (dropout.is_active()) drop(r, d_x + at, cols, at, dropout);
  }
}

}  // namespace

template <typename T>
Kernels<T> kernels() {
  return {drop<T>, softmax_dropout<T>, softmax_dropout_backward<T>, layer_norm<T>,
          layer_norm_backward<T>};
}

template Kernels<float> kernels<float>();
template Kernels<double> kernels<double>();

}  // namespace metabert::METABERT_ISA
