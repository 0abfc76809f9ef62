#include "sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace sonho {

namespace {

constexpr double NEVER = -std::numeric_limits<double>::infinity();
// A difference of float32 logits divided by less could overflow.
constexpr double LEAST_TEMPERATURE = 1e-200;

int64_t first_largest(const double *x, int64_t n) { return std::max_element(x, x + n) - x; }

}  // namespace

double uniform(uint64_t seed, uint64_t stream, uint64_t position) {
    uint32_t c0 = static_cast<uint32_t>(position), c1 = static_cast<uint32_t>(position >> 32);
    uint32_t c2 = static_cast<uint32_t>(stream), c3 = static_cast<uint32_t>(stream >> 32);
    uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round) {
        const uint64_t left = uint64_t{0xD2511F53} * c0, right = uint64_t{0xCD9E8D57} * c2;
        c0 = static_cast<uint32_t>(right >> 32) ^ c1 ^ k0;
        c2 = static_cast<uint32_t>(left >> 32) ^ c3 ^ k1;
        c1 = static_cast<uint32_t>(right);
        c3 = static_cast<uint32_t>(left);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return static_cast<double>((uint64_t{c0} << 32 | c1) >> 11) * 0x1p-53;
}

Sampler::Sampler(const SonhoSampling &settings, const int64_t *prompt, int64_t prompt_length)
    : settings_(settings), scores_(settings.V) {
    if (settings.bias) bias_.assign(settings.bias, settings.bias + settings.V);
    settings_.bias = nullptr;
    const bool penalised = settings.repetition_penalty != 1 || settings.frequency_penalty != 0 || settings.presence_penalty != 0;
    if (penalised) counts_.resize(settings.V);
    if (penalised || settings.no_repeat_ngram)
        for (int64_t i = 0; i < prompt_length; ++i) push(prompt[i]);
}

bool Sampler::plain() const {
    return bias_.empty() && counts_.empty() && !settings_.no_repeat_ngram && !settings_.uniform && !settings_.top_k &&
           settings_.typical_p == 1 && settings_.top_p == 1 && settings_.min_p == 0;
}

Drawn Sampler::draw(const float *logits, double temperature, int64_t forced, int64_t *token) {
    Drawn result = Drawn::TOKEN;
    if (forced >= 0) {
        *token = forced;
    } else if (!plain()) {
        result = draw_adjusted(logits, temperature, token);
    } else {
        const float peak = step_kernels().peak(logits, settings_.V);
        if (!std::isfinite(peak)) return failure(logits);
        if (temperature == 0) {
            *token = std::find(logits, logits + settings_.V, peak) - logits;
        } else {
            step_kernels().weigh(logits, settings_.V, peak, std::max(temperature, LEAST_TEMPERATURE), scores_.data());
            *token = invert(scores_.data());
        }
    }
    if (result != Drawn::TOKEN) return result;
    ++position_;
    if (!counts_.empty() || settings_.no_repeat_ngram) push(*token);
    return result;
}

Drawn Sampler::draw_adjusted(const float *logits, double temperature, int64_t *token) {
    const int64_t V = settings_.V;
    double *scores = scores_.data();
    for (int64_t i = 0; i < V; ++i) scores[i] = logits[i] + (bias_.empty() ? 0.0 : bias_[i]);
    if (!counts_.empty()) penalise();
    if (settings_.no_repeat_ngram) ban_repeats();
    const double peak = scores[first_largest(scores, V)];
    if (!std::isfinite(peak) || std::any_of(scores, scores + V, [](double x) { return std::isnan(x); }))
        return failure(logits);
    if (settings_.uniform) {
        for (int64_t i = 0; i < V; ++i) scores[i] = std::isfinite(scores[i]) ? 0.0 : NEVER;
    } else if (temperature == 0) {
        *token = first_largest(scores, V);
        return Drawn::TOKEN;
    } else {
        for (int64_t i = 0; i < V; ++i) scores[i] = (scores[i] - peak) / std::max(temperature, LEAST_TEMPERATURE);
        if (settings_.top_k && settings_.top_k < V) keep_top_k();
        if (settings_.typical_p != 1) keep_typical();
        if (settings_.top_p != 1) {
            cost_.resize(V);
            for (int64_t i = 0; i < V; ++i) cost_[i] = -scores[i];
            keep_share(settings_.top_p);
        }
        if (settings_.min_p != 0) {
            const double limit = scores[first_largest(scores, V)] + std::log(settings_.min_p);
            for (int64_t i = 0; i < V; ++i)
                if (scores[i] < limit) scores[i] = NEVER;
        }
    }
    step_kernels().exponentials(scores, V);
    *token = invert(scores);
    return Drawn::TOKEN;
}

