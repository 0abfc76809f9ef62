// What the portable half (window.cpp) and the per-instruction-set half (kernels.cpp) say to each other.
//
// Shapes: N rows, T time, D input, H hidden, G gates, V symbols. R rows that run, over all the steps: N*T at most.
//
// kernels.cpp is compiled once per instruction set. It must not use standard library templates: a weak symbol compiled
// for AVX-512 could be the copy that the linker keeps for everyone.
#pragma once

#include <cstdint>

enum Cell : int32_t { LSTM = 0, GRU = 1, RNN_TANH = 2, RNN_RELU = 3 };

// What products are made of (terms.h). All that comes in or goes out is float32, whatever the precision.
enum Precision : int32_t { FLOAT32 = 0, BFLOAT16 = 1 };

constexpr int64_t gates_of(int32_t cell) { return cell == LSTM ? 4 : cell == GRU ? 3 : 1; }
// Numbers a unit that are kept for the backward pass: i f g o c | r z n (U h)_n h_before | h.
constexpr int64_t saved_of(int32_t cell) { return cell == RNN_TANH || cell == RNN_RELU ? 1 : 5; }
// Gradients a unit: one a gate, but the GRU has two of n: n' r z n, see README.
constexpr int64_t gradients_of(int32_t cell) { return cell == GRU ? 4 : gates_of(cell); }
// The gate that the weights know as gradient `place`.
constexpr int64_t gate_of(int32_t cell, int64_t place) { return cell == GRU ? (place + 2) % 3 : place; }

// Every scratch row is padded to a multiple of the widest tile, so kernels write whole vectors there.
constexpr int64_t PAD = 32;
constexpr int64_t padded(int64_t n) { return (n + PAD - 1) / PAD * PAD; }
// Rows a cache set apart by a power of two evict each other; one more line between them does not.
constexpr int64_t row_stride(int64_t n) { return padded(n) + 16; }

extern "C" {

// One layer over one window, as the C ABI sees it (library.py has the same fields). Arrays are C-contiguous float32.
struct SonhoWindow {
    int32_t cell, threads, precision;  // FLOAT32 or BFLOAT16
    int64_t N, T, D, H, V;   // V is 1 without ids
    const int64_t *ids;      // (N, T) symbols, or null
    const float *inputs;     // (N, T, D) vectors, or null: D is 0. Beside ids they add to what the table gives
    const int64_t *lengths;  // (N), or null: every row runs T steps
    const float *table;      // (V, G*H): what a symbol adds to the gates; without ids the bias (G*H)
    const float *weight_ih, *weight_hh;  // (G*H, D) and (G*H, H)
    const float *h_first, *c_first;      // (N, H); c only for the LSTM
    // written by forward; read by backward
    float *outputs;  // (N, T, H): zero past a row's length
    float *saved;    // sonho_saved_size() floats, in an order of the kernels' own, or null: nothing is kept
    // forward only
    float *h_last, *c_last;  // (N, H)
    // backward only; a gradient that is null counts as zero
    const float *d_outputs, *d_h_last, *d_c_last;
    float *d_table, *d_weight_ih, *d_weight_hh;
    float *d_inputs, *d_h_first, *d_c_first;  // (N, T, D), (N, H); or null: not wanted
};

// What each symbol adds to the gates of a first layer: its row of the embedding, or of one-hot vectors, times the weights.
struct SonhoTable {
    int32_t threads, precision, adds;  // adds: to what d_embedding holds
    int64_t V, E, C;                   // E numbers of an embedding; C columns, G*H
    const float *embedding;            // (V, E), or null: one-hot vectors, E being V
    const float *weight, *bias;        // (C, E), (C)
    float *table;                      // (V, C): forward alone
    const float *d_table;              // the rest backward alone
    float *d_embedding, *d_weight, *d_bias;
};

// The output layer and the cross-entropy of its softmax, with all their gradients, in one call.
struct SonhoLoss {
    int32_t threads, precision;
    int64_t R, H, V;
    const float *hidden, *weight, *bias;  // (R, H), (V, H), (V); a bias of -inf: never predicted
    const int64_t *targets;               // (R): ids, or -100 where there is none
    double *loss;                         // mean over the targets, nats
    float *d_hidden, *d_weight, *d_bias;  // gradients of that mean
};

// A step of Muon for one parameter (rows, columns), in place.
struct SonhoMuon {
    int64_t rows, columns;
    float *parameter, *buffer;  // the buffer is the momentum
    const float *gradient;
    float rate, momentum, weight_decay;
};

// A step of AdamW for one parameter of n numbers, in place.
struct SonhoAdamW {
    int64_t n;
    float *parameter, *mean, *square;  // the averages of the gradient and of its square
    const float *gradient;
    float rate, beta1, beta2, epsilon, weight_decay;
    float correction1, correction2;  // 1 - beta ** steps
};

// n numbers, and those that they move towards where that is asked for.
struct SonhoArray {
    int64_t n;
    float *values;
    const float *towards;
};
}

