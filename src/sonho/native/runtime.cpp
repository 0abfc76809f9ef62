// The choice of the instruction set, and memory. Compiled once, for any machine.

#include "runtime.h"

#include <cstdlib>
#include <cstring>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace {

#if defined(SONHO_X86)
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool has_avx512() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && has_avx2();
}
#if defined(SONHO_BFLOAT16)
bool has_bfloat16() { return __builtin_cpu_supports("avx512bf16"); }
#endif
#endif

// What this machine can run, best first.
const std::vector<Isa> &available() {
    static const std::vector<Isa> list = [] {
        std::vector<Isa> found;
#if defined(SONHO_X86)
        if (has_avx512())
            found.push_back({"avx512", {&kernels_avx512}, {&table_avx512}, {&loss_avx512}, {&muon_avx512}, &steps_avx512,
                             &updates_avx512});
#if defined(SONHO_BFLOAT16)
        if (has_avx512() && has_bfloat16()) {
            Isa &last = found.back();
            last.kernels[BFLOAT16] = &kernels_bfloat16, last.table[BFLOAT16] = &table_bfloat16;
            last.loss[BFLOAT16] = &loss_bfloat16, last.muon[BFLOAT16] = &muon_bfloat16;
        }
#endif
        if (has_avx2())
            found.push_back({"avx2", {&kernels_avx2}, {&table_avx2}, {&loss_avx2}, {&muon_avx2}, &steps_avx2, &updates_avx2});
#endif
        found.push_back({"baseline", {&kernels_baseline}, {&table_baseline}, {&loss_baseline}, {&muon_baseline}, &steps_baseline,
                         &updates_baseline});
        return found;
    }();
    return list;
}

const Isa *chosen = nullptr;

}  // namespace

const Isa &isa() {
    if (!chosen) chosen = &available().front();
    return *chosen;
}

const StepKernels &step_kernels() { return *isa().steps; }

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

// Whether the instruction set in force has products of bfloat16.
API int sonho_has_bfloat16() { return isa().kernels[BFLOAT16] != nullptr; }

// Use one instruction set from now on. Returns 0, or 1 if this machine cannot run it.
API int sonho_select_isa(const char *name) {
    for (const Isa &each : available())
        if (!strcmp(each.name, name)) {
            chosen = &each;
            return 0;
        }
    return 1;
}

// Multiplications and additions a second, in billions, that `threads` threads reach together with the tile multiply and
// nothing else, all they need being in the nearest caches: what the kernels could reach at most. Zero where the precision
// is not to be had.
API double sonho_tile_rate(int threads, double seconds, int32_t precision) {
    using Clock = std::chrono::steady_clock;
    if (!has_precision(precision)) return 0.0;
    const Kernels &k = *isa().kernels[precision];
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

API void sonho_sigmoid(const float *x, float *y, int64_t n) { isa().kernels[FLOAT32]->sigmoid(x, y, n); }
API void sonho_tanh(const float *x, float *y, int64_t n) { isa().kernels[FLOAT32]->tanh(x, y, n); }
}
