// The loops of the CPU path: plain functions of pointers. Sums run over a fixed order of lanes, never over threads, so
// that results do not depend on how many there are. Matrices are row-major, with at least one column. Knows nothing of
// torch.

#pragma once

#include <cstdint>

namespace metabert {

// A mask element is kept where a hash of (seed, position) reaches a bound. Positions count up to 2^32; 0 <= p < 1, and
// p = 0 keeps all.
struct Dropout {
  uint32_t low;            // lower half of the seed
  uint32_t high;           // upper half of the seed
  uint32_t dropped_below;  // the bound
  double scale;            // the factor of kept elements, 1 / (1 - p)

  Dropout(double p, uint64_t seed);
  bool is_active() const { return dropped_below != 0; }
};

template <typename T>
struct Kernels {
  // out[i] = in[i] * mask[first + i] for `count` elements; `out` may be `in`.
  void (*drop)(const T *in, T *out, int64_t count, int64_t first, const Dropout &dropout);

  // For each of `rows` rows of `cols` scores: weights = softmax(scale * scores), and dropped = weights * mask, whose
  // position 0 is `first`. `scale` is at least 0. `weights` may be `scores`; without dropout `dropped` is left alone.
  void (*softmax_dropout)(const T *scores, T *weights, T *dropped, int64_t rows, int64_t cols, T scale, int64_t first,
                          const Dropout &dropout);

  // The backward pass of the above: `gradient` comes in as that of `dropped` and goes out as that of `scores`.
  void (*softmax_dropout_backward)(const T *weights, T *gradient, int64_t rows, int64_t cols, T scale, int64_t first,
                                   const Dropout &dropout);

  // Rows begin..end of out = layer_norm(dropout(x) + residual) * gain + bias, `cols` wide; `residual` may be null. Keeps
  // the normalised rows and the inverse standard deviation of each for the backward pass.
  void (*layer_norm)(const T *x, const T *residual, const T *gain, const T *bias, T eps, T *out, T *normalised,
                     T *inverse_std, int64_t begin, int64_t end, int64_t cols, const Dropout &dropout);

  // Its backward pass for rows begin..end. Without dropout `d_x` is left alone: it equals `d_residual`. Adds the rows'
  // share of the gradients of gain and bias to `d_gain` and `d_bias`.
  void (*layer_norm_backward)(const T *d_out, const T *normalised, const T *inverse_std, const T *gain, T *d_x,
                              T *d_residual, T *d_gain, T *d_bias, int64_t begin, int64_t end, int64_t cols,
                              const Dropout &dropout);
};

// An instruction set that the kernels are compiled for; src/torch_ext/instruction_set.rs has the same list.
enum class InstructionSet { generic, avx2, avx512 };

// Whether this processor has it.
bool is_available(InstructionSet isa);

// The kernels for an instruction set that is available; T is float or double.
template <typename T>
Kernels<T> kernels(InstructionSet isa);

}  // namespace metabert
