// The sampler's settings: what each means, and how they travel in a link.

import type { Sampling } from "./api";
import { session } from "./session.svelte";

export interface Dial {
  name: keyof Sampling;
  label: string;
  why: string;
  min: number;
  max: number;
  step: number;
  /** The value at which the dial does nothing. */
  off: number;
  more?: boolean;
}

export const DIALS: Dial[] = [
  { name: "temperature", label: "Temperature", why: "Below 1 the likely becomes likelier; above, chance gains. 0 always takes the likeliest.", min: 0, max: 2, step: 0.05, off: 1 },
  { name: "top_k", label: "Top-k", why: "Only the k likeliest symbols may be drawn. 0 keeps all.", min: 0, max: 60, step: 1, off: 0 },
  { name: "top_p", label: "Top-p", why: "Only the likeliest that together reach this share. 1 keeps all.", min: 0.05, max: 1, step: 0.01, off: 1 },
  { name: "min_p", label: "Min-p", why: "Only what is at least this fraction as likely as the likeliest. 0 keeps all.", min: 0, max: 0.5, step: 0.01, off: 0 },
  { name: "typical_p", label: "Typical", why: "Symbols about as surprising as is usual here, up to this share. 1 keeps all.", min: 0.05, max: 1, step: 0.01, off: 1, more: true },
  { name: "repetition_penalty", label: "Repetition", why: "What was used already becomes less likely by this factor. 1 leaves it.", min: 1, max: 2, step: 0.01, off: 1, more: true },
  { name: "frequency_penalty", label: "Frequency", why: "Subtracts this for each earlier use. 0 leaves it.", min: 0, max: 2, step: 0.05, off: 0, more: true },
  { name: "presence_penalty", label: "Presence", why: "Subtracts this once from all that was used. 0 leaves it.", min: 0, max: 2, step: 0.05, off: 0, more: true },
];

export const MOST_STRENGTH = 5;

export const drawSeed = () => Math.floor(Math.random() * 1e6);

class Settings {
  dials = $state<Record<string, number>>(Object.fromEntries(DIALS.map((dial) => [dial.name, dial.name === "temperature" ? 0.8 : dial.off])));
  maxTokens = $state(300);
  stop = $state("");
  seed = $state(drawSeed());
  keepSeed = $state(false);
  /** What the model is told, where it knows labels; "" is nothing. */
  label = $state("");
  strength = $state(1);

  /** The sampler's part of a request: only what does something. */
  get sampling(): Sampling {
    const found: Sampling = { temperature: this.dials.temperature ?? 1 };
    for (const { name, off } of DIALS) {
      const value = this.dials[name];
      if (name !== "temperature" && value !== undefined && value !== off) found[name] = value;
    }
    return found;
  }

  /** What stop strings were typed: separated by |, with \n for a line end. */
  get stops(): string[] {
    return this.stop.split("|").filter(Boolean).map((part) => part.replaceAll("\\n", "\n").replaceAll("\\t", "\t"));
  }

  /** The label's part of a request: nothing, where the chosen model does not know it. */
  get told(): object {
    if (!session.info?.sonho?.labels.includes(this.label)) return {};
    return { label: this.label, ...(this.strength === 1 ? {} : { strength: this.strength }) };
  }

  request(model: string, prompt: string, seed: number): object {
    return {
      model,
      prompt,
      max_tokens: this.maxTokens,
      ...this.sampling,
      ...(this.stops.length ? { stop: this.stops } : {}),
      ...this.told,
      seed,
    };
  }

  toLink(model: string, prompt: string, seed: number): string {
    const values = new URLSearchParams({ model, seed: String(seed), max: String(this.maxTokens) });
    for (const [name, value] of Object.entries({ ...this.sampling, ...this.told })) values.set(name, String(value));
    if (this.stop) values.set("stop", this.stop);
    values.set("text", prompt);
    return `#play?${values.toString()}`;
  }

  fromLink(values: URLSearchParams): void {
    for (const { name, off, min, max } of DIALS) {
      const value = Number(values.get(name) ?? (name === "temperature" ? 0.8 : off));
      if (Number.isFinite(value)) this.dials[name] = Math.min(max, Math.max(min, value));
    }
    const tokens = Number(values.get("max"));
    if (tokens > 0) this.maxTokens = Math.min(5000, Math.round(tokens));
    this.stop = values.get("stop") ?? "";
    this.label = values.get("label") ?? "";
    const strength = Number(values.get("strength") ?? 1);
    if (Number.isFinite(strength)) this.strength = Math.min(MOST_STRENGTH, Math.max(0, strength));
    const seed = Number(values.get("seed"));
    if (values.has("seed") && Number.isSafeInteger(seed) && seed >= 0) {
      this.seed = seed;
      this.keepSeed = true;
    }
  }
}

export const settings = new Settings();
