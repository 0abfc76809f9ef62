// What decoding asks of an instruction set: products of a few rows with packed weights, and what stands between them.
//
// Shapes: R rows, K inputs of a product, M its outputs, H hidden, G gates. `columns` is M, padded and put in the order
// of the packed weights: for gates (unit block, gate, unit), a block being one tile wide.
#pragma once

#include "kernels.h"

constexpr int32_t CONV = 4;  // a gated causal convolution, beside the cells of kernels.h

// Of the K inputs of a product, those that the columns of a panel take, [first, last): the weights of all others are zero.
// Where several networks are one (training/ensemble.py), each has a block of the weights.
struct Inputs {
    int64_t first, last;
};

struct StepKernels {
    int64_t tile_columns;
    // Column j of `packed` (K, columns) is row order[j] of `weight` (M, K), or zero where that is negative.
    void (*pack)(const float *weight, int64_t K, const int64_t *order, int64_t columns, float *packed);
    // The same in 8 bits: weight = scales[j] * integer. `packed` holds columns * (K + K % 2) bytes.
    void (*pack8)(const float *weight, int64_t K, const int64_t *order, int64_t columns, int8_t *packed, float *scales);
    // out (R, columns) = a (R, K) packed. Each number is summed in the order of K, whatever R. `inputs` are those of each
    // panel. `backwards` starts from the last panel: going to and fro finds the last panels still in the cache.
    void (*product)(const float *a, int64_t a_row, int64_t R, const float *packed, const Inputs *inputs, int64_t K,
                    int64_t columns, float *out, int64_t out_row, bool backwards);
    // The rows are rounded to 16 bits into `rounded` (R, K + K % 2), the sums are exact.
    void (*product8)(const float *a, int64_t a_row, int64_t R, const int8_t *packed, const float *scales,
                     const Inputs *inputs, int64_t K, int64_t columns, int16_t *rounded, float *out, int64_t out_row, bool backwards);
    // One step of R rows: in[r] and sums (R, columns) hold the two halves of the gates; c is changed in place. A
    // convolution has its gates in `in` alone.
    void (*cell)(int32_t cell, const float *const *in, const float *sums, int64_t sums_row, const float *h, float *c,
                 float *h_next, int64_t row, int64_t R, int64_t H);
    // x (H) gets mean 0 and variance 1, then weight and bias.
    void (*normalise)(float *x, const float *weight, const float *bias, int64_t H);
    // y += x
    void (*add)(const float *x, float *y, int64_t n);
    // The largest of n numbers; NaN if one of them is.
    float (*peak)(const float *x, int64_t n);
    // y = exp((x - peak) / temperature), x at most peak; below 1e-307 it is 0. Error below 2 units in the last place.
    void (*weigh)(const float *x, int64_t n, double peak, double temperature, double *y);
    // x = exp(x), x at most 0.
    void (*exponentials)(double *x, int64_t n);
};

extern const StepKernels steps_baseline, steps_avx2, steps_avx512;

// Those of the instruction set in force.
const StepKernels &step_kernels();
