// What an optimiser does to every number by itself, for one instruction set: see SonhoAdamW and the rest in kernels.h.
//
// UPDATES names the table that this compilation fills. Twins: AdamW.step in training/adamw.py, Averaged.update in
// training/averaging.py, clip_norm in training/clipping.py.

#include <math.h>

#include "kernels.h"

namespace {

// Loops that the compiler turns into vectors: nothing in them depends on the number before.
void adamw(const SonhoAdamW &p, int64_t first, int64_t last) {
    float *__restrict parameter = p.parameter, *__restrict mean = p.mean, *__restrict square = p.square;
    const float *__restrict gradient = p.gradient;
    const float keep = 1.0f - p.rate * p.weight_decay, of_mean = 1.0f - p.beta1, of_square = 1.0f - p.beta2;
    const float step = p.rate / p.correction1, size = 1.0f / sqrtf(p.correction2), epsilon = p.epsilon, beta2 = p.beta2;
    for (int64_t i = first; i < last; ++i) {
        const float g = gradient[i], m = mean[i] + of_mean * (g - mean[i]), v = beta2 * square[i] + of_square * g * g;
        mean[i] = m;
        square[i] = v;
        parameter[i] = keep * parameter[i] - step * m / (sqrtf(v) * size + epsilon);
    }
}

void approach(float *__restrict to, const float *__restrict from, float share, int64_t n) {
    for (int64_t i = 0; i < n; ++i) to[i] += share * (from[i] - to[i]);
}

void scale(float *x, float factor, int64_t n) {
    for (int64_t i = 0; i < n; ++i) x[i] *= factor;
}

// The sum runs in PARTS at once, always the same ones, so that it does not depend on the width of the vectors.
double sum_of_squares(const float *x, int64_t n) {
    constexpr int PARTS = 16;
    double sums[PARTS] = {};
    int64_t i = 0;
    for (; i + PARTS <= n; i += PARTS)
        for (int part = 0; part < PARTS; ++part) sums[part] += static_cast<double>(x[i + part]) * x[i + part];
    for (; i < n; ++i) sums[0] += static_cast<double>(x[i]) * x[i];
    double sum = 0.0;
    for (double part : sums) sum += part;
    return sum;
}

}  // namespace

extern const UpdateKernels UPDATES;
const UpdateKernels UPDATES = {adamw, approach, scale, sum_of_squares};
