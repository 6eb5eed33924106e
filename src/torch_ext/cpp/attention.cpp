// Self-attention over texts packed end to end: one small product for each text and group of heads, so that no padded
// element is ever computed.

#include <ATen/ops/bmm.h>
#include <c10/util/safe_numerics.h>

#include "kernels.h"
#include "shim.h"

namespace metabert {
namespace {

// A task is one text and this many heads: enough tasks to share among threads, few enough for their fixed cost.
constexpr int64_t HEADS_IN_TASK = 4;

// Row r of `fused` holds a token's queries (where all rows ask), keys and values side by side; with queries apart there
// is one row of them for each text.
struct Shape {
  std::vector<int64_t> lengths;
  int64_t num_heads;
  int64_t hidden;
  bool has_queries_apart;
  // The attention weights of all texts and heads.
  int64_t num_weights;

  int64_t head_dim() const { return hidden / num_heads; }
  int64_t num_queries(size_t text) const { return has_queries_apart ? 1 : lengths[text]; }
  int64_t keys_column() const { return has_queries_apart ? 0 : hidden; }
  int64_t groups() const { return (num_heads + HEADS_IN_TASK - 1) / HEADS_IN_TASK; }
};

// One text and some of its heads.
struct Task {
  int64_t first_head, heads;
  int64_t length, first_row;
  int64_t queries, first_query;
  // Where the task's attention weights, [heads, queries, length], begin among those of all tasks.
  int64_t first_weight;

  int64_t num_weights() const { return heads * queries * length; }
};

// The shapes of one call, all checked.
Shape shape_of(const at::Tensor &fused, const at::Tensor &queries, at::IntArrayRef lengths, int64_t num_heads) {
  check_real(fused, "packed attention");
  const bool has_queries_apart = queries.defined();
  const int64_t parts = has_queries_apart ? 2 : 3;
  TORCH_CHECK(fused.dim() == 2 && fused.size(1) % parts == 0, "packed attention: expected [tokens, ", parts,
              " * hidden], found ", fused.sizes());
  const int64_t tokens = fused.size(0), hidden = fused.size(1) / parts;
  TORCH_CHECK(num_heads >= 1 && hidden >= 1 && hidden % num_heads == 0,
              "packed attention: expected a number of heads that divides the hidden size ", hidden, ", found ",
              num_heads);
  const auto texts = static_cast<int64_t>(lengths.size());
  if (has_queries_apart) check_like(queries, fused, {texts, hidden}, "packed attention: queries");
  int64_t sum = 0, num_weights = 0;
  for (const int64_t length : lengths) {
    TORCH_CHECK(length >= 1, "packed attention: expected texts of at least one token, found a length of ", length);
    TORCH_CHECK(length <= tokens - sum, "packed attention: expected lengths that sum to ", tokens,
                ", found a larger sum");
    sum += length;
    int64_t weights = 0;
    const bool is_too_many = c10::mul_overflows(has_queries_apart ? 1 : length, length, &weights) ||
                             c10::mul_overflows(weights, num_heads, &weights) ||
                             c10::add_overflows(num_weights, weights, &num_weights);
    TORCH_CHECK(!is_too_many, "packed attention: expected fewer than 2^63 attention weights, found a text of ", length,
                " tokens");
  }
  TORCH_CHECK(sum == tokens, "packed attention: expected lengths that sum to ", tokens, ", found ", sum);
  return {lengths.vec(), num_heads, hidden, has_queries_apart, num_weights};
}

std::vector<Task> tasks_of(const Shape &shape) {
  std::vector<Task> tasks;
  int64_t row = 0, query = 0, weight = 0;
  for (size_t text = 0; text < shape.lengths.size(); ++text) {
    const int64_t length = shape.lengths[text], queries = shape.num_queries(text);
    for (int64_t head = 0; head < shape.num_heads; head += HEADS_IN_TASK) {
      const int64_t heads = std::min(HEADS_IN_TASK, shape.num_heads - head);
      tasks.push_back({head, heads, length, row, queries, query, weight});
      weight += tasks.back().num_weights();
    }
    row += length;
    query += queries;
  }
  return tasks;
}

// The [heads, rows, head_dim] view of some columns of a matrix.
at::Tensor heads_of(const at::Tensor &matrix, const Shape &shape, const Task &task, int64_t first_column,
                    int64_t first_row, int64_t rows) {
  const int64_t stride = matrix.size(1), dim = shape.head_dim();
  return matrix.as_strided({task.heads, rows, dim}, {dim, stride, 1},
                           matrix.storage_offset() + first_row * stride + first_column + task.first_head * dim);
}

// The views of one task on the matrices of all.
struct Views {
  at::Tensor queries, keys, values;

