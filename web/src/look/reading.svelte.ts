// A text under the glass: its score, the place that is looked at, and the branches that were grown from it.

import { inspectScore, streamCompletion, type Score } from "../lib/api";
import { session } from "../lib/session.svelte";
import { drawSeed, settings } from "../lib/settings.svelte";
import { align, type Placed } from "./align";

export interface Branch {
  id: number;
  parent: number | null;
  text: string;
  /** Characters shared with the parent; then came another symbol. */
  shared: number;
  symbol: string;
}

const SAMPLE = `"To be, or not to be," said the prince,
and the players looked at one another.
KING HENRY:
What news? Speak, 42 horses in the field?
"Not one," quoth he, "not one is left alive."`;
const BRANCH_LENGTH = 90;

class Reading {
  text = $state(SAMPLE);
  /** What was scored: the text may have been edited since. */
  scored = $state("");
  score = $state.raw<Score | null>(null);
  placed = $state.raw<Placed>({ starts: [], gaps: [] });
  at = $state(0);
  busy = $state(false);
  trouble = $state("");
  branches = $state<Branch[]>([]);
  branch = $state(0);
  private stopper: AbortController | null = null;

  /** Score the text that was typed or pasted: a tree of its own begins. */
  async read(): Promise<void> {
    this.branches = [{ id: 0, parent: null, text: this.text, shared: 0, symbol: "" }];
    this.branch = 0;
    await this.measure();
  }

  async open(id: number): Promise<void> {
    const found = this.branches.find((branch) => branch.id === id);
    if (!found || this.busy) return;
    this.branch = id;
    this.text = found.text;
    await this.measure(found.shared);
  }

  /** Write `symbol` instead of the one at the looked-at place, and let the network go on. */
  async grow(symbol: string): Promise<void> {
    if (!this.score || this.busy) return;
    const shared = this.placed.starts[this.at] ?? 0;
    const id = this.branches.length;
    this.branches.push({ id, parent: this.branch, text: this.scored.slice(0, shared) + symbol, shared, symbol });
    const branch = this.branches[id]!;
    const stopper = (this.stopper = new AbortController());
    [this.busy, this.trouble, this.branch] = [true, "", id];
    try {
      const body = { model: session.model, prompt: branch.text, max_tokens: BRANCH_LENGTH, ...settings.sampling, seed: drawSeed() };
      for await (const piece of streamCompletion(body, stopper.signal)) branch.text += piece;
    } catch (error) {
      if ((error as Error).name !== "AbortError") this.trouble = (error as Error).message;
    }
    this.busy = false;
    this.text = branch.text;
    await this.measure(shared);
  }

  stop(): void {
    this.stopper?.abort();
  }

  private async measure(at = 0): Promise<void> {
    if (!session.model || this.busy) return;
    [this.busy, this.trouble] = [true, ""];
    try {
      const text = this.text;
      const score = await inspectScore({ model: session.model, text, alternatives: 10 });
      [this.score, this.scored, this.placed] = [score, text, align(text, score.tokens)];
      const place = this.placed.starts.findIndex((start, i) => start >= at && score.tokens[i]!.bits !== null);
      this.at = place < 0 ? Math.max(0, score.tokens.length - 1) : place;
    } catch (error) {
      this.trouble = (error as Error).message;
    }
    this.busy = false;
  }
}

export const reading = new Reading();
