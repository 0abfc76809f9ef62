// Runs every kernel on awkward shapes, for the sanitizers: `make sanitize`. Each array has exactly the size that it
// should have, so that a step outside is seen. What the numbers should be is tested from Python.

#include <array>
#include <cmath>
#include <cstdio>
#include <sstream>
#include <string>
#include <vector>

#include "checks.h"
#include "kernels.h"

extern "C" {
const char *sonho_isas();
int sonho_select_isa(const char *name);
int64_t sonho_saved_size(int32_t cell, int64_t N, int64_t T, int64_t H);
int sonho_window_forward(const SonhoWindow *w);
int sonho_window_backward(const SonhoWindow *w);
int sonho_table_forward(const SonhoTable *t);
int sonho_table_backward(const SonhoTable *t);
int sonho_cross_entropy(const SonhoLoss *l);
int sonho_muon(const SonhoMuon *parameters, int64_t count, int threads, int32_t precision);
int sonho_adamw(const SonhoAdamW *parameters, int64_t count, int threads);
int sonho_approach(const SonhoArray *arrays, int64_t count, float share, int threads);
int sonho_scale(const SonhoArray *arrays, int64_t count, float factor, int threads);
double sonho_sum_of_squares(const SonhoArray *arrays, int64_t count);
int sonho_has_bfloat16();
double sonho_tile_rate(int threads, double seconds, int32_t precision);
void sonho_sigmoid(const float *x, float *y, int64_t n);
void sonho_tanh(const float *x, float *y, int64_t n);
}

