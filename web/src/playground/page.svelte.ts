// The written page: a text, which parts of it the network wrote, and everything that can be undone.

export interface Range {
  from: number;
  to: number;
}

interface Snapshot {
  text: string;
  made: Range[];
  caret: number;
}

const PAUSE_MS = 700;
const MOST_STEPS = 200;

export class Page {
  text = $state("");
  /** Parts written by the network: sorted, apart from each other. */
  made = $state.raw<Range[]>([]);
  caret = $state(0);
  private past = $state.raw<Snapshot[]>([]);
  private future = $state.raw<Snapshot[]>([]);
  private lastTyped = 0;

  get canUndo(): boolean {
    return this.past.length > 0;
  }

  get canRedo(): boolean {
    return this.future.length > 0;
  }

  /** The text cut where the hand that wrote it changes. */
  get pieces(): { text: string; made: boolean }[] {
    const pieces: { text: string; made: boolean }[] = [];
    let at = 0;
    for (const { from, to } of this.made) {
      if (from > at) pieces.push({ text: this.text.slice(at, from), made: false });
      pieces.push({ text: this.text.slice(from, to), made: true });
      at = to;
    }
    if (at < this.text.length) pieces.push({ text: this.text.slice(at), made: false });
    return pieces;
  }

  load(text: string): void {
    this.remember();
    this.text = text;
    this.made = [];
    this.caret = text.length;
  }

  /** The textarea now holds `text`: work out what was typed over what. */
  typed(text: string, caret: number): void {
    const now = Date.now();
    if (now - this.lastTyped > PAUSE_MS) this.remember();
    this.lastTyped = now;
    const old = this.text;
    let start = 0;
    // Typed text ends at the caret, so what follows it is common to both.
    const most = Math.min(old.length, text.length, caret);
    while (start < most && old[start] === text[start]) start++;
    let end = 0;
    while (end < Math.min(old.length, text.length) - start && old[old.length - 1 - end] === text[text.length - 1 - end]) end++;
    this.replace(start, old.length - end, text.slice(start, text.length - end), false);
    this.caret = caret;
  }

  /** Put `text`, written by the network, at `at`. */
  insertMade(at: number, text: string): void {
    this.replace(at, at, text, true);
    this.caret = at + text.length;
  }

  remember(): void {
    this.past = [...this.past.slice(-MOST_STEPS), this.snapshot()];
    this.future = [];
    this.lastTyped = 0;
  }

  undo(): void {
    const last = this.past.at(-1);
    if (!last) return;
    this.future = [...this.future, this.snapshot()];
    this.past = this.past.slice(0, -1);
    this.restore(last);
  }

  redo(): void {
    const next = this.future.at(-1);
    if (!next) return;
    this.past = [...this.past, this.snapshot()];
    this.future = this.future.slice(0, -1);
    this.restore(next);
  }

  private snapshot(): Snapshot {
    return { text: this.text, made: this.made, caret: this.caret };
  }

  private restore({ text, made, caret }: Snapshot): void {
    this.text = text;
    this.made = made;
    this.caret = caret;
    this.lastTyped = 0;
  }

  private replace(from: number, to: number, text: string, made: boolean): void {
    const shift = text.length - (to - from);
    const ranges: Range[] = [];
    for (const range of this.made) {
      if (range.from < from) ranges.push({ from: range.from, to: Math.min(range.to, from) });
      if (range.to > to) ranges.push({ from: Math.max(range.from, to) + shift, to: range.to + shift });
    }
    if (made && text) ranges.push({ from, to: from + text.length });
    ranges.sort((a, b) => a.from - b.from);
    const joined: Range[] = [];
    for (const range of ranges) {
      const last = joined.at(-1);
      if (last && last.to >= range.from) last.to = Math.max(last.to, range.to);
      else joined.push({ ...range });
    }
    this.made = joined;
    this.text = this.text.slice(0, from) + text + this.text.slice(to);
  }
}

export const page = new Page();