// Why there is nothing to draw: the network's fault, or the settings'.
Drawn Sampler::failure(const float *logits) const {
    const bool broken = std::any_of(logits, logits + settings_.V, [](float x) {
        return std::isnan(x) || x == std::numeric_limits<float>::infinity();
    });
    return broken ? Drawn::NOT_NUMBERS : Drawn::NOTHING_LEFT;
}

void Sampler::penalise() {
    for (int64_t i = 0; i < settings_.V; ++i) {
        if (counts_[i] == 0) continue;
        double &score = scores_[i];
        if (settings_.repetition_penalty != 1)
            score = score > 0 ? score / settings_.repetition_penalty : score * settings_.repetition_penalty;
        if (settings_.frequency_penalty != 0) score -= settings_.frequency_penalty * counts_[i];
        if (settings_.presence_penalty != 0) score -= settings_.presence_penalty;
    }
}

// Rule out tokens that would complete a run that is there already, unless nothing would be left.
void Sampler::ban_repeats() {
    if (static_cast<int64_t>(ids_.size()) < settings_.no_repeat_ngram - 1) return;
    const auto found = followers_.find(recent());
    if (found == followers_.end()) return;
    weights_ = scores_;
    for (int64_t id : found->second) scores_[id] = NEVER;
    if (scores_[first_largest(scores_.data(), settings_.V)] == NEVER) scores_ = weights_;
}

void Sampler::keep_top_k() {
    cost_ = scores_;
    std::nth_element(cost_.begin(), cost_.begin() + settings_.top_k - 1, cost_.end(), std::greater<double>());
    const double limit = cost_[settings_.top_k - 1];
    for (double &score : scores_)
        if (score < limit) score = NEVER;
}

// Probabilities but for their sum, which is returned, into weights_.
double Sampler::exponentiate() {
    weights_ = scores_;
    const double peak = scores_[first_largest(scores_.data(), settings_.V)];
    for (double &weight : weights_) weight -= peak;
    step_kernels().exponentials(weights_.data(), settings_.V);
    return std::accumulate(weights_.begin(), weights_.end(), 0.0);
}

void Sampler::keep_typical() {
    const int64_t V = settings_.V;
    const double sum = exponentiate();
    cost_.resize(V);
    double expected = 0.0;
    for (int64_t i = 0; i < V; ++i) {
        const double p = weights_[i] / sum;
        cost_[i] = -std::log(p);
        if (p > 0) expected += p * cost_[i];
    }
    for (double &surprise : cost_) surprise = std::fabs(surprise - expected);
    keep_share(settings_.typical_p);
}

// Keep the tokens of least cost until they hold `share` of the probability; ties are kept.
void Sampler::keep_share(double share) {
    const int64_t V = settings_.V;
    const double sum = exponentiate();
    order_.resize(V);
    std::iota(order_.begin(), order_.end(), 0);
    std::stable_sort(order_.begin(), order_.end(), [&](int64_t a, int64_t b) { return cost_[a] < cost_[b]; });
    double held = 0.0;
    int64_t last = 0;
    for (; last < V - 1; ++last) {
        held += weights_[order_[last]] / sum;
        if (held >= share) break;
    }
    const double limit = cost_[order_[last]];
    for (int64_t i = 0; i < V; ++i)
        if (cost_[i] > limit) scores_[i] = NEVER;
}

// The token in whose part of the running total the share falls. One of weight 0 has no part.
int64_t Sampler::invert(double *weights) {
    const int64_t V = settings_.V;
    int64_t last = 0;
    double total = 0.0;
    for (int64_t i = 0; i < V; ++i) {
        if (weights[i] > 0) last = i;
        weights[i] = total += weights[i];
    }
    const double share = uniform(settings_.seed, settings_.stream, position_) * total;
    return std::min<int64_t>(std::upper_bound(weights, weights + V, share) - weights, last);
}

void Sampler::push(int64_t token) {
    if (settings_.no_repeat_ngram && static_cast<int64_t>(ids_.size()) >= settings_.no_repeat_ngram - 1)
        followers_[recent()].push_back(token);
    ids_.push_back(token);
    if (counts_.empty()) return;
    ++counts_[token];
    const int64_t window = settings_.repetition_window, length = ids_.size();
    if (window && length > window) --counts_[ids_[length - 1 - window]];
}

std::string Sampler::recent() const {
    const size_t length = settings_.no_repeat_ngram - 1;
    return std::string(reinterpret_cast<const char *>(ids_.data() + (ids_.size() - length)), length * sizeof(int64_t));
}

}  // namespace sonho
