// What a training left behind, as curves. No server, no screen: reports use it too.

import type { MetricLine, SampleLine } from "../lib/api";

export interface Run {
  id: string;
  name: string;
  finished: boolean;
  lines: MetricLine[];
  samples: SampleLine[];
  /** bits per character */
  baselines: Record<string, number>;
  plan: string;
  parameters: number;
  /** More than one where tokens are parts of characters, less for words; 1 for characters. */
  tokens_per_char: number;
}

export type Axis = "step" | "tokens_seen" | "seconds";
export type Point = [number, number];

export const AXES: Record<Axis, string> = { step: "steps", tokens_seen: "symbols read", seconds: "seconds" };
const NATS_PER_BIT = Math.LN2;

/** One value of the log along an axis; lines without it are left out. */
export function curve(run: Run, name: keyof MetricLine, axis: Axis, factor = 1): Point[] {
  const points: Point[] = [];
  for (const line of run.lines) {
    const value = line[name];
    if (typeof value !== "number" || !Number.isFinite(value)) continue;
    points.push([line[axis], value * factor * (name.endsWith("_loss") ? run.tokens_per_char : 1)]);
  }
  return points;
}

/** The best validation, in bits per character. */
export function bestBits(run: Run): number | null {
  const values = run.lines.flatMap(({ validation_loss }) => (typeof validation_loss === "number" ? [validation_loss] : []));
  return values.length ? (least(values) * run.tokens_per_char) / NATS_PER_BIT : null;
}

// Not Math.min(...values): a long log has more values than a call may have arguments.
export const least = (values: number[]) => values.reduce((a, b) => Math.min(a, b), Infinity);
export const most = (values: number[]) => values.reduce((a, b) => Math.max(a, b), -Infinity);

/** "7-gram Kneser-Ney" is too long for a margin. */
export const short = (name: string) => name.replace(/ Kneser-Ney$/, "").replace(/^single /, "");

/** Round numbers that cut [low, high] into about `count` parts. */
export function ticks(low: number, high: number, count: number): number[] {
  const rough = (high - low) / Math.max(1, count);
  if (!(rough > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= rough) ?? rough;
  const found: number[] = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) found.push(i * step);
  return found;
}

/** Places for labels wanted at `wanted` (sorted), at least `gap` apart and within [low, high]. */
export function spread(wanted: number[], gap: number, low: number, high: number): number[] {
  const places = [...wanted];
  for (let i = 1; i < places.length; i++) places[i] = Math.max(places[i]!, places[i - 1]! + gap);
  let limit = high;
  for (let i = places.length - 1; i >= 0 && places[i]! > limit; i--, limit -= gap) places[i] = limit;
  return places.map((place) => Math.max(low, place));
}

export const inNats = (unit: string) => unit === "nats/char";
export const toUnit = (unit: string) => (inNats(unit) ? 1 : 1 / NATS_PER_BIT);
