// Runs networks, samplers and the drawing loop on awkward shapes, for the sanitizers: `make sanitize`. Each array has
// exactly the size that it should have. What the numbers should be is tested from Python.

#include <cmath>
#include <cstdio>
#include <limits>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "checks.h"
#include "network.h"
#include "sampling.h"

extern "C" {
const char *sonho_isas();
int sonho_select_isa(const char *name);
void *sonho_network_new(const SonhoNetwork *spec);
void sonho_network_free(void *network);
int sonho_network_run(const void *network, int64_t N, int64_t T, const int64_t *ids, void *const *states, float *logits,
                      int32_t which, int threads);
void *sonho_prior_new(const SonhoPrior *spec);
void sonho_prior_free(void *prior);
int sonho_prior_advance(const void *prior, int64_t N, int64_t T, const int64_t *ids, const int64_t *nodes, int64_t *after);
int sonho_prior_mix(const void *prior, int64_t M, const int64_t *nodes, float *logits);
void *sonho_sampler_new(const SonhoSampling *settings, const int64_t *prompt, int64_t prompt_length);
void sonho_sampler_free(void *sampler);
int sonho_draw(const void *network, int64_t N, int64_t count, void *const *states, void *const *samplers,
               const double *temperatures, const int64_t *forced, float *logits, int64_t *tokens, int64_t *drawn,
               int32_t *failures, int threads);
}

namespace {

constexpr int64_t V = 7;

// Small, so that nothing grows out of bounds over time.
Floats draw(int64_t n) { return ::draw(n, 0.1f); }

struct Case {
    int32_t cell;
    int64_t H, num_layers, N, T;
    int32_t bits;
    bool dense, norm;  // whether the first layer is fed vectors; layer norm
    bool prior, condition;  // a condition adds to the gates of the first layer
};

// Order 2: the grams 1, 2, 5, 12, 21 and 25.
void *make_prior() {
    const Ids levels = {0, 1, 4, 7};
    const std::vector<int32_t> tokens = {0, 1, 2, 5, 2, 1, 5}, first_child = {1, 4, 5, 7, 7}, suffix = {0, 0, 0, 0};
    const Floats log_probs = {0, -1, -1, -2, -0.5f, -1, -2}, log_gammas = {-1, -0.5f, -1, 0};
    const Floats gate = {0.5f, 0.6f, 0.1f, 0.1f, 0.5f, 0.4f, 0.1f, -0.1f};
    const SonhoPrior spec{2, V, 6, 3, -2, levels.data(), tokens.data(), log_probs.data(), first_child.data(),
                          log_gammas.data(), suffix.data(), gate.data()};
    void *prior = sonho_prior_new(&spec);
    require(prior, "prior");
    Ids ids = {1, 2, 5, 0}, nodes = {0}, after(4);
    Floats logits = ::draw(4 * V, 0.1f);
    require(sonho_prior_advance(prior, 1, 4, ids.data(), nodes.data(), after.data()) == 0, "advance");
    require(after == Ids({1, 2, 0, 0}), "5 is followed by nothing, so it is no context");
    require(sonho_prior_mix(prior, 4, after.data(), logits.data()) == 0, "mix");
    nodes[0] = 4;
    require(sonho_prior_advance(prior, 1, 4, ids.data(), nodes.data(), after.data()) != 0, "a gram is no context");
    require(sonho_prior_mix(prior, 1, nodes.data(), logits.data()) != 0, "nor can it be mixed with");
    return prior;
}

struct Model {
    std::vector<Floats> held;
    std::vector<SonhoLayer> layers;
    SonhoNetwork spec{};
    void *network, *prior = nullptr;

    const float *keep(int64_t n) {
        held.push_back(draw(n));
        return held.back().data();
    }
    explicit Model(const Case &c) {
        const bool conv = c.cell == CONV;
        const int64_t G = conv ? 2 : gates_of(c.cell), D = 5, K = conv ? 3 : 1;
        for (int64_t l = 0; l < c.num_layers; ++l) {
            SonhoLayer layer{};
            layer.cell = c.cell, layer.H = c.H, layer.K = K, layer.dilation = l + 1;
            layer.takes_ids = l == 0 && !c.dense;
            layer.is_conditioned = l == 0 && c.condition;
            if (layer.takes_ids) {
                layer.table = keep(K * V * G * c.H);
                if (conv && c.H % 2) layer.residual = keep(V * c.H);
            } else {
                layer.D = l == 0 ? D : c.H;
                layer.weight_ih = keep(G * c.H * K * layer.D);
                layer.adds_input = conv && layer.D == c.H;
            }
            if (!layer.takes_ids || conv) layer.bias = keep(G * c.H);
            if (!conv) layer.weight_hh = keep(G * c.H * c.H);
            if (c.norm) layer.norm_weight = keep(c.H), layer.norm_bias = keep(c.H);
            layers.push_back(layer);
        }
        spec.bits = c.bits, spec.V = V, spec.num_layers = c.num_layers, spec.layers = layers.data();
        if (c.dense) spec.vector_size = D, spec.vectors = keep(V * D);
        spec.output_weight = keep(V * c.H), spec.output_bias = keep(V);
        if (c.prior) spec.prior = prior = make_prior();
        network = sonho_network_new(&spec);
        require(network, "network");
    }
    ~Model() {
        sonho_network_free(network);
        sonho_prior_free(prior);
    }
};

struct States {
    std::vector<Floats> floats;
    std::vector<Ids> ids;
    std::vector<void *> addresses;