namespace {

Floats draw(int64_t n) { return ::draw(n, 0.5f); }

void append(Floats &all, const Floats &part) {
    for (float value : part) require(std::isfinite(value), "every result is finite");
    all.insert(all.end(), part.begin(), part.end());
}

struct Case {
    int32_t cell, precision;
    int64_t N, T, D, H;  // D 0: ids
    bool ragged;
};

// Everything that a window gives, forward and backward, in one row of numbers.
Floats run(const Case &c, int threads) {
    const int64_t columns = gates_of(c.cell) * c.H, V = c.D ? 1 : 3, R = c.N * c.T;
    static Floats table, inputs, weight_ih, weight_hh, h, cell, d_outputs, d_h, d_c;
    if (threads == 1) {  // the runs to compare get the same numbers
        table = draw(V * columns), inputs = draw(R * c.D), weight_ih = draw(columns * c.D);
        weight_hh = draw(columns * c.H), h = draw(c.N * c.H), cell = draw(c.N * c.H);
        d_outputs = draw(R * c.H), d_h = draw(c.N * c.H), d_c = draw(c.N * c.H);
    }
    Ids ids(R), lengths(c.N);
    for (int64_t i = 0; i < R; ++i) ids[i] = i * 7 % V;
    for (int64_t n = 0; n < c.N; ++n) lengths[n] = n * 5 % (c.T + 1);
    const bool lstm = c.cell == LSTM;
    Floats outputs(R * c.H), h_last(c.N * c.H), c_last(c.N * c.H);
    Floats saved(sonho_saved_size(c.cell, c.N, c.T, c.H)), d_inputs(R * c.D), d_h_first(c.N * c.H), d_c_first(c.N * c.H);
    Floats d_table(V * columns), d_weight_ih(columns * c.D), d_weight_hh(columns * c.H);

    SonhoWindow w{};
    w.cell = c.cell, w.precision = c.precision, w.threads = threads, w.N = c.N, w.T = c.T, w.D = c.D, w.H = c.H, w.V = V;
    w.table = table.data(), w.weight_hh = weight_hh.data(), w.h_first = h.data(), w.h_last = h_last.data();
    if (c.D)
        w.inputs = inputs.data(), w.weight_ih = weight_ih.data();
    else
        w.ids = ids.data();
    w.lengths = c.ragged ? lengths.data() : nullptr;
    w.c_first = lstm ? cell.data() : nullptr, w.c_last = lstm ? c_last.data() : nullptr;
    w.outputs = outputs.data();
    require(sonho_window_forward(&w) == 0, "forward, nothing kept");
    Floats all;
    append(all, outputs);
    w.saved = saved.data();
    require(sonho_window_forward(&w) == 0, "forward");
    append(all, outputs), append(all, h_last), append(all, c_last);

    w.d_table = d_table.data(), w.d_weight_ih = d_weight_ih.data(), w.d_weight_hh = d_weight_hh.data();
    require(sonho_window_backward(&w) == 0, "backward without any gradient");
    for (const Floats *zeros : {&d_table, &d_weight_ih, &d_weight_hh})
        for (float value : *zeros) require(value == 0.0f, "no gradient gives none");
    w.d_outputs = d_outputs.data(), w.d_h_last = d_h.data(), w.d_c_last = lstm ? d_c.data() : nullptr;
    w.d_h_first = d_h_first.data(), w.d_c_first = lstm ? d_c_first.data() : nullptr;
    w.d_inputs = c.D ? d_inputs.data() : nullptr;
    require(sonho_window_backward(&w) == 0, "backward");
    for (const Floats *part : {&d_table, &d_weight_ih, &d_weight_hh, &d_inputs, &d_h_first, &d_c_first}) append(all, *part);

    if (R > 0 && !c.D) {
        ids[R - 1] = V;
        require(sonho_window_forward(&w) != 0, "an id outside the table is refused");
    }
    return all;
}

Floats run_table(int32_t precision, int64_t V, int64_t E, int64_t C, int threads) {  // E 0: one-hot
    static Floats embedding, weight, bias, d_table, before;
    const int64_t numbers = E ? E : V;
    if (threads == 1) {
        embedding = draw(V * E), weight = draw(C * numbers), bias = draw(C), d_table = draw(V * C), before = draw(V * E);
    }
    Floats table(V * C), d_weight(C * numbers), d_bias(C), d_embedding = before;
    SonhoTable t{threads, precision, 0, V, numbers, C, E ? embedding.data() : nullptr, weight.data(), bias.data(), table.data(),
                 d_table.data(), E ? d_embedding.data() : nullptr, d_weight.data(), d_bias.data()};
    require(sonho_table_forward(&t) == 0, "the table");
    Floats all;
    for (t.adds = 0; t.adds < 2; ++t.adds) {
        require(sonho_table_backward(&t) == 0, "the table's gradients");
        for (const Floats *part : {&table, &d_embedding, &d_weight, &d_bias}) append(all, *part);
    }
    if (!E) {
        t.E = V + 1;
        require(sonho_table_forward(&t) != 0, "one-hot vectors have a number for each symbol");
    }
    return all;
}

Floats run_loss(int32_t precision, int64_t R, int64_t H, int64_t V, int threads) {
    static Floats hidden, weight, bias;
    if (threads == 1) hidden = draw(R * H), weight = draw(V * H), bias = draw(V);
    Ids targets(R);
    for (int64_t r = 0; r < R; ++r) targets[r] = r % 4 == 3 ? -100 : r * 7 % V;
    Floats d_hidden(R * H), d_weight(V * H), d_bias(V);
    double loss = 0.0;
    SonhoLoss l{threads, precision, R, H, V, hidden.data(), weight.data(), bias.data(), targets.data(),
                &loss, d_hidden.data(), d_weight.data(), d_bias.data()};
    require(sonho_cross_entropy(&l) == 0, "the loss");
    Floats all{R ? static_cast<float>(loss) : 0.0f};
    append(all, d_hidden), append(all, d_weight), append(all, d_bias);
    if (R > 0) {
        targets[R - 1] = V;
        require(sonho_cross_entropy(&l) != 0, "a target outside the vocabulary is refused");
    }
    return all;
}

Floats run_muon(int32_t precision, int64_t rows, int64_t columns, int threads) {
    static Floats first, gradient;
    const int64_t n = rows * columns;
    if (threads == 1) first = draw(n), gradient = draw(n);
    Floats parameter = first, buffer(n), other = first, other_buffer(n);
    const SonhoMuon both[] = {
        {rows, columns, parameter.data(), buffer.data(), gradient.data(), 0.1f, 0.9f, 0.1f},
        {rows, columns, other.data(), other_buffer.data(), gradient.data(), 0.1f, 0.9f, 0.1f},
    };
    for (int step = 0; step < 2; ++step) require(sonho_muon(both, 2, threads, precision) == 0, "a step of Muon");
    require(parameter == other && buffer == other_buffer, "equal parameters step alike");
    Floats all;
    append(all, parameter), append(all, buffer);
    return all;
}

Floats run_updates(int64_t n, int threads) {
    static Floats first, gradient;
    if (threads == 1) first = draw(n), gradient = draw(n);
    Floats parameter = first, mean(n), square(n), average = first;
    const SonhoAdamW step{n,    parameter.data(), mean.data(), square.data(), gradient.data(), 0.1f,
                          0.9f, 0.99f,            1e-8f,       0.1f,          0.1f,            0.01f};
    require(sonho_adamw(&step, 1, threads) == 0, "a step of AdamW");
    const SonhoArray arrays[] = {{n, average.data(), parameter.data()}, {0, nullptr, nullptr}};
    require(sonho_approach(arrays, 2, 0.3f, threads) == 0, "an average");
    require(sonho_scale(arrays, 2, 0.5f, threads) == 0, "scaling");
    Floats all{static_cast<float>(sonho_sum_of_squares(arrays, 2))};
    append(all, parameter), append(all, average);
    return all;
}

}  // namespace

