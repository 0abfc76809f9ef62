// Vectors of the width of the instruction set, and the two functions that gates need.
//
// Written with the vector extensions of GCC and Clang: no intrinsics, so one text serves every machine.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

namespace {

#if defined(__AVX512F__)
constexpr int LANES = 16;
constexpr int TILE_ROWS = 12;
#elif defined(__AVX2__)
constexpr int LANES = 8;
constexpr int TILE_ROWS = 6;
#else
constexpr int LANES = 4;
constexpr int TILE_ROWS = 6;
#endif
constexpr int64_t WIDTH = 2 * LANES;  // columns of a tile

typedef float Vec __attribute__((vector_size(LANES * 4)));
typedef uint32_t Ints __attribute__((vector_size(LANES * 4)));

inline Vec splat(float x) { return x - Vec{}; }

inline Vec load(const float *p) {
    Vec v;
    memcpy(&v, p, sizeof v);
    return v;
}

inline void store(float *p, Vec v) { memcpy(p, &v, sizeof v); }

// The first `n` lanes (all of them when n >= LANES); the others read as zero and are not written.
inline Vec load(const float *p, int64_t n) {
    if (n >= LANES) return load(p);
    Vec v{};
    for (int i = 0; i < LANES; ++i)
        if (i < n) v[i] = p[i];
    return v;
}

inline void store(float *p, Vec v, int64_t n) {
    if (n >= LANES) return store(p, v);
    for (int i = 0; i < LANES; ++i)
        if (i < n) p[i] = v[i];
}

// Two vectors side by side: the columns of a tile.
struct Pair {
    Vec a, b;
};

inline Pair load_pair(const float *p) { return {load(p), load(p + LANES)}; }
inline Pair load_pair(const float *p, int64_t n) { return {load(p, n), load(p + LANES, n - LANES)}; }
inline void store_pair(float *p, Pair v) { store(p, v.a), store(p + LANES, v.b); }
inline void store_pair(float *p, Pair v, int64_t n) { store(p, v.a, n), store(p + LANES, v.b, n - LANES); }
inline Pair operator+(Pair x, Pair y) { return {x.a + y.a, x.b + y.b}; }
inline Pair operator-(Pair x, Pair y) { return {x.a - y.a, x.b - y.b}; }
inline Pair operator*(Pair x, Pair y) { return {x.a * y.a, x.b * y.b}; }
inline Pair operator*(float s, Pair x) { return {s * x.a, s * x.b}; }
inline Pair operator+(float s, Pair x) { return {s + x.a, s + x.b}; }
inline Pair operator-(float s, Pair x) { return {s - x.a, s - x.b}; }

// exp(scale * x). Exponents are held to [-limit, limit]; a NaN stays one.
inline Vec exp_within(Vec x, float scale, float limit) {
    const Vec high = splat(limit), low = splat(-limit);
    Vec y = x * (scale * 1.44269504f);
    y = high < y ? high : y;
    y = low > y ? low : y;
    // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
    const Vec shifted = y + 12582912.0f;
    const Vec f = y - (shifted - 12582912.0f);  // in [-1/2, 1/2]
    // 2^f, minimax of degree 5: relative error below 2e-7 in all.
    Vec p = f * 0x1.5bba14p-10f + 0x1.3cea88p-7f;
    p = p * f + 0x1.c6b752p-5f;
    p = p * f + 0x1.ebf9bcp-3f;
    p = p * f + 0x1.62e42ap-1f;
    p = p * f + 1.0f;
    const Ints exponent = (Ints)shifted << 23;
    return (Vec)((Ints)p + exponent);
}

// 1 + exp(scale * x), for sigmoid and tanh: the product of two of them is finite.
inline Vec one_plus_exp(Vec x, float scale) { return exp_within(x, scale, 62.0f) + 1.0f; }

// 1 / x.a and 1 / x.b for the price of one division: divisions are what a gate would spend most of its time on.
inline Pair reciprocals(Pair x) {
    const Vec r = 1.0f / (x.a * x.b);
    return {r * x.b, r * x.a};
}

inline Pair sigmoid(Pair x) { return reciprocals({one_plus_exp(x.a, -1.0f), one_plus_exp(x.b, -1.0f)}); }

inline Pair tanh(Pair x) {
    const Pair s = reciprocals({one_plus_exp(x.a, -2.0f), one_plus_exp(x.b, -2.0f)});
    return 2.0f * s - Pair{splat(1.0f), splat(1.0f)};
}

inline Pair relu(Pair x) {
    // Written so that a NaN stays one.
    return {x.a < 0.0f ? Vec{} : x.a, x.b < 0.0f ? Vec{} : x.b};
}

}  // namespace
