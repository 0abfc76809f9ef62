// An n-gram prior beside a network: a trie of what was counted, and the gate that mixes both. Twin: decoding/prior.py.
// Independent of the instruction set.
//
// Shapes: V vocabulary, S nodes below the root, C of them above the last depth, k the order.
#pragma once

#include <vector>

#include "steps.h"

extern "C" {

// A prior as the C ABI sees it (prior.py has the same fields; storage/prior.py explains them). Arrays are copied.
struct SonhoPrior {
    int64_t order, V, S, C;
    float floor;                // log-probability of a token below all contexts
    const int64_t *levels;      // (k + 2)
    const int32_t *tokens;      // (S + 1)
    const float *log_probs;     // (S + 1)
    const int32_t *first_child; // (C + 2)
    const float *log_gammas;    // (C + 1)
    const int32_t *suffix;      // (C + 1)
    const float *gate;          // (2, k + 2)
};
}

namespace sonho {

class Prior {
public:
    static constexpr int64_t MOST_ORDER = 16;

    explicit Prior(const SonhoPrior &spec);

    // The longest context that was kept and that others follow, after one more token.
    int64_t next(int64_t node, int64_t token) const;
    // Mix logits (V) with the prediction after a node, in place. `room` is as long.
    void mix(int64_t node, float *logits, float *room) const;
    int64_t vocab_size() const { return V_; }
    bool is_context(int64_t node) const { return node >= 0 && node < contexts(); }

private:
    int64_t contexts() const { return static_cast<int64_t>(suffix_.size()); }
    int64_t depth(int64_t node) const;

    int64_t order_, V_;
    std::vector<int64_t> levels_;
    std::vector<int32_t> tokens_, first_child_, suffix_;
    std::vector<float> log_probs_, log_gammas_, gate_;
    std::vector<float> root_;  // (V): log-probabilities without a context
};

}  // namespace sonho
