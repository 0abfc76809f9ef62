// The server's endpoints as typed functions. Knows HTTP and JSON; not the page.

import { session } from "./session.svelte";

export interface ModelInfo {
  id: string;
  sonho?: {
    cell: string;
    hidden_size: number;
    num_layers: number;
    vocab_size: number;
    parameters: number;
    data_kind: string;
    tokenizer: "char" | "byte" | "word" | "subword";
    bits_per_char: number | null;
    /** What the model may be told; empty where it was not trained on labels. */
    labels: string[];
  };
}

export interface Sampling {
  temperature: number;
  top_k?: number;
  top_p?: number;
  min_p?: number;
  typical_p?: number;
  repetition_penalty?: number;
  frequency_penalty?: number;
  presence_penalty?: number;
}

export interface NextSymbol {
  id: number;
  text: string;
  before: number;
  after: number;
}

export interface Next {
  symbols: NextSymbol[];
  entropy_before: number;
  entropy_after: number;
  kept: number;
}

export interface ScoredToken {
  id: number;
  text: string;
  bits: number | null;
  rank: number | null;
  probability: number | null;
  entropy: number | null;
  top: { id: number; text: string; probability: number }[];
}

export interface Score {
  tokens: ScoredToken[];
  /** null where there was nothing to predict */
  bits_per_char: number | null;
  num_chars: number;
  unknown: string[];
}

export interface Unit {
  unit: number;
  variance: number;
  correlation: number | null;
  values: number[];
}

export interface Units {
  layer: number;
  num_layers: number;
  tokens: string[];
  units: Unit[];
}

export interface RunInfo {
  id: string;
  name: string;
  finished: boolean;
  step: number;
  seconds: number;
}

export interface MetricLine {
  step: number;
  tokens_seen: number;
  seconds: number;
  epoch?: number;
  train_loss?: number;
  validation_loss?: number;
  test_loss?: number;
  learning_rate?: number;
  gradient_norm?: number;
  tokens_per_second?: number;
}

export interface SampleLine {
  step: number;
  prompt?: string;
  temperature?: number;
  text: string;
}

export interface Metrics {
  lines: MetricLine[];
  next: number;
  baselines: Record<string, number>;
  plan: string;
  parameters: number;
  /** Absent for models of characters. */
  tokens_per_char?: number | null;
}

export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

async function call(path: string, body?: unknown, signal?: AbortSignal): Promise<Response> {
  const headers: Record<string, string> = {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (session.key) headers["Authorization"] = `Bearer ${session.key}`;
  let response: Response;
  try {
    response = await fetch(path, {
      method: body === undefined ? "GET" : "POST",
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
    });
  } catch (error) {
    if ((error as Error).name === "AbortError") throw error;
    throw new ApiError(0, "The server does not answer. Is it still running?");
  }
  if (response.ok) return response;
  if (response.status === 401) session.refused();
  let message = `the server answered ${response.status}`;
  try {
    message = (await response.json()).error.message ?? message;
  } catch {
    // No JSON in the answer: the status has to do.
  }
  throw new ApiError(response.status, message);
}

async function json<T>(path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  return (await call(path, body, signal)).json() as Promise<T>;
}

export const listModels = async () => (await json<{ data: ModelInfo[] }>("/v1/models")).data;
export const inspectNext = (body: object, signal?: AbortSignal) => json<Next>("/v1/inspect/next", body, signal);
export const inspectScore = (body: object, signal?: AbortSignal) => json<Score>("/v1/inspect/score", body, signal);
export const inspectUnits = (body: object, signal?: AbortSignal) => json<Units>("/v1/inspect/units", body, signal);
export const listRuns = async () => (await json<{ runs: RunInfo[] }>("/v1/runs")).runs;

const run = (id: string, what: string, after: number) => `/v1/runs/${encodeURIComponent(id)}/${what}?after=${after}`;
export const runMetrics = (id: string, after: number) => json<Metrics>(run(id, "metrics", after));
export const runSamples = (id: string, after: number) =>
  json<{ lines: SampleLine[]; next: number }>(run(id, "samples", after));

/** The pieces of a completion as they arrive. Ends at [DONE]; an abort throws AbortError. */
export async function* streamCompletion(body: object, signal: AbortSignal): AsyncGenerator<string> {
  const response = await call("/v1/completions", { ...body, stream: true }, signal);
  if (!response.body) throw new ApiError(0, "The server sent an empty answer.");
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (!line.startsWith("data:")) continue;
      const data = line.slice(5).trim();
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data) as { choices?: { text?: string }[]; error?: { message: string } };
      if (chunk.error) throw new ApiError(500, chunk.error.message);
      const piece = chunk.choices?.[0]?.text;
      if (piece) yield piece;
    }
  }
}
