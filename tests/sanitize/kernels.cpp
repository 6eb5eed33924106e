// Runs every kernel, for every instruction set of this machine, on heap buffers of exactly the size that kernels.h asks
// for: compiled with sanitizers, a single element read or written outside of one ends the program. With an argument it
// reads one element too many on purpose.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <memory>
#include <string>

#include "kernels.h"
#include "message.h"

using namespace metabert;

// Numbers that a healthy model has, and those of one that has diverged.
enum class Numbers { usual, diverged };

template <typename T>
std::unique_ptr<T[]> buffer(int64_t count, Numbers numbers = Numbers::usual) {
  const T wild[] = {std::numeric_limits<T>::quiet_NaN(), std::numeric_limits<T>::infinity(),
                    -std::numeric_limits<T>::infinity(), std::numeric_limits<T>::max()};
  std::unique_ptr<T[]> out(new T[count]);
  for (int64_t i = 0; i < count; ++i) {
    out[i] = numbers == Numbers::diverged && i % 5 == 0 ? wild[i / 5 % 4] : T(i * 37 % 101 - 50) / T(7);
  }
  return out;
}

template <typename T>
void run(const Kernels<T> &kernels, int64_t rows, int64_t cols, const Dropout &dropout, Numbers numbers) {
  const int64_t count = rows * cols;
  const T scale = T(0.3), eps = T(1e-12);
  // A mask may start anywhere, and its last position is 2^32 - 1.
  const int64_t first = (int64_t(1) << 32) - count;
  const auto x = buffer<T>(count, numbers), residual = buffer<T>(count, numbers), gain = buffer<T>(cols);
  const auto inverse_std = buffer<T>(rows);
  auto a = buffer<T>(count), b = buffer<T>(count), d_gain = buffer<T>(cols), d_bias = buffer<T>(cols);

  kernels.drop(x.get(), a.get(), count, first, dropout);
  kernels.drop(a.get(), a.get(), count, 0, dropout);
  kernels.softmax_dropout(x.get(), a.get(), b.get(), rows, cols, scale, first, dropout);
  kernels.softmax_dropout(a.get(), a.get(), b.get(), rows, cols, scale, first, dropout);
  kernels.softmax_dropout_backward(a.get(), b.get(), rows, cols, scale, first, dropout);

  // In two chunks, as threads share the rows.
  const int64_t middle = rows / 2;
  for (const T *added : {static_cast<const T *>(nullptr), static_cast<const T *>(residual.get())}) {
    for (const auto &[begin, end] : {std::pair(int64_t(0), middle), std::pair(middle, rows)}) {
      kernels.layer_norm(x.get(), added, gain.get(), gain.get(), eps, a.get(), b.get(), inverse_std.get(), begin, end,
                         cols, dropout);
    }
  }
  const auto d_x = buffer<T>(count), d_residual = buffer<T>(count);
  for (const auto &[begin, end] : {std::pair(int64_t(0), middle), std::pair(middle, rows)}) {
    kernels.layer_norm_backward(a.get(), b.get(), inverse_std.get(), gain.get(), d_x.get(), d_residual.get(),
                                d_gain.get(), d_bias.get(), begin, end, cols, dropout);
  }
}

template <typename T>
void run_all(InstructionSet isa) {
  const Kernels<T> chosen = kernels<T>(isa);
  for (const double p : {0.0, 0.1, 0.999}) {
    for (const int64_t rows : {0, 1, 2, 5}) {
      for (int64_t cols = 1; cols <= 70; ++cols) {
        for (const Numbers numbers : {Numbers::usual, Numbers::diverged}) {
          run(chosen, rows, cols, Dropout(p, 0x123456789abcdef0), numbers);
        }
      }
    }
  }
}

// A message is cut where it is too long, and never missing: a null pointer would mean success.
void check_messages() {
  for (const size_t length : {0, 1, 4095, 4096, 4097, 1 << 20}) {
    const char *kept = keep_message(std::string(length, 'x').c_str());
    if (kept == nullptr || std::strlen(kept) != std::min(length, size_t(4095))) {
      std::printf("a message of %zu characters is not kept\n", length);
      std::exit(1);
    }
  }
}

int main(int count, char **) {
  const bool is_overrun = count > 1;
  if (is_overrun) {
    const auto x = buffer<float>(33), y = buffer<float>(33);
    kernels<float>(InstructionSet::generic).drop(x.get(), y.get(), 34, 0, Dropout(0.1, 1));
    return 0;
  }
  check_messages();
  const char *names[] = {"generic", "avx2", "avx512"};
  for (const auto isa : {InstructionSet::generic, InstructionSet::avx2, InstructionSet::avx512}) {
    const bool is_run = is_available(isa);
    if (is_run) {
      run_all<float>(isa);
      run_all<double>(isa);
    }
    std::printf("%s: %s\n", names[static_cast<int>(isa)], is_run ? "clean" : "not on this processor");
  }
}
