// From the logits of one row to its next token. Twins: decoding/sampler.py, processors.py, history.py, philox.py.
//
// Shapes: V vocabulary. Everything is float64.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "steps.h"

extern "C" {

// How a row is drawn, as the C ABI sees it (library.py has the same fields). What is switched off is 1 for
// repetition_penalty, top_p and typical_p, else 0.
struct SonhoSampling {
    double repetition_penalty, frequency_penalty, presence_penalty;
    double typical_p, top_p, min_p;
    int64_t repetition_window, no_repeat_ngram, top_k;
    int64_t uniform;
    int64_t V, eos;  // a row ends after eos
    uint64_t seed, stream;
    const double *bias;  // (V), or null; copied
};
}

namespace sonho {

enum class Drawn : int32_t { TOKEN = 0, NOT_NUMBERS = 1, NOTHING_LEFT = 2 };

class Sampler {
public:
    Sampler(const SonhoSampling &settings, const int64_t *prompt, int64_t prompt_length);

    // The token of the next position, into `token`. `forced`: the id that it must be, or -1.
    Drawn draw(const float *logits, double temperature, int64_t forced, int64_t *token);
    int64_t eos() const { return settings_.eos; }
    int64_t vocab_size() const { return settings_.V; }

private:
    bool plain() const;
    Drawn draw_adjusted(const float *logits, double temperature, int64_t *token);
    Drawn failure(const float *logits) const;
    void penalise();
    void ban_repeats();
    double exponentiate();
    void keep_top_k();
    void keep_typical();
    void keep_share(double share);
    int64_t invert(double *weights);
    void push(int64_t token);
    std::string recent() const;

    SonhoSampling settings_;
    std::vector<double> bias_, scores_, cost_, weights_;
    std::vector<int64_t> counts_, ids_, order_;
    std::unordered_map<std::string, std::vector<int64_t>> followers_;  // of the last n-1 ids, as bytes
    uint64_t position_ = 0;
};

// In [0, 1): Philox4x32-10, key (seed), counter (position, stream).
double uniform(uint64_t seed, uint64_t stream, uint64_t position);

}  // namespace sonho
