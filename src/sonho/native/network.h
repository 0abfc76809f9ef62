// A trained network, packed for running: what decode.cpp runs and the C ABI makes. Independent of the instruction set.
//
// Shapes: N rows, T time, V vocabulary, D input, H hidden, G gates, K kernel size of a convolution, P = (K-1)*dilation.
#pragma once

#include <cstdlib>

#include <memory>
#include <new>
#include <vector>

#include "prior.h"
#include "steps.h"

extern "C" {

// One layer as the C ABI sees it (library.py has the same fields). Arrays are C-contiguous float32 and are copied.
// A convolution has G = 2: the value and its gate.
struct SonhoLayer {
    int32_t cell;
    int32_t takes_ids;       // whether it is fed ids, and has a table
    int64_t H, D;            // D: 0 for a layer that is fed ids
    int64_t K, dilation;     // of a convolution
    const float *table;      // (V, G*H), or (K, V, 2*H); null unless it takes ids
    const float *weight_ih;  // (G*H, D), or (2*H, K*D); null where it takes ids
    const float *weight_hh;  // (G*H, H); null for a convolution
    const float *bias;       // (G*H); null where a table holds it
    const float *norm_weight, *norm_bias;  // (H), or null: no layer norm
    const float *residual;   // (V, H), or null: added by a convolution that takes ids
    int32_t adds_input;      // whether a convolution that is fed vectors adds them
    int32_t is_conditioned;  // whether the state of a recurrent layer ends with what each row adds to the gates, (N, G*H)
};

struct SonhoNetwork {
    int32_t bits;  // 32: float32 weights; 8: integers with a scale for each output
    int64_t V, num_layers;
    const SonhoLayer *layers;
    int64_t vector_size;
    const float *vectors;  // (V, D): what the first layer is fed where it does not take ids; else null
    const float *output_weight, *output_bias;  // (V, H), (V); a bias of -inf bars a symbol
    const void *prior;  // from sonho_prior_new, or null; it must live as long
};
}

namespace sonho {

// Aligned memory that is zero to begin with.
template <class T>
class Buffer {
public:
    explicit Buffer(int64_t n = 0) : data_(n ? static_cast<T *>(aligned_alloc(64, bytes(n))) : nullptr) {
        if (n && !data_) throw std::bad_alloc();
        for (int64_t i = 0; i < n; ++i) data_.get()[i] = T();
    }
    T *get() const { return data_.get(); }
    explicit operator bool() const { return data_ != nullptr; }

private:
    struct Free {
        void operator()(T *p) const { free(p); }
    };
    static size_t bytes(int64_t n) { return (n * sizeof(T) + 63) / 64 * 64; }
    std::unique_ptr<T, Free> data_;
};

// A weight matrix (M, K), packed.
struct Matrix {
    const StepKernels *kernels = nullptr;  // those that packed it
    int64_t K = 0, columns = 0;
    Buffer<float> packed, scales;
    Buffer<int8_t> packed8;
    std::vector<Inputs> inputs;  // of each panel

    Matrix() = default;
    Matrix(const float *weight, int64_t depth, const std::vector<int64_t> &order, int32_t bits);
    // out (R, columns) = a (R, K) times this. `rounded` is room for R * (K + 1) shorts.
    void times(const float *a, int64_t a_row, int64_t R, int16_t *rounded, float *out, bool backwards) const;
};

struct Layer {
    int32_t cell;
    bool takes_ids, adds_input, is_conditioned;
    int64_t H, S, D, K, dilation, past;  // S: floats from one row of H numbers to the next
    int64_t columns;                     // of its gates
    Buffer<float> tables;                // (K or 1, V + 1, columns); the last row is zero: what stood before the start
    Buffer<float> bias, norm_weight, norm_bias, residual;
    std::vector<int64_t> order;          // the gate of each column, -1: none
    Matrix input, hidden;

    Layer(const SonhoLayer &spec, int64_t V, int32_t bits);
    bool recurrent() const { return cell != CONV; }
};

struct Network {
    const StepKernels &kernels = step_kernels();
    int64_t V, vector_size;
    Buffer<float> vectors;
    std::vector<Layer> layers;
    Matrix output;
    Buffer<float> output_bias;
    const Prior *prior;

    explicit Network(const SonhoNetwork &spec);
};

// Some rows of a network, carried through time. `states` are arrays with first axis N, of which this has the rows from
// `first`: h (N, H) and for the LSTM c (N, H) a layer; for a convolution the past inputs (N, P, D), or ids (N, P) int64.
// A conditioned layer has what each row adds to its gates (N, G*H) behind those; it never changes. With a prior there
// is one more at the end, its nodes (N) int64.
class Rows {
public:
    Rows(const Network &network, int64_t first, int64_t count, void *const *states);

    // Feed ids (T, rows) to the first `rows` rows; T at most MOST_STEPS. Returns the last layer's outputs (T, rows, S).
    const float *feed(const int64_t *ids, int64_t T, int64_t rows);
    // Logits of `count` of those outputs from `begin` on, (count, V padded), mixed with the prior where there is one.
    const float *project(const float *outputs, int64_t begin, int64_t count);
    int64_t logits_row() const { return network_.output.columns; }
    void swap(int64_t a, int64_t b);
    // Write the states of all rows back; slot i is row order[i] of this slice.
    void store(const std::vector<int64_t> &order);

    static constexpr int64_t MOST_STEPS = 64;

private:
    struct LayerState {
        Buffer<float> h, c;       // (count, S)
        Buffer<float> added;      // (count, columns) where a condition adds to the gates
        Buffer<float> inputs;     // convolution: (count, past + MOST_STEPS, D)
        Buffer<int64_t> ids;      // or the same of ids
        int64_t filled = 0;       // time steps in them, of which the last `past` count
    };

    const float *run_recurrent(const Layer &layer, LayerState &state, const int64_t *ids, const float *x, int64_t x_row,
                               int64_t T, int64_t rows, float *out);
    const float *run_convolution(const Layer &layer, LayerState &state, const int64_t *ids, const float *x, int64_t x_row,
                                 int64_t T, int64_t rows, float *out);
    void grow(int64_t T);
    void follow(const int64_t *ids, int64_t T, int64_t rows);

    const Network &network_;
    const StepKernels &kernels_;
    int64_t first_, count_, room_ = 0;
    void *const *states_;
    std::vector<LayerState> layers_;
    std::vector<int64_t> nodes_, reached_;  // of the prior: of each row, and of each output of the last feed
    std::vector<float> ngram_;
    std::vector<const float *> in_;
    Buffer<float> gates_, sums_, taps_, vectors_, logits_, outputs_[2];
    Buffer<int16_t> rounded_;
    bool backwards_ = false;
};

}  // namespace sonho