// Which rows run when. They are ranked, longest first: those that run at step t have ranks below running[t]. Row `rank`
// at step t is number base[t] + rank of all, so that what is kept has no gaps.
struct Order {
    const int64_t *base, *running;  // (T)
    const int64_t *row;             // (N): the row of the batch that has this rank
    int64_t total;
};

// One thread's share: every `step`-th rank from `first` on, `count` of them, with `steps[i]` steps each.
struct Slice {
    const Order *order;
    int64_t first, step, count;
    const int64_t *steps;
    float *scratch;  // forward_scratch() or backward_scratch() floats, aligned to 64 bytes

    int64_t rank(int64_t i) const { return first + i * step; }
    int64_t row(int64_t i) const { return order->row[rank(i)]; }
};

struct Kernels {
    int64_t tile_columns, tile_rows;
    // Panels [first, last) of the packed weights; a panel is one tile wide.
    void (*pack_forward)(const SonhoWindow &, float *packed, int64_t first, int64_t last);
    void (*pack_backward)(const SonhoWindow &, float *packed, int64_t first, int64_t last);
    void (*forward)(const SonhoWindow &, const float *packed, const Slice &);
    // `gradients` of the gates: see GRADIENT_ROWS.
    void (*backward)(const SonhoWindow &, const float *packed, const Slice &, float *gradients);
    // Gradients of weights and table from panels [first, last) of `gradients`.
    void (*weights)(const SonhoWindow &, const Order &, const float *gradients, int64_t first, int64_t last,
                    float *scratch);
    void (*sigmoid)(const float *x, float *y, int64_t n);
    void (*tanh)(const float *x, float *y, int64_t n);
    // The multiply alone, on a panel of `depth` that stays in the cache; returns the multiplications and additions done.
    double (*multiply)(float *scratch, int64_t depth, int64_t repeats);
};

// A row of a slice: x ends where h begins, at a multiple of a tile, so one product takes both.
constexpr int64_t input_stride(int64_t D, int64_t H) { return row_stride(padded(D) + padded(H)); }
// Floats of scratch for a slice of `count` rows: x and h twice, h, c, the sums of a tile | gradients of the gates, of h, of c.
constexpr int64_t forward_scratch(const SonhoWindow &w, int64_t count) {
    return count * 2 * (input_stride(w.D, w.H) + padded(w.H)) + 12 * gradients_of(w.cell) * PAD;
}
constexpr int64_t backward_scratch(const SonhoWindow &w, int64_t count) {
    return count * (row_stride(gradients_of(w.cell) * w.H) + 2 * padded(w.H)) + 12 * PAD;
}
// The gradients of the gates lie as the weights' gradient multiplies them: this many rows (by Order) of one panel, then
// of the next, then the next rows. Such a piece of a panel fits the first cache, beside what it is multiplied with.
constexpr int64_t GRADIENT_ROWS = 128;
constexpr int64_t gradient_size(const SonhoWindow &w, int64_t rows) {
    return (rows + GRADIENT_ROWS - 1) / GRADIENT_ROWS * GRADIENT_ROWS * gradients_of(w.cell) * padded(w.H);
}
// Floats of scratch for the gradients of `panels` panels: x and h of the rows, and the sums.
constexpr int64_t weights_scratch(const SonhoWindow &w, int64_t panels) {
    return GRADIENT_ROWS * input_stride(w.D, w.H) + panels * (w.D + w.H) * PAD;
}

extern const Kernels kernels_baseline, kernels_avx2, kernels_avx512, kernels_bfloat16;

