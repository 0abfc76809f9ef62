#include "prior.h"

#include <algorithm>

namespace sonho {

namespace {

// The bounds of the weights, as in the twin.
constexpr float LEAST_NETWORK = 0.05f, MOST_WEIGHT = 4.0f;

}  // namespace

Prior::Prior(const SonhoPrior &spec)
    : order_(spec.order), V_(spec.V), levels_(spec.levels, spec.levels + spec.order + 2),
      tokens_(spec.tokens, spec.tokens + spec.S + 1), first_child_(spec.first_child, spec.first_child + spec.C + 2),
      suffix_(spec.suffix, spec.suffix + spec.C + 1), log_probs_(spec.log_probs, spec.log_probs + spec.S + 1),
      log_gammas_(spec.log_gammas, spec.log_gammas + spec.C + 1), gate_(spec.gate, spec.gate + 2 * (spec.order + 2)),
      root_(spec.V, spec.floor + spec.log_gammas[0]) {
    for (int32_t child = first_child_[0]; child < first_child_[1]; ++child) root_[tokens_[child]] = log_probs_[child];
}

int64_t Prior::next(int64_t node, int64_t token) const {
    for (;;) {
        const int32_t *first = tokens_.data() + first_child_[node], *last = tokens_.data() + first_child_[node + 1];
        const int32_t *found = std::lower_bound(first, last, token);
        const int64_t child = found - tokens_.data();
        // A gram of the last depth is no context, but its end is one.
        if (found != last && *found == token && child < contexts()) {
            node = child;
            break;
        }
        if (node == 0) break;
        node = suffix_[node];
    }
    while (node && first_child_[node] == first_child_[node + 1]) node = suffix_[node];
    return node;
}

void Prior::mix(int64_t node, float *logits, float *room) const {
    // From the longest context to the shortest: what a gram has, less what the longer contexts leave. Every sum is
    // exact, so the order does not matter; a shorter gram must not overwrite a longer one, so contexts are kept first.
    int64_t chain[MOST_ORDER];
    int64_t length = 0;
    float left = 0;
    for (int64_t context = node; context && length < MOST_ORDER; context = suffix_[context]) {
        chain[length++] = context;
        left += log_gammas_[context];
    }
    for (int64_t w = 0; w < V_; ++w) room[w] = root_[w] + left;
    while (length) {
        const int64_t context = chain[--length];
        left -= log_gammas_[context];
        for (int32_t child = first_child_[context]; child < first_child_[context + 1]; ++child)
            room[tokens_[child]] = log_probs_[child] + left;
    }
    const float top = step_kernels().peak(room, V_), log_gamma = log_gammas_[node];
    const float *of_network = gate_.data() + depth(node), *of_ngram = of_network + order_ + 2;
    const int64_t extra = order_ - depth(node);
    const float network = of_network[0] + of_network[extra] * top + of_network[extra + 1] * log_gamma;
    const float ngram = of_ngram[0] + of_ngram[extra] * top + of_ngram[extra + 1] * log_gamma;
    const float a = std::clamp(network, LEAST_NETWORK, MOST_WEIGHT), b = std::clamp(ngram, 0.0f, MOST_WEIGHT);
    for (int64_t w = 0; w < V_; ++w) logits[w] = a * logits[w] + b * room[w];
}

int64_t Prior::depth(int64_t node) const {
    int64_t depth = 0;
    while (node >= levels_[depth + 1]) ++depth;
    return depth;
}

}  // namespace sonho
