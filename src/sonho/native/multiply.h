// The multiply: up to TILE_ROWS rows by one panel of WIDTH columns, all sums in registers.
#pragma once

#include "terms.h"
#include "transpose.h"

namespace {

// An empty array may have no address, and memset and memcpy insist on one.
inline void zero(float *p, int64_t n) {
    if (n > 0) memset(p, 0, sizeof(float) * n);
}
inline void copy(float *to, const float *from, int64_t n) {
    if (n > 0) memcpy(to, from, sizeof(float) * n);
}

// out (R, WIDTH) = a (R, depth) panel (depth, WIDTH), the depth counted in terms; or with `add`, out += . Each sum runs over
// the depth in order, so a row's result does not depend on the rows beside it. `a_row` and `a_step` are the strides of a.
template <int R, bool add>
inline void multiply(const Term *a, int64_t a_row, int64_t a_step, const Term *panel, int64_t depth, float *out,
                     int64_t out_row) {
    Vec left[R], right[R];
    UNROLL for (int r = 0; r < R; ++r) {
        left[r] = add ? load(out + r * out_row) : Vec{};
        right[r] = add ? load(out + r * out_row + LANES) : Vec{};
    }
    for (int64_t k = 0; k < depth; ++k, a += a_step, panel += WIDTH) {
        const Terms b_left = load_terms(panel), b_right = load_terms(panel + LANES);
        UNROLL for (int r = 0; r < R; ++r) {
            const Term x = a[r * a_row];
            left[r] = add_products(left[r], x, b_left);
            right[r] = add_products(right[r], x, b_right);
        }
    }
    UNROLL for (int r = 0; r < R; ++r) {
        store(out + r * out_row, left[r]);
        store(out + r * out_row + LANES, right[r]);
    }
}

typedef void (*Multiply)(const Term *, int64_t, int64_t, const Term *, int64_t, float *, int64_t);

template <int R, bool add>
void multiply_columns(const Term *a, int64_t a_row, int64_t a_step, const Term *panel, int64_t depth, float *out,
                      int64_t out_row) {
    (void)a_row;
    multiply<R, add>(a, 1, a_step, panel, depth, out, out_row);
}

template <int R, bool add>
void multiply_rows(const Term *a, int64_t a_row, int64_t a_step, const Term *panel, int64_t depth, float *out,
                   int64_t out_row) {
    (void)a_step;
    multiply<R, add>(a, a_row, 1, panel, depth, out, out_row);
}

// multiply_by_rows[R]: the rows of a are rows of memory. add_by_columns[R]: they are columns. add: to what out holds.
#if defined(__AVX512F__)
#define FOR_EACH_R(f) \
    { nullptr, f(1), f(2), f(3), f(4), f(5), f(6), f(7), f(8), f(9), f(10), f(11), f(12) }
#else
#define FOR_EACH_R(f) \
    { nullptr, f(1), f(2), f(3), f(4), f(5), f(6) }
#endif
#define ROWS_OF(R) multiply_rows<R, false>
#define ADD_ROWS_OF(R) multiply_rows<R, true>
#define COLUMNS_OF(R) multiply_columns<R, true>
const Multiply multiply_by_rows[TILE_ROWS + 1] = FOR_EACH_R(ROWS_OF);
[[maybe_unused]] const Multiply add_by_rows[TILE_ROWS + 1] = FOR_EACH_R(ADD_ROWS_OF);
const Multiply add_by_columns[TILE_ROWS + 1] = FOR_EACH_R(COLUMNS_OF);

// The panel of rows (width, depth), `stride` apart, transposed: out (terms(depth), WIDTH).
inline void transpose_into(Term *out, const float *rows, int64_t stride, int64_t depth, int64_t width) {
    for (int64_t from = 0; from < depth; from += WIDTH, out += terms(WIDTH) * WIDTH) {
        const int64_t numbers = least(WIDTH, depth - from);
        Term block[WIDTH * WIDTH];  // (width, terms)
        for (int64_t j = 0; j < width; ++j) to_terms(block + j * WIDTH, rows + j * stride + from, numbers);
        transpose(out, WIDTH, block, WIDTH, width, terms(numbers));
    }
}

// The panel of the first `width` columns of rows (depth, ...), `stride` apart: out (terms(depth), WIDTH).
inline void pack_rows(Term *out, const float *rows, int64_t stride, int64_t depth, int64_t width) {
    for (int64_t k = 0; k < depth; k += NUMBERS, rows += NUMBERS * stride, out += WIDTH)
        zip(out, load_pair(rows, width), k + 1 < depth && NUMBERS > 1 ? load_pair(rows + stride, width) : Pair{});
}

// `count` rows in blocks of nearly equal size, none above TILE_ROWS: block i is [start(i), start(i + 1)).
struct Blocks {
    int64_t count, blocks;
    explicit Blocks(int64_t rows) : count(rows), blocks((rows + TILE_ROWS - 1) / TILE_ROWS) {}
    int64_t start(int64_t i) const { return i * count / blocks; }
};

}  // namespace
