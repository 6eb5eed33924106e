// The kernels of each instruction set, in one binary that serves every processor.

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

bool is_available(InstructionSet isa) {
  switch (isa) {
    case InstructionSet::generic:
      return true;
#ifdef METABERT_X86
    case InstructionSet::avx2:
      __builtin_cpu_init();
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case InstructionSet::avx512:
      return is_available(InstructionSet::avx2) && __builtin_cpu_supports("avx512f") &&
             __builtin_cpu_supports("avx512dq");
#endif
    default:
      return false;
  }
}

template <typename T>
Kernels<T> kernels(InstructionSet isa) {
#ifdef METABERT_X86
  if (isa == InstructionSet::avx512) return avx512::kernels<T>();
  if (isa == InstructionSet::avx2) return avx2::kernels<T>();
#endif
  return generic::kernels<T>();
}

template Kernels<float> kernels<float>(InstructionSet);
template Kernels<double> kernels<double>(InstructionSet);

Dropout::Dropout(double p, uint64_t seed)
    : low(static_cast<uint32_t>(seed)),
      high(static_cast<uint32_t>(seed >> 32)),
      dropped_below(static_cast<uint32_t>(std::min(p * 4294967296.0, 4294967295.0))),
      scale(1.0 / (1.0 - p)) {}

}  // namespace metabert

extern "C" bool metabert_has_instruction_set(int isa) {
  return metabert::is_available(static_cast<metabert::InstructionSet>(isa));
}
