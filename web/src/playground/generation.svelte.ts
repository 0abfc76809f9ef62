// Writing: one stream into the page at a time, what started it, and how it ended.

import { streamCompletion } from "../lib/api";
import { session } from "../lib/session.svelte";
import { drawSeed, settings } from "../lib/settings.svelte";
import { page } from "./page.svelte";

class Generation {
  running = $state(false);
  trouble = $state("");
  /** Said to screen readers. */
  news = $state("");
  /** What the last text was drawn from; a link or a command repeats it. */
  last = $state.raw<{ prompt: string; seed: number; after: string } | null>(null);
  private stopper: AbortController | null = null;

  stop(): void {
    this.stopper?.abort();
  }

  async write(): Promise<void> {
    if (!settings.keepSeed) settings.seed = drawSeed();
    await this.stream(page.caret, settings.seed);
  }

  /** Take back the last text and draw another in its place. */
  async again(): Promise<void> {
    const last = this.last;
    if (!last) return;
    page.remember();
    page.text = last.prompt + last.after;
    page.made = page.made.filter(({ to }) => to <= last.prompt.length);
    settings.seed = drawSeed();
    await this.stream(last.prompt.length, settings.seed, false);
  }

  private async stream(at: number, seed: number, remember = true): Promise<void> {
    this.stop();
    const stopper = (this.stopper = new AbortController());
    const prompt = page.text.slice(0, at);
    this.last = { prompt, seed, after: page.text.slice(at) };
    if (remember) page.remember();
    [this.running, this.trouble, this.news] = [true, "", "Writing"];
    let waiting = "";
    let written = 0;
    const flush = () => {
      if (!waiting || this.stopper !== stopper) return;
      page.insertMade(at, waiting);
      at += waiting.length;
      waiting = "";
    };
    // The screen is drawn at most once a frame, however fast the symbols come.
    let frame = 0;
    try {
      for await (const piece of streamCompletion(settings.request(session.model, prompt, seed), stopper.signal)) {
        if (stopper.signal.aborted) break;
        waiting += piece;
        written += piece.length;
        frame ||= requestAnimationFrame(() => {
          frame = 0;
          flush();
        });
      }
      this.news = `${written} characters written`;
    } catch (error) {
      if ((error as Error).name === "AbortError") this.news = `Stopped after ${written} characters`;
      else this.trouble = (error as Error).message;
    } finally {
      cancelAnimationFrame(frame);
      flush();
      if (this.stopper === stopper) [this.running, this.stopper] = [false, null];
    }
  }
}

export const generation = new Generation();
