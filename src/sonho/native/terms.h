// What products are made of. A term is one float32 number or, where BFLOAT16_PRODUCTS is defined, two numbers of 16 bits
// that are neighbours in the depth of the product: the processor multiplies both and adds them up in float32.
//
// A row of n numbers is terms(n) terms; the second half of the last one is zero where n is odd. Sums, and all that is not
// a product, are float32 either way.
#pragma once

#include "vector.h"

#if defined(BFLOAT16_PRODUCTS)
#include <immintrin.h>
#endif

namespace {

inline int64_t least(int64_t x, int64_t y) { return x < y ? x : y; }

#if defined(BFLOAT16_PRODUCTS)

static_assert(LANES == 16, "these are instructions of AVX-512");
typedef uint32_t Term;
typedef uint16_t Number;
typedef Ints Terms;
constexpr int64_t NUMBERS = 2;  // in a term

inline Vec add_products(Vec sum, Term x, Terms y) {
    return (Vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32((int)x), (__m512bh)y);
}

// WIDTH numbers in a row, each to the nearest of 16 bits.
inline Terms narrow(Pair v) { return (Terms)_mm512_cvtne2ps_pbh((__m512)v.b, (__m512)v.a); }

inline Terms load_terms(const void *p) {
    Terms v;
    memcpy(&v, p, sizeof v);
    return v;
}
inline void store_terms(void *p, Terms v) { memcpy(p, &v, sizeof v); }

// Two rows of WIDTH numbers, one above the other, as WIDTH terms.
inline void zip(Term *to, Terms upper, Terms lower) {
    typedef uint16_t Row __attribute__((vector_size(2 * WIDTH)));
    const Row x = (Row)upper, y = (Row)lower;
    store_terms(to, (Terms)__builtin_shufflevector(x, y, 0, 32, 1, 33, 2, 34, 3, 35, 4, 36, 5, 37, 6, 38, 7, 39, 8, 40, 9, 41, 10,
                                                   42, 11, 43, 12, 44, 13, 45, 14, 46, 15, 47));
    store_terms(to + LANES, (Terms)__builtin_shufflevector(x, y, 16, 48, 17, 49, 18, 50, 19, 51, 20, 52, 21, 53, 22, 54, 23, 55,
                                                           24, 56, 25, 57, 26, 58, 27, 59, 28, 60, 29, 61, 30, 62, 31, 63));
}
inline void zip(Term *to, Pair upper, Pair lower) { zip(to, narrow(upper), narrow(lower)); }

// WIDTH numbers of a row as its terms; the first n alone.
inline void store_row(Term *to, Pair v) { store_terms(to, narrow(v)); }
inline void store_row(Term *to, Pair v, int64_t n) {
    if (n >= WIDTH) return store_row(to, v);
    const Terms all = narrow(v);
    if (n > 0) memcpy(to, &all, sizeof(Term) * ((n + 1) / 2));
}

inline Vec widen(const Number *p) {
    Number half __attribute__((vector_size(2 * LANES)));
    memcpy(&half, p, sizeof half);
    return (Vec)(__builtin_convertvector(half, Ints) << 16);
}
inline Pair load_numbers(const Number *p) { return {widen(p), widen(p + LANES)}; }
inline void store_numbers(Number *p, Pair v) { store_terms(p, narrow(v)); }

// `depth` rows of WIDTH numbers as the panel of a product. `room` takes it.
constexpr int64_t panel_room(int64_t depth) { return (depth + 1) / 2 * WIDTH; }
inline const Term *panel_of(const Number *rows, int64_t depth, Term *room) {
    for (int64_t k = 0; k < depth; k += 2)
        zip(room + k / 2 * WIDTH, load_terms(rows + k * WIDTH),
            k + 1 < depth ? load_terms(rows + (k + 1) * WIDTH) : Terms{});
    return room;
}

#else

typedef float Term;
typedef float Number;
typedef Vec Terms;
constexpr int64_t NUMBERS = 1;

inline Vec add_products(Vec sum, Term x, Terms y) { return sum + x * y; }
inline Terms load_terms(const Term *p) { return load(p); }
inline void zip(Term *to, Pair upper, Pair) { store_pair(to, upper); }
inline void store_row(Term *to, Pair v) { store_pair(to, v); }
inline void store_row(Term *to, Pair v, int64_t n) { store_pair(to, v, n); }
inline Pair load_numbers(const Number *p) { return load_pair(p); }
inline void store_numbers(Number *p, Pair v) { store_pair(p, v); }
constexpr int64_t panel_room(int64_t) { return 1; }
inline const Term *panel_of(const Number *rows, int64_t, Term *) { return rows; }

#endif

constexpr int64_t terms(int64_t numbers) { return (numbers + NUMBERS - 1) / NUMBERS; }

// Rows of terms, `stride` of them apart.
struct Rows {
    const Term *first;
    int64_t stride;
};

// A row of n numbers as terms.
inline void to_terms(Term *to, const float *from, int64_t n) {
    for (int64_t j = 0; j < n; j += WIDTH, to += WIDTH / NUMBERS) store_row(to, load_pair(from + j, n - j), n - j);
}

// Rows (count, numbers), `stride` apart, as terms. `room` takes them where they are not that already; it has `stride` floats
// a row.
inline Rows rows_of(const float *rows, int64_t stride, int64_t count, int64_t numbers, float *room) {
    if (NUMBERS == 1) return {(const Term *)rows, stride};
    for (int64_t i = 0; i < count; ++i) to_terms((Term *)room + i * stride, rows + i * stride, numbers);
    return {(const Term *)room, stride};
}

// Rows of n numbers, NUMBERS of them one above the other, as n terms. A missing one counts as zeros.
inline void zip_rows(Term *to, const float *upper, const float *lower, int64_t n) {
    for (int64_t j = 0; j < n; j += WIDTH)
        zip(to + j, load_pair(upper + j, n - j), lower ? load_pair(lower + j, n - j) : Pair{});
}

}  // namespace
