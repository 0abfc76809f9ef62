// A window of a recurrent layer: checks, memory, and the batch dealt to the threads. Compiled once, for any machine.

#include <algorithm>
#include <numeric>
#include <vector>

#include "runtime.h"

namespace {

Status check(const SonhoWindow &w) {
    if (w.cell < LSTM || w.cell > RNN_RELU || w.N < 0 || w.T < 0 || w.D < 0 || w.H < 1 || w.threads < 1) return BAD_ARGUMENT;
    if (!has_precision(w.precision)) return NO_BFLOAT16;
    // An empty array may have no address, so an empty window cannot tell ids from none.
    if (w.N * w.T > 0 && !w.ids && w.V != 1) return BAD_ARGUMENT;
    if (w.ids)
        for (int64_t i = 0; i < w.N * w.T; ++i)
            if (w.ids[i] < 0 || w.ids[i] >= w.V) return BAD_ID;
    if (w.lengths)
        for (int64_t n = 0; n < w.N; ++n)
            if (w.lengths[n] < 0 || w.lengths[n] > w.T) return BAD_LENGTH;
    return OK;
}

// The rows of the batch, ranked and dealt to the threads: longest first, so that each slice sees its finished rows last
// and all slices have about the same work.
struct Deal {
    std::vector<int64_t> row, base, running, steps, offset;
    Order order;
    int64_t slices;
    const bool ragged;

    explicit Deal(const SonhoWindow &w)
        : row(w.N), base(w.T), running(w.T), steps(w.N),
          slices(std::max<int64_t>(1, std::min<int64_t>(w.threads, w.N))), ragged(w.lengths) {
        std::iota(row.begin(), row.end(), 0);
        if (ragged)
            std::stable_sort(row.begin(), row.end(), [&](int64_t x, int64_t y) { return w.lengths[x] > w.lengths[y]; });
        int64_t total = 0, alive = w.N;
        for (int64_t t = 0; t < w.T; ++t) {
            while (ragged && alive > 0 && w.lengths[row[alive - 1]] <= t) --alive;
            base[t] = total, running[t] = alive, total += alive;
        }
        order = {base.data(), running.data(), row.data(), total};
        int64_t at = 0;
        for (int64_t s = 0; s < slices; ++s) {
            offset.push_back(at);
            for (int64_t i = 0; i < count(s); ++i) steps[at++] = ragged ? w.lengths[row[first(s) + i * step()]] : w.T;
        }
    }

    // Rows of one length stay together; others go round, as cards do.
    int64_t step() const { return ragged ? slices : 1; }
    int64_t first(int64_t s) const { return ragged ? s : cut(rows(), slices, s); }
    int64_t count(int64_t s) const {
        return ragged ? (rows() - s + slices - 1) / slices : cut(rows(), slices, s + 1) - cut(rows(), slices, s);
    }
    int64_t rows() const { return static_cast<int64_t>(row.size()); }
    Slice slice(int64_t s, float *scratch) const { return {&order, first(s), step(), count(s), steps.data() + offset[s], scratch}; }
};

// A piece of memory for every slice.
std::vector<int64_t> add_each(Memory &memory, const Deal &deal, int64_t (*scratch)(const SonhoWindow &, int64_t),
                              const SonhoWindow &w) {
    std::vector<int64_t> pieces;
    for (int64_t s = 0; s < deal.slices; ++s) pieces.push_back(memory.add(scratch(w, deal.count(s))));
    return pieces;
}

}  // namespace

extern "C" {

// Floats that `saved` must hold.
API int64_t sonho_saved_size(int32_t cell, int64_t N, int64_t T, int64_t H) {
    return N * T * saved_of(cell) * padded(H);
}

API int sonho_window_forward(const SonhoWindow *window) {
    const SonhoWindow &w = *window;
    const Status status = check(w);
    if (status != OK || w.N == 0) return status;
    const Kernels &k = *isa().kernels[w.precision];
    const Deal deal(w);
    const int64_t panels = tiles(w.H) * gates_of(w.cell);
    Memory memory;
    const auto packed = memory.add(panels * (w.D + w.H) * k.tile_columns);
    const auto scratch = add_each(memory, deal, forward_scratch, w);
    if (!memory.take()) return NO_MEMORY;
    run_tasks(deal.slices, w.threads, [&](int64_t s) {
        k.pack_forward(w, memory[packed], cut(panels, deal.slices, s), cut(panels, deal.slices, s + 1));
    });
    run_tasks(deal.slices, w.threads, [&](int64_t s) { k.forward(w, memory[packed], deal.slice(s, memory[scratch[s]])); });
    return OK;
}

API int sonho_window_backward(const SonhoWindow *window) {
    const SonhoWindow &w = *window;
    const Status status = check(w);
    if (status != OK) return status;
    const Kernels &k = *isa().kernels[w.precision];
    const Deal deal(w);
    const int64_t panels = tiles(w.H) + (w.d_inputs ? tiles(w.D) : 0), depth = gates_of(w.cell) * w.H;
    const int64_t gate_panels = gradients_of(w.cell) * tiles(w.H), parts = std::min<int64_t>(w.threads, gate_panels);
    Memory memory;
    const auto packed = memory.add(panels * depth * k.tile_columns);
    const auto scratch = add_each(memory, deal, backward_scratch, w);
    const auto gradients = memory.add(gradient_size(w, deal.order.total));
    std::vector<int64_t> sums;
    for (int64_t i = 0; i < parts; ++i) sums.push_back(memory.add(weights_scratch(w, gate_panels / parts + 1)));
    if (!memory.take()) return NO_MEMORY;
    run_tasks(deal.slices, w.threads, [&](int64_t s) {
        k.pack_backward(w, memory[packed], cut(panels, deal.slices, s), cut(panels, deal.slices, s + 1));
    });
    run_tasks(deal.slices, w.threads, [&](int64_t s) {
        k.backward(w, memory[packed], deal.slice(s, memory[scratch[s]]), memory[gradients]);
    });
    run_tasks(parts, w.threads, [&](int64_t i) {
        k.weights(w, deal.order, memory[gradients], cut(gate_panels, parts, i), cut(gate_panels, parts, i + 1),
                  memory[sums[i]]);
    });
    return OK;
}
}
