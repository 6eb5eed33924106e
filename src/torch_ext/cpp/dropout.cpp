// Dropout whose mask is a function of (seed, position) alone.

#include <ATen/Context.h>
#include <ATen/ops/_fused_dropout.h>

#include "kernels.h"
#include "shim.h"

namespace metabert {
namespace {

at::Tensor dropped(const at::Tensor &input, double p, uint64_t seed, InstructionSet isa) {
  check_real(input, "dropout");
  check_positions(input.numel());
  const at::Tensor x = input.contiguous();
  at::Tensor out = at::empty_like(x);
  const Dropout dropout(p, seed);
  dispatch_real(x, [&](auto scalar) {
    using T = decltype(scalar);
    const auto run = kernels<T>(isa);
    at::parallel_for(0, x.numel(), 1 << 15, [&](int64_t begin, int64_t end) {
      run.drop(x.const_data_ptr<T>() + begin, out.mutable_data_ptr<T>() + begin, end - begin, begin, dropout);
    });
  });
  return out;
}

// The mask is computed again in the backward pass: cheaper than keeping it. The backward pass is this same function of
// the gradient, which makes it differentiable once more.
struct CounterDropout : public torch::autograd::Function<CounterDropout> {
  static at::Tensor forward(torch::autograd::AutogradContext *context, const at::Tensor &input, double p,
                            int64_t seed, int64_t isa) {
    context->saved_data["p"] = p;
    context->saved_data["seed"] = seed;
    context->saved_data["isa"] = isa;
    return dropped(input, p, static_cast<uint64_t>(seed), static_cast<InstructionSet>(isa));
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext *context,
                                                 torch::autograd::variable_list gradients) {
    const double p = context->saved_data["p"].toDouble();
    const int64_t seed = context->saved_data["seed"].toInt(), isa = context->saved_data["isa"].toInt();
    return {CounterDropout::apply(gradients[0], p, seed, isa), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

// libtorch's own counter-based generator of the device, made for this one mask: threads share none.
at::Tensor dropped_on_gpu(const at::Tensor &input, double p, uint64_t seed) {
  const auto device = input.device();
  const auto &hooks = at::globalContext().getAcceleratorHooksInterface(device.type());
  at::Generator generator = hooks.getNewGenerator(device.index());
  generator.set_current_seed(seed);
  return std::get<0>(at::_fused_dropout(input, 1.0 - p, generator));
}

}  // namespace
}  // namespace metabert

extern "C" const char *metabert_dropout(at::Tensor **out, const at::Tensor *input, double p, uint64_t seed, int isa) {
  using namespace metabert;
  return guarded([&] {
    check_dense(*input, "dropout");
    check_probability(p);
    *out = new at::Tensor(input->is_cpu() ? CounterDropout::apply(*input, p, static_cast<int64_t>(seed), int64_t(isa))
                                          : dropped_on_gpu(*input, p, seed));
  });
}
