// layer_norm(dropout(x) + residual) in one pass over memory, forward and backward.

#include <ATen/ops/layer_norm.h>

#include "kernels.h"
#include "shim.h"

namespace metabert {
namespace {

// Rows whose gradients of gain and bias are summed together: fixed, so that the sums do not depend on the threads.
constexpr int64_t ROWS_IN_CHUNK = 64;

// Calls body(chunk, first row, end row) for every chunk of `rows`.
template <typename F>
void for_each_chunk(int64_t rows, F body) {
  const int64_t chunks = (rows + ROWS_IN_CHUNK - 1) / ROWS_IN_CHUNK;
  at::parallel_for(0, chunks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t chunk = begin; chunk < end; ++chunk) {
      body(chunk, chunk * ROWS_IN_CHUNK, std::min(rows, (chunk + 1) * ROWS_IN_CHUNK));
    }
  });
}

void check_norm(const at::Tensor &input, const std::optional<at::Tensor> &residual, const at::Tensor &gain,
                const at::Tensor &bias) {
  check_floating(input, "layer norm");
  TORCH_CHECK(input.dim() > 0 && input.size(-1) > 0, "layer norm: expected [.., hidden], found ", input.sizes());
  const at::IntArrayRef hidden = input.sizes().slice(input.dim() - 1);
  check_like(gain, input, hidden, "layer norm: gain");
  check_like(bias, input, hidden, "layer norm: bias");
  if (residual) check_like(*residual, input, input.sizes(), "layer norm: residual");
}

struct DropoutAddLayerNorm : public torch::autograd::Function<DropoutAddLayerNorm> {
  static at::Tensor forward(torch::autograd::AutogradContext *context, const at::Tensor &input,
                            const std::optional<at::Tensor> &residual, const at::Tensor &gain,
                            const at::Tensor &bias, double eps, double p, int64_t seed, int64_t isa) {
    check_real(input, "layer norm");
    const Dropout dropout(p, static_cast<uint64_t>(seed));
    if (dropout.is_active()) check_positions(input.numel());
    const int64_t cols = gain.numel();
    const int64_t rows = input.numel() / cols;
    const at::Tensor x = input.contiguous();
    const at::Tensor r = residual ? residual->contiguous() : at::Tensor();
    const at::Tensor g = gain.contiguous();
    const at::Tensor b = bias.contiguous();
    at::Tensor out = at::empty_like(x);
    at::Tensor normalised = at::empty_like(x);
    at::Tensor inverse_std = at::empty({rows}, x.options());
    dispatch_real(x, [&](auto scalar) {
      using T = decltype(scalar);
      const auto run = kernels<T>(static_cast<InstructionSet>(isa));
      for_each_chunk(rows, [&](int64_t, int64_t begin, int64_t end) {
        run.layer_norm(x.const_data_ptr<T>(), r.defined() ? r.const_data_ptr<T>() : nullptr, g.const_data_ptr<T>(),
                       b.const_data_ptr<T>(), static_cast<T>(eps), out.mutable_data_ptr<T>(),
                       normalised.mutable_data_ptr<T>(), inverse_std.mutable_data_ptr<T>(), begin, end, cols, dropout);
      });
    });
    context->save_for_backward({normalised, inverse_std, g});
    context->saved_data["has_residual"] = residual.has_value();
    context->saved_data["p"] = p;
    context->saved_data["seed"] = seed;
    context->saved_data["isa"] = isa;
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext *context,
                                                 torch::autograd::variable_list gradients) {
    check_first_order("fused layer norm");
    const auto saved = context->get_saved_variables();
    const at::Tensor &normalised = saved[0], &inverse_std = saved[1], &gain = saved[2];
    const Dropout dropout(context->saved_data["p"].toDouble(),
                          static_cast<uint64_t>(context->saved_data["seed"].toInt()));
    check_like(gradients[0], normalised, normalised.sizes(), "layer norm: gradient");
    const at::Tensor d_out = gradients[0].contiguous();
    const int64_t cols = gain.numel();
    const int64_t rows = inverse_std.numel();
    const int64_t chunks = (rows + ROWS_IN_CHUNK - 1) / ROWS_IN_CHUNK;
    at::Tensor d_residual = at::empty_like(normalised);
    at::Tensor d_x = dropout.is_active() ? at::empty_like(normalised) : d_residual;
    at::Tensor d_gain = at::zeros({chunks, cols}, gain.options());
    at::Tensor d_bias = at::zeros({chunks, cols}, gain.options());
    dispatch_real(normalised, [&](auto scalar) {
      using T = decltype(scalar);
      const auto run = kernels<T>(static_cast<InstructionSet>(context->saved_data["isa"].toInt()));
      for_each_chunk(rows, [&](int64_t chunk, int64_t begin, int64_t end) {
        run.layer_norm_backward(d_out.const_data_ptr<T>(), normalised.const_data_ptr<T>(),
                                inverse_std.const_data_ptr<T>(), gain.const_data_ptr<T>(), d_x.mutable_data_ptr<T>(),
                                d_residual.mutable_data_ptr<T>(), d_gain.mutable_data_ptr<T>() + chunk * cols,
                                d_bias.mutable_data_ptr<T>() + chunk * cols, begin, end, cols, dropout);
      });
    });
    const bool has_residual = context->saved_data["has_residual"].toBool();
    return {d_x,          has_residual ? d_residual : at::Tensor(), d_gain.sum(0), d_bias.sum(0), at::Tensor(),
            at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace
}  // namespace metabert

extern "C" const char *metabert_dropout_add_layer_norm(at::Tensor **out, const at::Tensor *input,
                                                       const at::Tensor *residual, const at::Tensor *gain,
                                                       const at::Tensor *bias, double eps, double p, uint64_t seed,
                                                       int isa) {
  using namespace metabert;
  return guarded([&] {
    const auto added = residual ? std::optional<at::Tensor>(*residual) : std::nullopt;
    check_norm(*input, added, *gain, *bias);
    check_probability(p);
    if (input->is_cpu()) {
      *out = new at::Tensor(DropoutAddLayerNorm::apply(*input, added, *gain, *bias, eps, p, static_cast<int64_t>(seed),
                                                       int64_t(isa)));
      return;
    }
    at::Tensor sum = p > 0.0 ? dropped_on_gpu(*input, p, seed) : *input;
    if (residual) sum = at::add(sum, *residual);
    *out = new at::Tensor(at::layer_norm(sum, gain->sizes(), *gain, *bias, eps));
  });
}
