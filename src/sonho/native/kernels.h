// What the portable half (window.cpp) and the per-instruction-set half (kernels.cpp) say to each other.
//
// Shapes: N rows, T time, H hidden, G gates, V symbols. R = N*T.
//
// kernels.cpp is compiled once per instruction set. It must not use standard library templates: a weak symbol compiled
// for AVX-512 could be the copy that the linker keeps for everyone.
#pragma once

#include <cstdint>

enum Cell : int32_t { LSTM = 0, GRU = 1, RNN_TANH = 2, RNN_RELU = 3 };

constexpr int64_t gates_of(int32_t cell) { return cell == LSTM ? 4 : cell == GRU ? 3 : 1; }
// Vectors kept per unit for the backward pass: i f g o tanh(c) c_before | r z n (U h)_n h_before | h.
constexpr int64_t saved_of(int32_t cell) { return cell == LSTM ? 6 : cell == GRU ? 5 : 1; }
// Columns of the gradient buffer: GRU keeps two versions of n, see README.
constexpr int64_t gradient_columns_of(int32_t cell) { return cell == GRU ? 4 : gates_of(cell); }

// Every scratch row is padded to a multiple of the widest tile, so kernels write whole vectors there.
constexpr int64_t PAD = 32;
constexpr int64_t padded(int64_t n) { return (n + PAD - 1) / PAD * PAD; }
// Rows a cache set apart by a power of two evict each other; one more line between them does not.
constexpr int64_t row_stride(int64_t n) { return padded(n) + 16; }

extern "C" {

// One layer over one window, as the C ABI sees it (library.py has the same fields). Arrays are C-contiguous float32.
struct SonhoWindow {
    int32_t cell, threads;
    int64_t N, T, H, V;
    const float *gates;      // (V, G*H) with ids, else (N, T, G*H): what the input adds to the gates
    const int64_t *ids;      // (N, T), or null
    const int64_t *lengths;  // (N), or null: every row runs T steps
    const float *weight_hh;  // (G*H, H)
    const float *h_first, *c_first;  // (N, H); c only for the LSTM
    // forward only
    float *outputs;        // (N, T, H): zero past a row's length
    float *h_last, *c_last;  // (N, H)
    // written by forward where not null, read by backward
    float *h_before;  // (N, T, H): h ahead of each step, the other half of the weights' gradient
    float *saved;     // sonho_saved_size() floats, in an order of the kernels' own
    // backward only; a gradient that is null counts as zero
    const float *d_outputs, *d_h_last, *d_c_last;
    float *d_gates;  // (N, T, G*H); GRU: (N, T, 4*H) holding n seen from U h, r, z, n seen from the input
    float *d_h_first, *d_c_first;  // (N, H), or null: not wanted
};
}

// One thread's share: `rows` of the batch, longest first, with `steps[i]` steps each.
struct Slice {
    const int64_t *rows, *steps;
    int64_t count;
    float *scratch;  // forward_scratch() or backward_scratch() floats, aligned to 64 bytes
};

struct Kernels {
    int64_t tile_columns, tile_rows;
    // Panels [first, last) of the packed weights; a panel is one tile wide.
    void (*pack_forward)(const SonhoWindow &, float *packed, int64_t first, int64_t last);
    void (*pack_backward)(const SonhoWindow &, float *packed, int64_t first, int64_t last);
    void (*forward)(const SonhoWindow &, const float *packed, const Slice &);
    void (*backward)(const SonhoWindow &, const float *packed, const Slice &);
    // Columns [first, last) of table[ids[r]] += rows[r]; `stride` between rows.
    void (*scatter_add)(const int64_t *ids, const float *rows, int64_t stride, int64_t R, float *table, int64_t columns,
                        int64_t first, int64_t last);
    // out[:, m] for m in [first, last): out (M, C) = a (R, M)^T b (R, C).
    void (*outer_sum)(const float *a, int64_t a_stride, const float *b, int64_t R, int64_t C, float *out, int64_t first,
                      int64_t last, float *scratch);
    void (*sigmoid)(const float *x, float *y, int64_t n);
    void (*tanh)(const float *x, float *y, int64_t n);
};

// Floats of scratch for a slice of `count` rows: h twice, c, the sums of a tile | gradients of U h, of h, of c.
constexpr int64_t forward_scratch(int64_t count, int64_t G, int64_t H) {
    return count * (2 * row_stride(H) + padded(H)) + 12 * G * PAD;
}
constexpr int64_t backward_scratch(int64_t count, int64_t G, int64_t H) {
    return count * (row_stride(G * H) + 2 * padded(H));
}
// Rows of a and b that outer_sum sums at once: their panels stay in the first two caches.
constexpr int64_t OUTER_ROWS = 192;
constexpr int64_t outer_scratch(int64_t C) { return (OUTER_ROWS * (padded(C) + PAD) + 16 * PAD) / 16 * 16; }

extern const Kernels kernels_baseline, kernels_avx2, kernels_avx512;
