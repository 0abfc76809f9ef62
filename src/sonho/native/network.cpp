#include "network.h"

#include <algorithm>
#include <cstring>

namespace sonho {

namespace {

// Rows of gates in the order of the cell's loop: (unit block, gate, unit), blocks one tile wide.
std::vector<int64_t> gate_order(int64_t G, int64_t H) {
    const int64_t width = step_kernels().tile_columns;
    std::vector<int64_t> order;
    for (int64_t block = 0; block < H; block += width)
        for (int64_t gate = 0; gate < G; ++gate)
            for (int64_t unit = block; unit < block + width; ++unit) order.push_back(unit < H ? gate * H + unit : -1);
    return order;
}

std::vector<int64_t> plain_order(int64_t M) {
    const int64_t width = step_kernels().tile_columns;
    std::vector<int64_t> order((M + width - 1) / width * width, -1);
    for (int64_t i = 0; i < M; ++i) order[i] = i;
    return order;
}

// The inputs of each panel: from the first to the last that any of its columns has a weight for.
std::vector<Inputs> inputs_of(const float *weight, int64_t K, const std::vector<int64_t> &order) {
    const int64_t width = step_kernels().tile_columns;
    std::vector<Inputs> inputs(order.size() / width, {K, 0});
    for (size_t j = 0; j < order.size(); ++j) {
        if (order[j] < 0) continue;
        const float *row = weight + order[j] * K;
        Inputs &panel = inputs[j / width];
        for (int64_t k = 0; k < panel.first; ++k)
            if (row[k] != 0.0f) panel.first = k;
        for (int64_t k = K; k > panel.last; --k)
            if (row[k - 1] != 0.0f) panel.last = k;
    }
    for (Inputs &panel : inputs) panel.first = std::min(panel.first, panel.last);
    return inputs;
}

// Rows of `from` (n, M) in another order of columns.
void reorder(const float *from, int64_t n, int64_t M, const std::vector<int64_t> &order, float *to) {
    for (int64_t i = 0; i < n; ++i, from += M)
        for (int64_t column : order) *to++ = column < 0 ? 0.0f : from[column];
}

Buffer<float> copied(const float *from, int64_t n, int64_t padded_size) {
    if (!from) return Buffer<float>();
    Buffer<float> to(padded_size);
    std::copy(from, from + n, to.get());
    return to;
}

}  // namespace

Matrix::Matrix(const float *weight, int64_t depth, const std::vector<int64_t> &order, int32_t bits)
    : kernels(&step_kernels()), K(depth), columns(static_cast<int64_t>(order.size())),
      inputs(inputs_of(weight, depth, order)) {
    if (bits == 8) {
        packed8 = Buffer<int8_t>(columns * (K + 1));
        scales = Buffer<float>(columns);
        step_kernels().pack8(weight, K, order.data(), columns, packed8.get(), scales.get());
    } else {
        packed = Buffer<float>(columns * K);
        step_kernels().pack(weight, K, order.data(), columns, packed.get());
    }
}

void Matrix::times(const float *a, int64_t a_row, int64_t R, int16_t *rounded, float *out, bool backwards) const {
    if (packed8)
        kernels->product8(a, a_row, R, packed8.get(), scales.get(), inputs.data(), K, columns, rounded, out, columns, backwards);
    else
        kernels->product(a, a_row, R, packed.get(), inputs.data(), K, columns, out, columns, backwards);
}

Layer::Layer(const SonhoLayer &spec, int64_t V, int32_t bits)
    : cell(spec.cell), takes_ids(spec.takes_ids), adds_input(spec.adds_input), is_conditioned(spec.is_conditioned), H(spec.H), S(row_stride(spec.H)),
      D(spec.D), K(spec.K), dilation(spec.dilation), past(cell == CONV ? (spec.K - 1) * spec.dilation : 0) {
    const int64_t G = cell == CONV ? 2 : gates_of(cell);
    order = gate_order(G, H);
    columns = static_cast<int64_t>(order.size());
    if (takes_ids) {
        const int64_t taps = cell == CONV ? K : 1;
        tables = Buffer<float>(taps * (V + 1) * columns);
        for (int64_t tap = 0; tap < taps; ++tap)
            reorder(spec.table + tap * V * G * H, V, G * H, order, tables.get() + tap * (V + 1) * columns);
    } else {
        input = Matrix(spec.weight_ih, cell == CONV ? K * D : D, order, bits);
    }
    if (spec.bias) {
        bias = Buffer<float>(columns);
        reorder(spec.bias, 1, G * H, order, bias.get());
    }
    if (recurrent()) hidden = Matrix(spec.weight_hh, H, order, bits);
    norm_weight = copied(spec.norm_weight, H, H);
    norm_bias = copied(spec.norm_bias, H, H);
    residual = copied(spec.residual, V * H, V * H);
}

Network::Network(const SonhoNetwork &spec)
    : V(spec.V), vector_size(spec.vector_size),
      vectors(copied(spec.vectors, spec.V * spec.vector_size, spec.V * spec.vector_size)),
      prior(static_cast<const Prior *>(spec.prior)) {
    for (int64_t i = 0; i < spec.num_layers; ++i) layers.emplace_back(spec.layers[i], V, spec.bits);
    output = Matrix(spec.output_weight, layers.back().H, plain_order(V), spec.bits);
    output_bias = copied(spec.output_bias, V, output.columns);
}

// ---------------------------------------------------------------------------------------------------------------------

Rows::Rows(const Network &network, int64_t first, int64_t count, void *const *states)
    : network_(network), kernels_(network.kernels), first_(first), count_(count), states_(states), layers_(network.layers.size()) {
    for (size_t l = 0; l < layers_.size(); ++l) {
        const Layer &layer = network.layers[l];
        LayerState &state = layers_[l];
        if (layer.recurrent()) {
            for (Buffer<float> *each : {&state.h, &state.c}) {
                if (each == &state.c && layer.cell != LSTM) continue;
                const float *from = static_cast<const float *>(*states++) + first * layer.H;
                *each = Buffer<float>(count * layer.S);
                for (int64_t i = 0; i < count; ++i)
                    std::copy(from + i * layer.H, from + (i + 1) * layer.H, each->get() + i * layer.S);
            }
            if (layer.is_conditioned) {
                const int64_t gates = gates_of(layer.cell) * layer.H;
                state.added = Buffer<float>(count * layer.columns);
                reorder(static_cast<const float *>(*states++) + first * gates, count, gates, layer.order, state.added.get());
            }
            continue;
        }
        const int64_t row = layer.past + MOST_STEPS;
        state.filled = layer.past;
        if (layer.takes_ids) {
            const int64_t *from = static_cast<const int64_t *>(*states++) + first * layer.past;
            state.ids = Buffer<int64_t>(count * row);
            for (int64_t i = 0; i < count; ++i)
                std::copy(from + i * layer.past, from + (i + 1) * layer.past, state.ids.get() + i * row);
        } else {
            const int64_t size = layer.past * layer.D;
            const float *from = static_cast<const float *>(*states++) + first * size;
            state.inputs = Buffer<float>(count * row * layer.D);
            for (int64_t i = 0; i < count; ++i)
                std::copy(from + i * size, from + (i + 1) * size, state.inputs.get() + i * row * layer.D);
        }
    }
    if (network.prior) {
        const int64_t *from = static_cast<const int64_t *>(*states) + first;
        nodes_.assign(from, from + count);
    }
}

void Rows::store(const std::vector<int64_t> &order) {
    void *const *states = states_;
    for (size_t l = 0; l < layers_.size(); ++l) {
        const Layer &layer = network_.layers[l];
        const LayerState &state = layers_[l];
        if (layer.recurrent()) {
            for (const Buffer<float> *each : {&state.h, &state.c}) {
                if (!*each) continue;
                float *to = static_cast<float *>(*states++) + first_ * layer.H;
                for (int64_t i = 0; i < count_; ++i)
                    std::copy_n(each->get() + i * layer.S, layer.H, to + order[i] * layer.H);
            }
            states += layer.is_conditioned;  // as it was
            continue;
        }
        const int64_t row = layer.past + MOST_STEPS, begin = state.filled - layer.past;
        if (layer.takes_ids) {
            int64_t *to = static_cast<int64_t *>(*states++) + first_ * layer.past;
            for (int64_t i = 0; i < count_; ++i)
                std::copy_n(state.ids.get() + i * row + begin, layer.past, to + order[i] * layer.past);
        } else {
            const int64_t size = layer.past * layer.D;
            float *to = static_cast<float *>(*states++) + first_ * size;
            for (int64_t i = 0; i < count_; ++i)
                std::copy_n(state.inputs.get() + (i * row + begin) * layer.D, size, to + order[i] * size);
        }
    }
    if (network_.prior)
        for (int64_t i = 0; i < count_; ++i) static_cast<int64_t *>(*states)[first_ + order[i]] = nodes_[i];
}

void Rows::swap(int64_t a, int64_t b) {
    const auto swap_rows = [&](auto &buffer, int64_t row) {
        if (buffer) std::swap_ranges(buffer.get() + a * row, buffer.get() + (a + 1) * row, buffer.get() + b * row);
    };
    for (size_t l = 0; l < layers_.size(); ++l) {
        const Layer &layer = network_.layers[l];
        swap_rows(layers_[l].h, layer.S);
        swap_rows(layers_[l].c, layer.S);
        swap_rows(layers_[l].added, layer.columns);
        swap_rows(layers_[l].inputs, (layer.past + MOST_STEPS) * layer.D);
        swap_rows(layers_[l].ids, layer.past + MOST_STEPS);
    }
    if (network_.prior) std::swap(nodes_[a], nodes_[b]);
}

// Room for T steps of every row.
void Rows::grow(int64_t T) {
    if (T <= room_) return;
    room_ = T;
    int64_t gates = 0, outputs = 0, taps = 0, widest = network_.output.K;
    for (const Layer &layer : network_.layers) {
        if (!layer.takes_ids || !layer.recurrent() || layer.is_conditioned) gates = std::max(gates, layer.columns);
        outputs = std::max(outputs, layer.S);
        if (!layer.recurrent() && !layer.takes_ids) taps = std::max(taps, layer.K * layer.D);
        widest = std::max({widest, layer.H, layer.input.K});
    }
    in_.resize(count_);
    gates_ = Buffer<float>(T * count_ * gates);
    for (Buffer<float> &each : outputs_) each = Buffer<float>(T * count_ * outputs);
    taps_ = Buffer<float>(T * count_ * taps);
    if (network_.vectors) vectors_ = Buffer<float>(T * count_ * network_.vector_size);
    int64_t sums = 0;
    for (const Layer &layer : network_.layers) sums = std::max(sums, layer.hidden.columns);
    sums_ = Buffer<float>(count_ * sums);
    logits_ = Buffer<float>(T * count_ * network_.output.columns);
    rounded_ = Buffer<int16_t>(4 * (widest + 1));
    if (network_.prior) ngram_.resize(network_.V);
}

const float *Rows::feed(const int64_t *ids, int64_t T, int64_t rows) {
    grow(T);
    backwards_ = !backwards_;
    if (network_.prior) follow(ids, T, rows);
    const float *x = nullptr;
    int64_t x_row = 0;
    if (network_.vectors) {
        x_row = network_.vector_size;
        for (int64_t i = 0; i < T * rows; ++i)
            std::copy_n(network_.vectors.get() + ids[i] * x_row, x_row, vectors_.get() + i * x_row);
        x = vectors_.get();
    }
    for (size_t l = 0; l < layers_.size(); ++l) {
        const Layer &layer = network_.layers[l];
        float *out = outputs_[l % 2].get();
        x = layer.recurrent() ? run_recurrent(layer, layers_[l], ids, x, x_row, T, rows, out)
                              : run_convolution(layer, layers_[l], ids, x, x_row, T, rows, out);
        x_row = layer.S;
        if (layer.norm_weight)
            for (int64_t i = 0; i < T * rows; ++i)
                kernels_.normalise(out + i * layer.S, layer.norm_weight.get(), layer.norm_bias.get(), layer.H);
    }
    return x;
}

const float *Rows::run_recurrent(const Layer &layer, LayerState &state, const int64_t *ids, const float *x,
                                 int64_t x_row, int64_t T, int64_t rows, float *out) {
    if (!layer.takes_ids) {
        layer.input.times(x, x_row, T * rows, rounded_.get(), gates_.get(), backwards_);
        for (int64_t i = 0; i < T * rows; ++i)
            kernels_.add(layer.bias.get(), gates_.get() + i * layer.columns, layer.columns);
    }
    const float *h = state.h.get();
    for (int64_t t = 0; t < T; ++t) {
        for (int64_t r = 0; r < rows; ++r) {
            const int64_t at = t * rows + r;
            float *const gates = gates_.get() + at * layer.columns;
            const float *const table = layer.takes_ids ? layer.tables.get() + ids[at] * layer.columns : nullptr;
            in_[r] = table && !state.added ? table : gates;
            if (!state.added) continue;
            if (table) std::copy_n(table, layer.columns, gates);
            kernels_.add(state.added.get() + r * layer.columns, gates, layer.columns);
        }
        layer.hidden.times(h, layer.S, rows, rounded_.get(), sums_.get(), backwards_ != (t % 2 == 1));
        float *next = out + t * rows * layer.S;
        kernels_.cell(layer.cell, in_.data(), sums_.get(), layer.columns, h, state.c.get(), next, layer.S, rows, layer.H);
        h = next;
    }
    std::copy_n(h, T > 0 ? rows * layer.S : 0, state.h.get());
    return out;
}

const float *Rows::run_convolution(const Layer &layer, LayerState &state, const int64_t *ids, const float *x,
                                   int64_t x_row, int64_t T, int64_t rows, float *out) {
    const int64_t row = layer.past + MOST_STEPS, D = layer.D, V = network_.V;
    if (state.filled + T > row) {
        const int64_t begin = state.filled - layer.past;
        for (int64_t r = 0; r < count_; ++r) {
            if (layer.takes_ids)
                std::copy_n(state.ids.get() + r * row + begin, layer.past, state.ids.get() + r * row);
            else
                std::copy_n(state.inputs.get() + (r * row + begin) * D, layer.past * D, state.inputs.get() + r * row * D);
        }
        state.filled = layer.past;
    }
    // Tap k of step t sees what came (K-1-k) * dilation steps before it.
    const auto seen = [&](int64_t t, int64_t tap) { return state.filled - layer.past + t + tap * layer.dilation; };
    for (int64_t t = 0; t < T; ++t)
        for (int64_t r = 0; r < rows; ++r) {
            const int64_t at = t * rows + r;
            if (layer.takes_ids)
                state.ids.get()[r * row + state.filled + t] = ids[at];
            else
                std::copy_n(x + at * x_row, D, state.inputs.get() + (r * row + state.filled + t) * D);
        }
    for (int64_t t = 0; t < T; ++t)
        for (int64_t r = 0; r < rows; ++r) {
            const int64_t at = t * rows + r;
            float *gates = gates_.get() + at * layer.columns;
            if (layer.takes_ids) {
                std::copy_n(layer.bias.get(), layer.columns, gates);
                for (int64_t tap = 0; tap < layer.K; ++tap) {
                    const int64_t id = state.ids.get()[r * row + seen(t, tap)];
                    kernels_.add(layer.tables.get() + (tap * (V + 1) + (id < 0 ? V : id)) * layer.columns, gates, layer.columns);
                }
            } else {
                for (int64_t tap = 0; tap < layer.K; ++tap)
                    std::copy_n(state.inputs.get() + (r * row + seen(t, tap)) * D, D,
                                taps_.get() + (at * layer.K + tap) * D);
            }
        }
    if (!layer.takes_ids) {
        layer.input.times(taps_.get(), layer.K * D, T * rows, rounded_.get(), gates_.get(), backwards_);
        for (int64_t i = 0; i < T * rows; ++i)
            kernels_.add(layer.bias.get(), gates_.get() + i * layer.columns, layer.columns);
    }
    for (int64_t at = 0; at < T * rows; ++at) {
        const float *gates = gates_.get() + at * layer.columns;
        kernels_.cell(CONV, &gates, nullptr, 0, nullptr, nullptr, out + at * layer.S, layer.S, 1, layer.H);
        if (layer.residual) kernels_.add(layer.residual.get() + ids[at] * layer.H, out + at * layer.S, layer.H);
        if (layer.adds_input) kernels_.add(x + at * x_row, out + at * layer.S, layer.H);
    }
    state.filled += T;
    return out;
}

// Take the prior's nodes through T steps of ids.
void Rows::follow(const int64_t *ids, int64_t T, int64_t rows) {
    reached_.resize(T * rows);
    for (int64_t at = 0; at < T * rows; ++at)
        reached_[at] = nodes_[at % rows] = network_.prior->next(nodes_[at % rows], ids[at]);
}

const float *Rows::project(const float *outputs, int64_t begin, int64_t count) {
    const Matrix &matrix = network_.output;
    const int64_t row = network_.layers.back().S;
    matrix.times(outputs + begin * row, row, count, rounded_.get(), logits_.get(), backwards_);
    for (int64_t i = 0; i < count; ++i) {
        float *logits = logits_.get() + i * matrix.columns;
        kernels_.add(network_.output_bias.get(), logits, matrix.columns);
        if (network_.prior) network_.prior->mix(reached_[begin + i], logits, ngram_.data());
    }
    return logits_.get();
}

}  // namespace sonho
