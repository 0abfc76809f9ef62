// The server's contract with a Markov chain behind it, for developing the page and for its tests.
//   node mock/server.mjs [--port 8799] [--key SECRET] [--delay MILLISECONDS a symbol]
// Serves the committed build as well, under the policy that the real server sets.

import { createServer } from "node:http";
import { readFileSync, existsSync } from "node:fs";
import { dirname, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { Chain, draw, entropy, random, shape } from "./chain.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "../..");
const site = join(root, "src/sonho/serving/static");
const option = (name, other) => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? other : process.argv[at + 1];
};
const port = Number(option("port", 8799));
const key = option("key", "");
const delay = Number(option("delay", 12));

const read = (name) => readFileSync(join(root, "examples/data", name), "utf8");
const HOSTILE = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script> ';
const models = {
  shakespeare: {
    chain: new Chain(read("tinyshakespeare.txt").slice(0, 400000), 6),
    about: { cell: "lstm", hidden_size: 256, num_layers: 2, parameters: 874563, data_kind: "stream", bits_per_char: 2.074, labels: [] },
  },
  names: {
    chain: new Chain(read("names.txt"), 4),
    about: { cell: "gru", hidden_size: 128, num_layers: 1, parameters: 64413, data_kind: "records", bits_per_char: 2.86, labels: [] },
  },
  hostile: {
    chain: new Chain(HOSTILE.repeat(40), 8),
    about: { cell: "rnn", hidden_size: 32, num_layers: 1, parameters: 4096, data_kind: "stream", bits_per_char: null, labels: [] },
  },
};
const started = Math.floor(Date.now() / 1000);

class Refusal extends Error {
  constructor(status, message, param = null, code = null) {
    super(message);
    Object.assign(this, { status, param, code });
  }
}

const pick = (body) => {
  const name = body.model || "shakespeare";
  if (!models[name]) throw new Refusal(404, `no model ${name}`, "model", "model_not_found");
  return { name, ...models[name] };
};

const ascii = (value) =>
  JSON.stringify(value).replace(/[\u007f-\uffff]/g, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));

function listModels() {
  const data = Object.entries(models).map(([id, { chain, about }]) => ({
    id,
    object: "model",
    created: started,
    owned_by: "sonho",
    sonho: { ...about, vocab_size: chain.symbols.length + 2, tokenizer: "char" },
  }));
  return { object: "list", data };
}

function* write(chain, body) {
  const uniform = random(body.seed ?? Math.floor(Math.random() * 2 ** 31));
  let text = body.prompt ?? "";
  for (let i = 0; i < (body.max_tokens ?? 16); i++) {
    const p = shape(chain.next(text.slice(-12)), body);
    const symbol = chain.symbols[draw(p, uniform())];
    text += symbol;
    yield symbol;
  }
}

async function complete(body, request, response) {
  const { name, chain } = pick(body);
  const head = { id: "cmpl-mock", object: "text_completion", created: started, model: name };
  const stops = [body.stop ?? []].flat();
  if (!body.stream) {
    let text = [...write(chain, body)].join("");
    let reason = "length";
    for (const stop of stops) {
      const at = text.indexOf(stop);
      if (at >= 0) [text, reason] = [text.slice(0, at), "stop"];
    }
    return { ...head, choices: [{ index: 0, text, logprobs: null, finish_reason: reason }] };
  }
  response.writeHead(200, { ...headers, "content-type": "text/event-stream", "cache-control": "no-store" });
  let gone = false;
  request.on("close", () => (gone = true));
  response.on("close", () => (gone = true));
  const send = (text, reason) =>
    response.write(`data: ${ascii({ ...head, choices: [{ index: 0, text, logprobs: null, finish_reason: reason }] })}\n\n`);
  let whole = "";
  let reason = "length";
  for (const symbol of write(chain, body)) {
    if (gone) return null;
    whole += symbol;
    if (stops.some((stop) => whole.endsWith(stop))) {
      reason = "stop";
      break;
    }
    send(symbol, null);
    if (delay) await new Promise((done) => setTimeout(done, delay));
  }
  send("", reason);
  response.end("data: [DONE]\n\n");
  return null;
}

