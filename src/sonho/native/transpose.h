// Matrices of 32-bit numbers turned, a square of vectors at a time.
#pragma once

#include "vector.h"

namespace {

// Of two vectors in turn: their first halves, and their last.
#if defined(__clang__)
#define INTERLEAVE(name, ...) \
    inline Ints name(Ints x, Ints y) { return __builtin_shufflevector(x, y, __VA_ARGS__); }
#else
#define INTERLEAVE(name, ...)         \
    inline Ints name(Ints x, Ints y) { \
        const Ints order = {__VA_ARGS__}; \
        return __builtin_shuffle(x, y, order); \
    }
#endif
#if defined(__AVX512F__)
INTERLEAVE(first_halves, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
INTERLEAVE(last_halves, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#elif defined(__AVX2__)
INTERLEAVE(first_halves, 0, 8, 1, 9, 2, 10, 3, 11)
INTERLEAVE(last_halves, 4, 12, 5, 13, 6, 14, 7, 15)
#else
INTERLEAVE(first_halves, 0, 4, 1, 5)
INTERLEAVE(last_halves, 2, 6, 3, 7)
#endif
#undef INTERLEAVE

// to (LANES, LANES) = from transposed: interleaving the upper half of the rows with the lower one turns them by one bit of
// their number, and there are as many of these as of halvings.
template <class Number>
inline void transpose_square(Number *to, int64_t to_stride, const Number *from, int64_t from_stride) {
    constexpr int HALVINGS = LANES == 16 ? 4 : LANES == 8 ? 3 : 2;
    Ints rows[LANES];
    UNROLL for (int i = 0; i < LANES; ++i) memcpy(&rows[i], from + i * from_stride, sizeof(Ints));
    UNROLL for (int halving = 0; halving < HALVINGS; ++halving) {
        Ints turned[LANES];
        UNROLL for (int i = 0; i < LANES / 2; ++i) {
            turned[2 * i] = first_halves(rows[i], rows[i + LANES / 2]);
            turned[2 * i + 1] = last_halves(rows[i], rows[i + LANES / 2]);
        }
        UNROLL for (int i = 0; i < LANES; ++i) rows[i] = turned[i];
    }
    UNROLL for (int i = 0; i < LANES; ++i) memcpy(to + i * to_stride, &rows[i], sizeof(Ints));
}

// to (WIDTH, WIDTH) = from (WIDTH, WIDTH) transposed: a square of tiles.
inline void transpose_tiles(float *to, const float *from) {
    for (int64_t row = 0; row < WIDTH; row += LANES)
        for (int64_t column = 0; column < WIDTH; column += LANES)
            transpose_square(to + column * WIDTH + row, WIDTH, from + row * WIDTH + column, WIDTH);
}

// to (columns, rows) = from (rows, columns) transposed, `*_stride` apart.
template <class Number>
void transpose(Number *to, int64_t to_stride, const Number *from, int64_t from_stride, int64_t rows, int64_t columns) {
    static_assert(sizeof(Number) == 4, "a vector has as many of them as of floats");
    int64_t row = 0;
    for (; row + LANES <= rows; row += LANES, to += LANES, from += LANES * from_stride) {
        int64_t column = 0;
        for (; column + LANES <= columns; column += LANES)
            transpose_square(to + column * to_stride, to_stride, from + column, from_stride);
        for (; column < columns; ++column)
            for (int64_t i = 0; i < LANES; ++i) to[column * to_stride + i] = from[i * from_stride + column];
    }
    for (int64_t i = 0; i < rows - row; ++i)
        for (int64_t column = 0; column < columns; ++column) to[column * to_stride + i] = from[i * from_stride + column];
}

}  // namespace