int main() {
    std::istringstream isas(sonho_isas());
    int runs = 0;
    for (std::string isa; isas >> isa;) {
        require(sonho_select_isa(isa.c_str()) == 0, "select");
        const std::vector<int32_t> precisions = sonho_has_bfloat16() ? std::vector<int32_t>{FLOAT32, BFLOAT16}
                                                                     : std::vector<int32_t>{FLOAT32};
        for (int32_t cell = LSTM; cell <= RNN_RELU; ++cell)
            for (const auto &[N, T, H] : std::vector<std::array<int64_t, 3>>{
                     {1, 1, 1}, {3, 4, 7}, {2, 0, 5}, {0, 3, 4}, {13, 3, 33}, {30, 2, 17}, {26, 3, 64}, {5, 50, 31}})
                for (int32_t precision : precisions)
                    for (int kind = 0; kind < 6; ++kind, ++runs) {
                        const Case c{cell, precision, N, T, std::array<int64_t, 3>{0, 3, 34}[kind / 2], H, kind % 2 == 1};
                        const Floats alone = run(c, 1);
                        require(alone == run(c, 3), "three threads give the bits of one");
                    }
        for (const auto &[V, E, C] : std::vector<std::array<int64_t, 3>>{
                 {1, 0, 1}, {1, 1, 1}, {5, 3, 7}, {84, 0, 33}, {84, 33, 65}, {300, 17, 31}, {40, 0, 128}})
            for (int32_t precision : precisions) {
                const Floats alone = run_table(precision, V, E, C, 1);
                require(alone == run_table(precision, V, E, C, 3), "three threads give the table of one");
                ++runs;
            }
        for (const auto &[R, H, V] : std::vector<std::array<int64_t, 3>>{
                 {1, 1, 1}, {0, 3, 4}, {7, 33, 84}, {300, 5, 33}, {150, 2, 70000}})
            for (int32_t precision : precisions) {
                const Floats alone = run_loss(precision, R, H, V, 1);
                require(alone == run_loss(precision, R, H, V, 3), "three threads give the loss of one");
                ++runs;
            }
        for (const auto &[rows, columns] : std::vector<std::array<int64_t, 2>>{
                 {1, 1}, {28, 5}, {5, 7}, {66, 65}, {65, 66}, {64, 12}, {12, 64}, {161, 480}, {680, 161}})
            for (int32_t precision : precisions) {
                const Floats alone = run_muon(precision, rows, columns, 1);
                require(alone == run_muon(precision, rows, columns, 3), "three threads step as one");
                ++runs;
            }
        for (int64_t n : {0, 1, 17, 33, 70000}) {
            const Floats alone = run_updates(n, 1);
            require(alone == run_updates(n, 3), "three threads update as one");
            ++runs;
        }
        for (int32_t precision : precisions) require(sonho_tile_rate(2, 0.001, precision) > 0.0, "the tile rate");
        if (precisions.size() == 1) require(sonho_tile_rate(2, 0.001, BFLOAT16) == 0.0, "no rate without the products");
        for (int64_t n : {0, 1, 5, 16, 33}) {
            const Floats x = draw(n);
            Floats y(n);
            sonho_sigmoid(x.data(), y.data(), n), sonho_tanh(x.data(), y.data(), n);
        }
    }
    printf("%d passed, 0 failed\n", runs);
    return 0;
}