function inspectNext(body) {
  const { chain } = pick(body);
  const before = chain.next((body.prompt ?? "").slice(-12));
  const after = shape(before, body);
  const symbols = chain.symbols
    .map((text, i) => ({ id: i + 1, text, before: before[i], after: after[i] }))
    .sort((a, b) => b.before - a.before)
    .slice(0, body.limit ?? 40);
  return {
    symbols,
    entropy_before: entropy(before),
    entropy_after: entropy(after),
    kept: after.filter((p) => p > 0).length,
  };
}

function inspectScore(body) {
  const { chain } = pick(body);
  const text = body.text ?? "";
  if (text.length > 20000) throw new Refusal(400, `text has ${text.length} characters; at most 20000 are scored`, "text");
  const unknown = new Set();
  let bits = 0;
  let counted = 0;
  const tokens = [];
  for (let i = 0; i < text.length; i++) {
    const id = chain.ids.get(text[i]);
    if (id === undefined) {
      unknown.add(text[i]);
      continue;
    }
    if (tokens.length === 0) {
      tokens.push({ id, text: text[i], bits: null, rank: null, probability: null, entropy: null, top: [] });
      continue;
    }
    const p = chain.next(text.slice(Math.max(0, i - 12), i));
    const order = p.map((_, j) => j).sort((a, b) => p[b] - p[a]);
    const cost = -Math.log2(p[id - 1]);
    bits += cost;
    counted += 1;
    tokens.push({
      id,
      text: text[i],
      bits: cost,
      rank: order.indexOf(id - 1) + 1,
      probability: p[id - 1],
      entropy: entropy(p),
      top: order.slice(0, body.alternatives ?? 10).map((j) => ({ id: j + 1, text: chain.symbols[j], probability: p[j] })),
    });
  }
  return { tokens, bits_per_char: counted ? bits / counted : null, num_chars: counted, unknown: [...unknown] };
}

/** Invented units: one knows quotes, one the place in the line, one the capitals; the others drift. */
function unitValues(unit, text) {
  const values = [];
  const uniform = random(7919 * (unit + 1));
  let state = 0;
  let quoted = false;
  let column = 0;
  const phase = uniform() * 6;
  const speed = 0.02 + uniform() * 0.6;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === '"') quoted = !quoted;
    column = c === "\n" ? 0 : column + 1;
    if (unit === 3) state = 0.7 * state + 0.3 * (quoted ? 0.97 : -0.92);
    else if (unit === 11) state = Math.tanh(1.2 - column / 18);
    else if (unit === 17) state = 0.4 * state + 0.6 * (/[A-Z]/.test(c) ? 0.99 : -0.6);
    else if (unit === 20) state = 0.2 * state + 0.8 * (/\s/.test(c) ? 0.95 : -0.3);
    else state = 0.8 * state + 0.2 * Math.sin(phase + speed * i + c.charCodeAt(0) * unit);
    values.push(Math.round(state * 1000) / 1000);
  }
  return values;
}

function inspectUnits(body) {
  const { about } = pick(body);
  const text = body.text ?? "";
  if (text.length > 5000) throw new Refusal(400, `text has ${text.length} characters; at most 5000 are read`, "text");
  const mark = new Array(text.length).fill(0);
  if (body.pattern) {
    let expression;
    try {
      expression = new RegExp(body.pattern, "g");
    } catch (error) {
      throw new Refusal(400, `pattern ${body.pattern} is not a regular expression: ${error.message}`, "pattern");
    }
    for (const match of text.matchAll(expression)) mark.fill(1, match.index, match.index + match[0].length);
  }
  const mean = (x) => x.reduce((a, b) => a + b, 0) / Math.max(1, x.length);
  const units = Array.from({ length: 64 }, (_, unit) => {
    const values = unitValues(unit, text);
    const m = mean(values);
    const variance = mean(values.map((v) => (v - m) ** 2));
    const k = mean(mark);
    const other = mean(mark.map((v) => (v - k) ** 2));
    const both = mean(values.map((v, i) => (v - m) * (mark[i] - k)));
    const correlation = body.pattern && variance * other > 0 ? both / Math.sqrt(variance * other) : null;
    return { unit, variance, correlation, values };
  });
  if (body.sort === "correlation") units.sort((a, b) => Math.abs(b.correlation ?? 0) - Math.abs(a.correlation ?? 0));
  else if (body.sort !== "index") units.sort((a, b) => b.variance - a.variance);
  return {
    layer: body.layer ?? about.num_layers - 1,
    num_layers: about.num_layers,
    tokens: [...text],
    units: units.slice(0, body.limit ?? 64),
  };
}

