// The C ABI: checks, threads and memory around the kernels. Compiled once, for any machine.

#include <cstdlib>
#include <cstring>

#include <algorithm>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "kernels.h"
#include "steps.h"
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
    const StepKernels *steps;
};

// What this machine can run, best first.
const std::vector<Isa> &available() {
    static const std::vector<Isa> list = [] {
        std::vector<Isa> found;
#if defined(SONHO_X86)
        if (has_avx512()) found.push_back({"avx512", &kernels_avx512, &steps_avx512});
        if (has_avx2()) found.push_back({"avx2", &kernels_avx2, &steps_avx2});
#endif
        found.push_back({"baseline", &kernels_baseline, &steps_baseline});
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
    if (w.cell < LSTM || w.cell > RNN_RELU || w.N < 0 || w.T < 0 || w.H < 1 || w.threads < 1) return BAD_ARGUMENT;
    if (w.ids)
        for (int64_t i = 0; i < w.N * w.T; ++i)
            if (w.ids[i] < 0 || w.ids[i] >= w.V) return BAD_ID;
    if (w.lengths)
        for (int64_t n = 0; n < w.N; ++n)
            if (w.lengths[n] < 0 || w.lengths[n] > w.T) return BAD_LENGTH;
    return OK;
}

// The rows of the batch, dealt to the threads: longest first, so that each slice sees its finished rows last and all
// slices have about the same work.
struct Deal {
    std::vector<int64_t> rows, steps, starts;

    explicit Deal(const SonhoWindow &w) : rows(w.N), steps(w.N), starts(1, 0) {
        const int64_t slices = std::max<int64_t>(1, std::min<int64_t>(w.threads, w.N));
        std::vector<int64_t> order(w.N);
        std::iota(order.begin(), order.end(), 0);
        if (w.lengths)
            std::stable_sort(order.begin(), order.end(),
                             [&](int64_t x, int64_t y) { return w.lengths[x] > w.lengths[y]; });
        int64_t at = 0;
        for (int64_t s = 0; s < slices; ++s) {
            if (w.lengths)
                for (int64_t i = s; i < w.N; i += slices) rows[at++] = order[i];
            else
                for (; at < cut(w.N, slices, s + 1); ++at) rows[at] = at;
            starts.push_back(at);
        }
        for (int64_t i = 0; i < w.N; ++i) steps[i] = w.lengths ? w.lengths[rows[i]] : w.T;
    }

    int64_t slices() const { return static_cast<int64_t>(starts.size()) - 1; }
};

// Pack the weights into `panels` panels of `panel_size`, then run every slice over them.
template <class Pack, class Run>
Status run_window(const SonhoWindow &w, int64_t panels, int64_t panel_size, int64_t (*scratch)(int64_t, int64_t, int64_t),
                  Pack pack, Run run) {
    const Deal deal(w);
    const int64_t packed_size = panels * panel_size;
    std::vector<int64_t> offsets(1, (packed_size + 15) / 16 * 16);
    for (int64_t s = 0; s < deal.slices(); ++s)
        offsets.push_back(offsets.back() + (scratch(deal.starts[s + 1] - deal.starts[s], gates_of(w.cell), w.H) + 31) / 16 * 16);
    float *memory = workspace(offsets.back());
    if (!memory) return NO_MEMORY;
    run_tasks(deal.slices(), w.threads, [&](int64_t s) {
        pack(w, memory, cut(panels, deal.slices(), s), cut(panels, deal.slices(), s + 1));
    });
    run_tasks(deal.slices(), w.threads, [&](int64_t s) {
        const int64_t first = deal.starts[s];
        run(w, memory, Slice{&deal.rows[first], &deal.steps[first], deal.starts[s + 1] - first, memory + offsets[s]});
    });
    return OK;
}

}  // namespace

const StepKernels &step_kernels() { return *isa().steps; }

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

API int sonho_window_forward(const SonhoWindow *w) {
    const Status status = check(*w);
    if (status != OK || w->N == 0) return status;
    const Kernels &k = *isa().kernels;
    const int64_t blocks = (w->H + k.tile_columns - 1) / k.tile_columns;
    return run_window(*w, blocks * gates_of(w->cell), w->H * k.tile_columns, forward_scratch, k.pack_forward, k.forward);
}

API int sonho_window_backward(const SonhoWindow *w) {
    const Status status = check(*w);
    if (status != OK || w->N == 0) return status;
    const Kernels &k = *isa().kernels;
    const int64_t blocks = (w->H + k.tile_columns - 1) / k.tile_columns;
    return run_window(*w, blocks, gates_of(w->cell) * w->H * k.tile_columns, backward_scratch, k.pack_backward, k.backward);
}

// table (V, columns) += rows (R, columns), row r to table[ids[r]]; `stride` floats between rows. Summed in the order of
// the rows, whatever the number of threads.
API int sonho_scatter_add(const int64_t *ids, const float *rows, int64_t stride, int64_t R, float *table, int64_t V,
                      int64_t columns, int threads) {
    for (int64_t r = 0; r < R; ++r)
        if (ids[r] < 0 || ids[r] >= V) return BAD_ID;
    const int64_t lines = (columns + PAD - 1) / PAD;
    const int64_t parts = std::min<int64_t>(threads, lines);
    run_tasks(parts, threads, [&](int64_t i) {
        isa().kernels->scatter_add(ids, rows, stride, R, table, columns, cut(lines, parts, i) * PAD,
                                   std::min(columns, cut(lines, parts, i + 1) * PAD));
    });
    return OK;
}

// out (M, C) = a (R, M) transposed times b (R, C); `stride` floats between rows of a. Summed in the order of the rows.
API int sonho_outer_sum(const float *a, int64_t stride, const float *b, int64_t R, int64_t M, int64_t C, float *out,
                    int threads) {
    const Kernels &k = *isa().kernels;
    const int64_t parts = std::max<int64_t>(1, std::min<int64_t>(threads, M / k.tile_rows));
    const int64_t each = outer_scratch(C);
    float *memory = workspace(parts * each);
    if (!memory) return NO_MEMORY;
    run_tasks(parts, threads, [&](int64_t i) {
        k.outer_sum(a, stride, b, R, C, out, cut(M, parts, i), cut(M, parts, i + 1), memory + i * each);
    });
    return OK;
}

API void sonho_sigmoid(const float *x, float *y, int64_t n) { isa().kernels->sigmoid(x, y, n); }
API void sonho_tanh(const float *x, float *y, int64_t n) { isa().kernels->tanh(x, y, n); }
}