  Views(const at::Tensor &fused, const at::Tensor &queries_apart, const Shape &shape, const Task &task)
      : queries(heads_of(shape.has_queries_apart ? queries_apart : fused, shape, task, 0, task.first_query,
                         task.queries)),
        keys(heads_of(fused, shape, task, shape.keys_column(), task.first_row, task.length)),
        values(heads_of(fused, shape, task, shape.keys_column() + shape.hidden, task.first_row, task.length)) {}
};

template <typename F>
void for_each_task(const std::vector<Task> &tasks, F body) {
  at::parallel_for(0, static_cast<int64_t>(tasks.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t index = begin; index < end; ++index) body(tasks[index]);
  });
}

// The context, [queries, hidden]. `weights` receives the attention weights of all tasks, or is undefined where nobody
// needs them. The inputs are detached: threads do not share the caller's gradient mode.
at::Tensor attend(const at::Tensor &fused, const at::Tensor &queries, const Shape &shape, double scale,
                  const Dropout &dropout, InstructionSet isa, const at::Tensor &weights) {
  const auto tasks = tasks_of(shape);
  const int64_t rows = shape.has_queries_apart ? queries.size(0) : fused.size(0);
  at::Tensor context = at::empty({rows, shape.hidden}, fused.options());
  dispatch_real(fused, [&](auto scalar) {
    using T = decltype(scalar);
    const auto run = kernels<T>(isa);
    for_each_task(tasks, [&](const Task &task) {
      const Views in(fused, queries, shape, task);
      at::Tensor own = weights.defined()
                           ? weights.narrow(0, task.first_weight, task.num_weights())
                                 .view({task.heads, task.queries, task.length})
                           : at::empty({task.heads, task.queries, task.length}, fused.options());
      at::bmm_out(own, in.queries, in.keys.transpose(1, 2));
      at::Tensor kept = dropout.is_active() ? at::empty_like(own) : own;
      T *data = own.mutable_data_ptr<T>();
      run.softmax_dropout(data, data, kept.mutable_data_ptr<T>(), task.heads * task.queries, task.length,
                          static_cast<T>(scale), task.first_weight, dropout);
      heads_of(context, shape, task, 0, task.first_query, task.queries).copy_(at::bmm(kept, in.values));
    });
  });
  return context;
}

struct PackedAttention : public torch::autograd::Function<PackedAttention> {
  static at::Tensor forward(torch::autograd::AutogradContext *context, const at::Tensor &fused,
                            const std::optional<at::Tensor> &queries_apart, at::IntArrayRef lengths,
                            int64_t num_heads, double scale, double p, int64_t seed, int64_t isa) {
    const at::Tensor queries = queries_apart.value_or(at::Tensor());
    const Shape shape = shape_of(fused, queries, lengths, num_heads);
    const at::Tensor packed = fused.detach().contiguous();
    const at::Tensor apart = queries.defined() ? queries.detach().contiguous() : queries;
    const at::Tensor weights = at::empty({shape.num_weights}, packed.options());
    const Dropout dropout(p, static_cast<uint64_t>(seed));
    context->save_for_backward({packed, apart, weights});
    context->saved_data["lengths"] = lengths.vec();
    context->saved_data["num_heads"] = num_heads;
    context->saved_data["scale"] = scale;
    context->saved_data["p"] = p;
    context->saved_data["seed"] = seed;
    context->saved_data["isa"] = isa;
    return attend(packed, apart, shape, scale, dropout, static_cast<InstructionSet>(isa), weights);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext *context,
                                                 torch::autograd::variable_list gradients) {
    check_first_order("packed attention");
    const auto saved = context->get_saved_variables();
    const at::Tensor fused = saved[0].detach(), weights = saved[2].detach();
    const at::Tensor queries = saved[1].defined() ? saved[1].detach() : saved[1];
    const std::vector<int64_t> lengths = context->saved_data["lengths"].toIntVector();
    const Shape shape = shape_of(fused, queries, lengths, context->saved_data["num_heads"].toInt());
    const double scale = context->saved_data["scale"].toDouble();
    const Dropout dropout(context->saved_data["p"].toDouble(),
                          static_cast<uint64_t>(context->saved_data["seed"].toInt()));
    const int64_t rows = queries.defined() ? queries.size(0) : fused.size(0);
    check_like(gradients[0], fused, {rows, shape.hidden}, "packed attention: gradient");
    const at::Tensor d_context = gradients[0].detach().contiguous();
    at::Tensor d_fused = at::empty_like(fused);
    at::Tensor d_queries = queries.defined() ? at::empty_like(queries) : queries;
    dispatch_real(fused, [&](auto scalar) {
      using T = decltype(scalar);
      const auto run = kernels<T>(static_cast<InstructionSet>(context->saved_data["isa"].toInt()));
      for_each_task(tasks_of(shape), [&](const Task &task) {
        const Views in(fused, queries, shape, task);
        const Views out(d_fused, d_queries, shape, task);
        const at::Tensor own = weights.narrow(0, task.first_weight, task.num_weights())
                                   .view({task.heads, task.queries, task.length});
        at::Tensor kept = own;
        if (dropout.is_active()) {
          // Computed again: cheaper than keeping a second set of weights.
          kept = at::empty_like(own);
          run.drop(own.const_data_ptr<T>(), kept.mutable_data_ptr<T>(), task.num_weights(), task.first_weight, dropout);
        }
        const at::Tensor d_own = heads_of(d_context, shape, task, 0, task.first_query, task.queries);
        out.values.copy_(at::bmm(kept.transpose(1, 2), d_own));
        at::Tensor d_scores = at::bmm(d_own, in.values.transpose(1, 2));
        run.softmax_dropout_backward(own.const_data_ptr<T>(), d_scores.mutable_data_ptr<T>(), task.heads * task.queries,
                                     task.length, static_cast<T>(scale), task.first_weight, dropout);
        out.queries.copy_(at::bmm(d_scores, in.keys));
        out.keys.copy_(at::bmm(d_scores.transpose(1, 2), in.queries));
      });
    });
    return {d_fused,      d_queries,    at::Tensor(), at::Tensor(),
            at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace
}  // namespace metabert

extern "C" const char *metabert_packed_attention(at::Tensor **out, const at::Tensor *fused, const at::Tensor *queries,
                                                 const int64_t *lengths, size_t num_texts, int64_t num_heads,
                                                 double scale, double p, uint64_t seed, int isa) {
  using namespace metabert;
  return guarded([&] {
    const at::Tensor apart = queries ? *queries : at::Tensor();
    const at::IntArrayRef sizes(lengths, num_texts);
    if (queries) check_dense(apart, "packed attention: queries");
    const Shape shape = shape_of(*fused, apart, sizes, num_heads);
    check_scale(scale);
    check_probability(p);
    const Dropout dropout(p, seed);
    if (dropout.is_active()) check_positions(shape.num_weights);
    if (at::GradMode::is_enabled()) {
      const auto given = queries ? std::optional(apart) : std::nullopt;
      *out = new at::Tensor(PackedAttention::apply(*fused, given, sizes, num_heads, scale, p,
                                                   static_cast<int64_t>(seed), int64_t(isa)));
      return;
    }
    const at::Tensor detached = queries ? queries->detach().contiguous() : at::Tensor();
    *out = new at::Tensor(attend(fused->detach().contiguous(), detached, shape, scale, dropout,
                                 static_cast<InstructionSet>(isa), at::Tensor()));
  });
}
