// Picks the instruction set of the kernels at run time, so that one binary serves every processor.

#include <algorithm>

#include "kernels.h"

namespace metabert {

#define DECLARE(ISA)          \
  namespace ISA {             \
  template <typename T>       \
  Kernels<T> kernels();       \
  }
DECLARE(generic)
#ifdef METABERT_X86
DECLARE(avx2)
DECLARE(avx512)
#endif
#undef DECLARE

namespace {

template <typename T>
Kernels<T> best() {
#ifdef METABERT_X86
  __builtin_cpu_init();
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")) return avx512::kernels<T>();
  if (has_avx2) return avx2::kernels<T>();
#endif
  return generic::kernels<T>();
}

}  // namespace

template <typename T>
const Kernels<T> &kernels() {
  static const Kernels<T> chosen = best<T>();
  return chosen;
}

template const Kernels<float> &kernels<float>();
template const Kernels<double> &kernels<double>();

Dropout::Dropout(double p, uint64_t seed)
    : low(static_cast<uint32_t>(seed)),
      high(static_cast<uint32_t>(seed >> 32)),
      dropped_below(static_cast<uint32_t>(std::min(p * 4294967296.0, 4294967295.0))),
      scale(1.0 / (1.0 - p)) {}

}  // namespace metabert
