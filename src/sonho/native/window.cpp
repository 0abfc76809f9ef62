// The C ABI: checks, threads and memory around the kernels. Compiled once, for any machine.

#include <cstdlib>
#include <cstring>

#include <algorithm>
#include <chrono>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "kernels.h"
#include "threads.h"

namespace {

#if defined(SONHO_X86)
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool has_avx512() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && has_avx2();
}
#endif

struct Isa {
    const char *name;
    const Kernels *kernels;
};

// What this machine can run, best first.
const std::vector<Isa> &available() {
    static const std::vector<Isa> list = [] {
        std::vector<Isa> found;
#if defined(SONHO_X86)
        if (has_avx512()) found.push_back({"avx512", &kernels_avx512});
        if (has_avx2()) found.push_back({"avx2", &kernels_avx2});
#endif
        found.push_back({"baseline", &kernels_baseline});
        return found;
    }();
    return list;
}

const Isa *chosen = nullptr;

const Isa &isa() {
    if (!chosen) chosen = &available().front();
    return *chosen;
}

// Memory that a thread keeps from call to call: fresh pages cost as much as the arithmetic of a small window.
float *workspace(int64_t floats) {
    struct Free {
        void operator()(float *p) const { free(p); }
    };
    thread_local std::unique_ptr<float, Free> kept;
    thread_local int64_t size = 0;
    if (floats > size) {
        kept.reset();
        kept.reset(static_cast<float *>(aligned_alloc(64, (floats * sizeof(float) + 63) / 64 * 64)));
        size = kept ? floats : 0;
    }
    return kept.get();
}

// Parts [first, last) of `total` things, cut into `parts` nearly equal ones.
int64_t cut(int64_t total, int64_t parts, int64_t i) { return total * i / parts; }

enum Status { OK = 0, BAD_ID = 1, BAD_LENGTH = 2, NO_MEMORY = 3, BAD_ARGUMENT = 4 };

Status check(const SonhoWindow &w) {
    if (w.cell < LSTM || w.cell > RNN_RELU || w.N < 0 || w.T < 0 || w.D < 0 || w.H < 1 || w.threads < 1) return BAD_ARGUMENT;
    // An empty array may have no address, so an empty window cannot tell ids from none.
    if (w.N * w.T > 0 && (w.ids ? w.D != 0 : w.V != 1)) return BAD_ARGUMENT;
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

// One call's memory, in pieces that begin at a cache line. Pieces are asked for first and have addresses after `take`.
class Memory {
public:
    int64_t add(int64_t floats) {
        const int64_t at = size_;
        size_ += (floats + 15) / 16 * 16;
        return at;
    }
    // A piece for every slice.
    std::vector<int64_t> add_each(const Deal &deal, int64_t (*scratch)(const SonhoWindow &, int64_t), const SonhoWindow &w) {
        std::vector<int64_t> pieces;
        for (int64_t s = 0; s < deal.slices; ++s) pieces.push_back(add(scratch(w, deal.count(s))));
        return pieces;
    }
    bool take() { return (memory_ = workspace(size_ + 16)); }
    float *operator[](int64_t piece) const { return memory_ + piece; }

private:
    int64_t size_ = 0;
    float *memory_ = nullptr;
};

int64_t tiles(int64_t columns) { return (columns + isa().kernels->tile_columns - 1) / isa().kernels->tile_columns; }

}  // namespace

#define API __attribute__((visibility("default")))

extern "C" {

// Names of the instruction sets that this machine can run, best first, separated by spaces.
API const char *sonho_isas() {
    static const std::string names = [] {
        std::string all;
        for (const Isa &each : available()) all += (all.empty() ? "" : " ") + std::string(each.name);
        return all;
    }();
    return names.c_str();
}

// Use one instruction set from now on. Returns 0, or 1 if this machine cannot run it.
API int sonho_select_isa(const char *name) {
    for (const Isa &each : available())
        if (!strcmp(each.name, name)) {
            chosen = &each;
            return 0;
        }
    return 1;
}

// Floats that `saved` must hold.
API int64_t sonho_saved_size(int32_t cell, int64_t N, int64_t T, int64_t H) {
    return N * T * saved_of(cell) * padded(H);
}

API int sonho_window_forward(const SonhoWindow *window) {
    const SonhoWindow &w = *window;
    const Status status = check(w);
    if (status != OK || w.N == 0) return status;
    const Kernels &k = *isa().kernels;
    const Deal deal(w);
    const int64_t panels = tiles(w.H) * gates_of(w.cell);
    Memory memory;
    const auto packed = memory.add(panels * (w.D + w.H) * k.tile_columns);
    const auto scratch = memory.add_each(deal, forward_scratch, w);
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
    const Kernels &k = *isa().kernels;
    const Deal deal(w);
    const int64_t panels = tiles(w.H) + (w.d_inputs ? tiles(w.D) : 0), depth = gates_of(w.cell) * w.H;
    const int64_t gate_panels = gradients_of(w.cell) * tiles(w.H), parts = std::min<int64_t>(w.threads, gate_panels);
    Memory memory;
    const auto packed = memory.add(panels * depth * k.tile_columns);
    const auto scratch = memory.add_each(deal, backward_scratch, w);
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

// Multiplications and additions a second, in billions, that `threads` threads reach together with the tile multiply and
// nothing else, all they need being in the nearest caches: what the kernels could reach at most.
API double sonho_tile_rate(int threads, double seconds) {
    using Clock = std::chrono::steady_clock;
    const Kernels &k = *isa().kernels;
    constexpr int64_t depth = 128, repeats = 1000;
    const int64_t each = depth * k.tile_columns + k.tile_rows * (row_stride(depth) + k.tile_columns);
    std::vector<float> memory(threads * (each + 16) + 16, 0.5f);
    std::vector<double> done(threads, 0.0), spent(threads, 1.0);
    run_tasks(threads, threads, [&](int64_t i) {
        void *start = memory.data() + i * (each + 16);
        size_t room = (each + 16) * sizeof(float);
        float *scratch = static_cast<float *>(std::align(64, each * sizeof(float), start, room));
        const auto began = Clock::now();
        do {
            done[i] += k.multiply(scratch, depth, repeats);
            spent[i] = std::chrono::duration<double>(Clock::now() - began).count();
        } while (spent[i] < seconds);
    });
    double rate = 0.0;
    for (int i = 0; i < threads; ++i) rate += done[i] / spent[i] / 1e9;
    return rate;
}

API void sonho_sigmoid(const float *x, float *y, int64_t n) { isa().kernels->sigmoid(x, y, n); }
API void sonho_tanh(const float *x, float *y, int64_t n) { isa().kernels->tanh(x, y, n); }
}
