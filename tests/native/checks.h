// What the drivers of the sanitizers share.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

using Floats = std::vector<float>;
using Ids = std::vector<int64_t>;

inline void require(bool held, const char *what) {
    if (held) return;
    fprintf(stderr, "failed: %s\n", what);
    exit(1);
}

inline Floats draw(int64_t n, float size) {
    static std::mt19937 generator(1);
    Floats x(n);
    for (float &value : x) value = std::normal_distribution<float>(0.0f, size)(generator);
    return x;
}