// The loss's two passes. First, by rows [first, last): their losses and the gradients of hidden, and of the logits, which
// are kept as panels as those of the gates are (GRADIENT_ROWS). Then, by panels of V: the gradients of weight and bias.
// What one thread does of the weights' gradient: some panels of symbols, and some of the hidden units.
struct Part {
    int64_t panel, last_panel, unit, last_unit;
};

struct LossKernels {
    void (*pack)(const SonhoLoss &, float *packed, int64_t first, int64_t last);
    void (*rows)(const SonhoLoss &, const float *packed, float scale, int64_t from, int64_t first, int64_t last,
                 double *losses, float *gradients, float *scratch);
    void (*weights)(const SonhoLoss &, const float *gradients, int64_t from, int64_t rows, Part, float *sums, float *scratch);
    void (*finish)(const SonhoLoss &, const float *sums, Part);
};
// Both ways to pack the weights: (panel of V, H, WIDTH), then (panel of H, V, WIDTH).
constexpr int64_t loss_packed(const SonhoLoss &l) { return padded(l.V) * l.H + l.V * padded(l.H); }
constexpr int64_t loss_rows_scratch(const SonhoLoss &l) {
    return GRADIENT_ROWS * (row_stride(l.V) + row_stride(l.H)) + 12 * PAD;
}
constexpr int64_t loss_weights_scratch(const SonhoLoss &l) { return GRADIENT_ROWS * row_stride(l.H); }

struct TableKernels {
    void (*forward)(const SonhoTable &, int64_t first, int64_t last, float *scratch);
    void (*pack)(const SonhoTable &, float *packed);
    // Of columns, in panels, and of rows: the gradients of weight and bias, and of the embedding.
    void (*weights)(const SonhoTable &, const float *packed, int64_t first, int64_t last, float *scratch);
    void (*rows)(const SonhoTable &, const float *packed, int64_t first, int64_t last, float *scratch);
};
// A panel of the weights, and the embedding as terms | the embedding and the weights packed | sums | rows as terms.
constexpr int64_t table_forward_scratch(const SonhoTable &t) { return padded(t.E) * PAD + (t.embedding ? t.V * t.E : 0); }
constexpr int64_t table_packed(const SonhoTable &t) { return t.V * row_stride(t.E) + padded(t.E) * t.C; }
constexpr int64_t table_weights_scratch(const SonhoTable &t) { return (t.embedding ? t.E : 0) * PAD; }
constexpr int64_t table_rows_scratch(const SonhoTable &t, int64_t deals) { return deals ? (t.V / deals + 1) * t.C : 0; }

// A step of Muon for one matrix: the panels of each stage in turn, in any order among themselves.
constexpr int64_t MUON_STAGES = 13;
struct MuonKernels {
    bool (*exact)(int64_t stage);  // of float32 numbers always: another precision's kernels cannot work it out
    int64_t (*panels)(const SonhoMuon &, int64_t stage);
    void (*work_out)(const SonhoMuon &, int64_t stage, int64_t panel, float *scratch, float *room);
};
constexpr int64_t muon_least(const SonhoMuon &p) { return p.rows < p.columns ? p.rows : p.columns; }
constexpr int64_t muon_most(const SonhoMuon &p) { return p.rows + p.columns - muon_least(p); }
// Sums, the matrix as terms, and four symmetric ones | a panel, and what it was multiplied to.
constexpr int64_t muon_scratch(const SonhoMuon &p) {
    return (muon_least(p) + 2) * row_stride(muon_most(p)) + 4 * muon_least(p) * row_stride(muon_least(p));
}
constexpr int64_t muon_room(const SonhoMuon &p) { return (muon_most(p) + 2 * padded(muon_least(p))) * PAD; }

struct UpdateKernels {
    // Numbers [first, last) of a parameter.
    void (*adamw)(const SonhoAdamW &, int64_t first, int64_t last);
    // to += share * (from - to)
    void (*approach)(float *to, const float *from, float share, int64_t n);
    void (*scale)(float *x, float factor, int64_t n);
    double (*sum_of_squares)(const float *x, int64_t n);
};

extern const MuonKernels muon_baseline, muon_avx2, muon_avx512, muon_bfloat16;
extern const TableKernels table_baseline, table_avx2, table_avx512, table_bfloat16;
extern const LossKernels loss_baseline, loss_avx2, loss_avx512, loss_bfloat16;
extern const UpdateKernels updates_baseline, updates_avx2, updates_avx512;
