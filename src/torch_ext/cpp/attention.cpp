// Self-attention over texts packed end to end: one small product for each text and group of heads, so that no padded
// element is ever computed.

#include <ATen/ops/bmm.h>

#include "kernels.h"
#include "shim.h"

namespace metabert {
namespace {

// A task is one text and this many heads: enough tasks to share among threads, few enough for their fixed cost.
constexpr int64_t HEADS_IN_TASK = 4;

// What the passes know of the shapes. Row r of `fused` holds a token's queries (where all rows ask), keys and values side
// by side; with queries apart there is one row of them for each text.
struct Shape {
  std::vector<int64_t> lengths;
  int64_t num_heads;
  int64_t hidden;
  bool has_queries_apart;

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
                           first_row * stride + first_column + task.first_head * dim);
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
                  const Dropout &dropout, const at::Tensor &weights) {
  const auto tasks = tasks_of(shape);
  const int64_t rows = shape.has_queries_apart ? queries.size(0) : fused.size(0);
  at::Tensor context = at::empty({rows, shape.hidden}, fused.options());
  dispatch_real(fused, [&](auto scalar) {
    using T = decltype(scalar);
    for_each_task(tasks, [&](const Task &task) {
      const Views in(fused, queries, shape, task);
      at::Tensor own = weights.defined()
                           ? weights.narrow(0, task.first_weight, task.num_weights())
                                 .view({task.heads, task.queries, task.length})
                           : at::empty({task.heads, task.queries, task.length}, fused.options());
      at::bmm_out(own, in.queries, in.keys.transpose(1, 2));
      at::Tensor kept = dropout.is_active() ? at::empty_like(own) : own;
      T *data = own.mutable_data_ptr<T>();
      kernels<T>().softmax_dropout(data, data, kept.mutable_data_ptr<T>(), task.heads * task.queries, task.length,
                      static_cast<T>(scale), task.first_weight, dropout);
      heads_of(context, shape, task, 0, task.first_query, task.queries).copy_(at::bmm(kept, in.values));
    });
  });
  return context;
}

struct PackedAttention : public torch::autograd::Function<PackedAttention> {
  static at::Tensor forward(torch::autograd::AutogradContext *context, const at::Tensor &fused,
                            const std::optional<at::Tensor> &queries_apart, at::IntArrayRef lengths, int64_t num_heads, double scale,
                            double p, int64_t seed) {
    const at::Tensor queries = queries_apart.value_or(at::Tensor());
    const Shape shape = shape_of(fused, queries, lengths, num_heads);
    int64_t num_weights = 0;
    for (const Task &task : tasks_of(shape)) num_weights += task.num_weights();
    const at::Tensor packed = fused.detach().contiguous();
    const at::Tensor apart = queries.defined() ? queries.detach().contiguous() : queries;
    const at::Tensor weights = at::empty({num_weights}, packed.options());
    const Dropout dropout(p, static_cast<uint64_t>(seed));
    context->save_for_backward({packed, apart, weights});
    context->saved_data["lengths"] = lengths.vec();
    context->saved_data["num_heads"] = num_heads;
    context->saved_data["scale"] = scale;
    context->saved_data["p"] = p;
    context->saved_data["seed"] = seed;
    return attend(packed, apart, shape, scale, dropout, weights);
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
    const at::Tensor d_context = gradients[0].detach().contiguous();
    at::Tensor d_fused = at::empty_like(fused);
    at::Tensor d_queries = queries.defined() ? at::empty_like(queries) : queries;
    dispatch_real(fused, [&](auto scalar) {
      using T = decltype(scalar);
      for_each_task(tasks_of(shape), [&](const Task &task) {
        const Views in(fused, queries, shape, task);
        const Views out(d_fused, d_queries, shape, task);
        const at::Tensor own = weights.narrow(0, task.first_weight, task.num_weights())
                                   .view({task.heads, task.queries, task.length});
        at::Tensor kept = own;
        if (dropout.is_active()) {
          // Computed again: cheaper than keeping a second set of weights.
          kept = at::empty_like(own);
          kernels<T>().drop(own.const_data_ptr<T>(), kept.mutable_data_ptr<T>(), task.num_weights(), task.first_weight, dropout);
        }
        const at::Tensor d_own = heads_of(d_context, shape, task, 0, task.first_query, task.queries);
        out.values.copy_(at::bmm(kept.transpose(1, 2), d_own));
        at::Tensor d_scores = at::bmm(d_own, in.values.transpose(1, 2));
        kernels<T>().softmax_dropout_backward(own.const_data_ptr<T>(), d_scores.mutable_data_ptr<T>(), task.heads * task.queries,
                                 task.length, static_cast<T>(scale), task.first_weight, dropout);
        out.queries.copy_(at::bmm(d_scores, in.keys));
        out.keys.copy_(at::bmm(d_scores.transpose(1, 2), in.queries));
      });
    });
    return {d_fused, d_queries, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }

  static Shape shape_of(const at::Tensor &fused, const at::Tensor &queries, at::IntArrayRef lengths,
                        int64_t num_heads) {
    check_real(fused, "packed attention");
    const int64_t parts = queries.defined() ? 2 : 3;
    TORCH_CHECK(fused.dim() == 2 && fused.size(1) % (parts * num_heads) == 0, "packed attention: expected [tokens, ",
                parts, " * hidden], found ", fused.sizes());
    int64_t tokens = 0;
    for (const int64_t length : lengths) tokens += length;
    TORCH_CHECK(tokens == fused.size(0), "packed attention: lengths sum to ", tokens, ", not to ", fused.size(0));
    return {lengths.vec(), num_heads, fused.size(1) / parts, queries.defined()};
  }
};

}  // namespace
}  // namespace metabert

extern "C" char *metabert_packed_attention(at::Tensor **out, const at::Tensor *fused, const at::Tensor *queries,
                                           const int64_t *lengths, size_t num_texts, int64_t num_heads, double scale,
                                           double p, uint64_t seed) {
  using namespace metabert;
  return guarded([&] {
    const at::IntArrayRef sizes(lengths, num_texts);
    const auto apart = queries ? std::optional<at::Tensor>(*queries) : std::nullopt;
    if (at::GradMode::is_enabled()) {
      *out = new at::Tensor(
          PackedAttention::apply(*fused, apart, sizes, num_heads, scale, p, static_cast<int64_t>(seed)));
    } else {
      const at::Tensor packed = fused->detach().contiguous();
      const at::Tensor detached = queries ? queries->detach().contiguous() : at::Tensor();
      const Shape shape = PackedAttention::shape_of(packed, detached, sizes, num_heads);
      *out = new at::Tensor(attend(packed, detached, shape, scale, Dropout(p, seed), at::Tensor()));
    }
  });
}