    States(const Model &model, int64_t N) {
        // What is reserved does not move, so its addresses stay.
        floats.reserve(3 * model.layers.size()), ids.reserve(1 + model.layers.size());
        const auto add_floats = [&](Floats values) {
            floats.push_back(std::move(values));
            addresses.push_back(floats.back().data());
        };
        const auto add_ids = [&](int64_t count, int64_t id) {
            ids.emplace_back(count, id);
            addresses.push_back(ids.back().data());
        };
        for (const SonhoLayer &layer : model.layers) {
            const int64_t past = (layer.K - 1) * layer.dilation;
            if (layer.cell == CONV && layer.takes_ids)
                add_ids(N * past, -1);
            else
                for (int i = 0; i < (layer.cell == LSTM ? 2 : 1); ++i)
                    add_floats(Floats(N * (layer.cell == CONV ? past * layer.D : layer.H)));
            if (layer.is_conditioned) add_floats(Floats(N * gates_of(layer.cell) * layer.H, 0.25f));
        }
        if (model.prior) add_ids(N, 0);
    }
    bool operator==(const States &other) const { return floats == other.floats && ids == other.ids; }
};

void run(const Case &c) {
    const Model model(c);
    Ids ids(c.N * c.T);
    for (size_t i = 0; i < ids.size(); ++i) ids[i] = i * 5 % V;
    States states(model, c.N), again(model, c.N);
    Floats all(c.N * c.T * V), threaded(c.N * c.T * V), last(c.N * V);
    const auto feed = [&](States &s, float *logits, int which, int threads) {
        return sonho_network_run(model.network, c.N, c.T, ids.data(), s.addresses.data(), logits, which, threads);
    };
    require(feed(states, all.data(), 2, 1) == 0 && feed(again, threaded.data(), 2, 3) == 0, "run");
    require(all == threaded && states == again, "three threads give the bits of one");
    for (float x : all) require(std::isfinite(x), "every logit is finite");
    if (c.T > 0) require(feed(states, last.data(), 1, 2) == 0, "the last step");
    require(feed(states, nullptr, 0, 1) == 0, "no logits");
    if (!ids.empty()) {
        ids.back() = V;
        require(feed(states, nullptr, 0, 1) != 0, "an id outside the vocabulary is refused");
    }

    const int64_t count = 9;
    const std::vector<double> bias = {-std::numeric_limits<double>::infinity(), 0, 0.5, 0, 0, 0, 0};
    SonhoSampling settings{};
    settings.repetition_penalty = settings.top_p = settings.typical_p = 1.0;
    settings.V = V, settings.eos = 2, settings.seed = 5;
    std::vector<SonhoSampling> kinds(5, settings);
    kinds[1].bias = bias.data(), kinds[1].top_k = 3, kinds[1].top_p = 0.9, kinds[1].typical_p = 0.9, kinds[1].min_p = 0.01;
    kinds[2].repetition_penalty = 1.3, kinds[2].frequency_penalty = 0.1, kinds[2].repetition_window = 3;
    kinds[3].no_repeat_ngram = 2, kinds[3].uniform = 1;
    kinds[4].no_repeat_ngram = 1, kinds[4].presence_penalty = 0.5;
    const Ids prompt = {3, 4, 5, 3};
    std::vector<std::vector<Ids>> results;
    for (int threads : {1, 3}) {
        std::vector<void *> samplers;
        for (int64_t n = 0; n < c.N; ++n) {
            kinds[n % 5].stream = n;
            samplers.push_back(sonho_sampler_new(&kinds[n % 5], prompt.data(), prompt.size()));
        }
        const std::vector<double> temperatures(c.N * count, 0.8);
        Ids forced(c.N * count, -1), tokens(c.N * count), drawn(c.N);
        if (!forced.empty()) forced[0] = 6;
        std::vector<int32_t> failures(c.N);
        States from(model, c.N);
        Floats logits = last;
        require(sonho_draw(model.network, c.N, count, from.addresses.data(), samplers.data(), temperatures.data(),
                           forced.data(), logits.data(), tokens.data(), drawn.data(), failures.data(), threads) == 0,
                "draw");
        for (void *sampler : samplers) sonho_sampler_free(sampler);
        for (int64_t n = 0; n < c.N; ++n) require(drawn[n] >= 1 && drawn[n] <= count && !failures[n], "tokens are drawn");
        results.push_back({tokens, drawn});
    }
    require(results[0] == results[1], "three threads draw what one draws");
}

}  // namespace

int main() {
    std::istringstream isas(sonho_isas());
    int runs = 0;
    for (std::string isa; isas >> isa;) {
        require(sonho_select_isa(isa.c_str()) == 0, "select");
        for (int32_t cell : {int32_t{LSTM}, int32_t{GRU}, int32_t{RNN_TANH}, int32_t{RNN_RELU}, CONV})
            for (int64_t H : {1, 17, 33})
                for (int64_t N : {0, 1, 13})
                    for (int64_t T : {0, 1, 70})
                        for (int kind = 0; kind < (cell == CONV ? 8 : 12); ++kind, ++runs)
                            run({cell, H, kind % 2 + 1, N, T, kind % 8 < 4 ? 32 : 8, kind % 4 > 1, kind % 3 == 0,
                                 kind % 8 > 4, kind >= 8});
    }
    printf("%d passed, 0 failed\n", runs);
    return 0;
}