const lines = (path) => (existsSync(path) ? readFileSync(path, "utf8").split("\n").filter(Boolean).map((l) => JSON.parse(l)) : []);
const runs = Object.fromEntries(
  ["shakespeare-gru", "shakespeare-128"].map((id) => [
    id,
    {
      metrics: lines(join(here, "trainings", `${id}.metrics.jsonl`)),
      samples: lines(join(here, "trainings", `${id}.samples.jsonl`)),
      about: JSON.parse(readFileSync(join(here, "trainings", `${id}.json`), "utf8")),
    },
  ]),
);
// This one is still learning: its log grows while somebody looks.
runs["in-progress"] = {
  ...runs["shakespeare-128"],
  metrics: runs["shakespeare-128"].metrics.map((line) => ({ ...line, gradient_norm: 0.4 + 3 / Math.sqrt(line.step) })),
  shown: 20,
};

function listRuns() {
  return {
    runs: Object.entries(runs).map(([id, run]) => {
      const shown = run.metrics.slice(0, run.shown ?? run.metrics.length);
      const last = shown.at(-1);
      return { id, name: id, finished: shown.length === run.metrics.length, step: last.step, seconds: last.seconds };
    }),
  };
}

function runLines(id, what, after) {
  const run = runs[id];
  if (!run) throw new Refusal(404, `no run ${id}`);
  if (run.shown) {
    run.since ??= Date.now();
    run.shown = Math.min(run.metrics.length, 20 + 3 * Math.floor((Date.now() - run.since) / 1500));
  }
  const shown = run.metrics.slice(0, run.shown ?? run.metrics.length);
  const last = shown.at(-1).step;
  const all = what === "metrics" ? shown : run.samples.filter((line) => line.step <= last);
  const answer = { lines: all.slice(after), next: all.length };
  return what === "metrics" ? { ...answer, ...run.about } : answer;
}

const headers = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
};
const kinds = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".woff2": "font/woff2", ".svg": "image/svg+xml", ".txt": "text/plain; charset=utf-8" };

async function answer(method, path, query, body, request, response) {
  const run = path.match(/^\/v1\/runs\/([^/]+)\/(metrics|samples)$/);
  if (method === "GET" && path === "/v1/models") return listModels();
  if (method === "GET" && path === "/v1/runs") return listRuns();
  if (method === "GET" && run) return runLines(decodeURIComponent(run[1]), run[2], Number(query.get("after") ?? 0));
  if (method === "POST" && path === "/v1/completions") return complete(body, request, response);
  if (method === "POST" && path === "/v1/inspect/next") return inspectNext(body);
  if (method === "POST" && path === "/v1/inspect/score") return inspectScore(body);
  if (method === "POST" && path === "/v1/inspect/units") return inspectUnits(body);
  throw new Refusal(404, `no ${method} ${path}`);
}

createServer(async (request, response) => {
  const url = new URL(request.url, "http://localhost");
  const path = url.pathname;
  const file = join(site, normalize(path === "/" ? "/index.html" : path));
  if (request.method === "GET" && file.startsWith(site) && existsSync(file) && kinds[extname(file)]) {
    response.writeHead(200, { ...headers, "content-type": kinds[extname(file)] });
    return response.end(readFileSync(file));
  }
  try {
    if (key && request.headers.authorization !== `Bearer ${key}`)
      throw new Refusal(401, "this server wants an API key", null, "invalid_api_key");
    let text = "";
    for await (const piece of request) text += piece;
    const result = await answer(request.method, path, url.searchParams, text ? JSON.parse(text) : {}, request, response);
    if (result === null) return;
    response.writeHead(200, { ...headers, "content-type": "application/json" });
    response.end(ascii(result));
  } catch (error) {
    const status = error.status ?? 500;
    const shape = { message: error.message, type: "invalid_request_error", param: error.param ?? null, code: error.code ?? null };
    response.writeHead(status, { ...headers, "content-type": "application/json" });
    response.end(ascii({ error: shape }));
  }
}).listen(port, "127.0.0.1", function () {
  console.log(`listening on ${this.address().port}`);
});
