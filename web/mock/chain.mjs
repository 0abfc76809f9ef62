// A Markov chain over characters: a stand-in for a trained network while the page is developed. No networks here.

export class Chain {
  constructor(text, order) {
    this.order = order;
    this.counts = Array.from({ length: order + 1 }, () => new Map());
    const seen = new Map();
    for (const symbol of text) seen.set(symbol, (seen.get(symbol) ?? 0) + 1);
    this.symbols = [...seen.keys()].sort((a, b) => seen.get(b) - seen.get(a));
    this.ids = new Map(this.symbols.map((symbol, i) => [symbol, i + 1])); // 0 is <pad>
    for (let n = 0; n <= order; n++) {
      for (let i = n; i < text.length; i++) {
        const context = text.slice(i - n, i);
        let row = this.counts[n].get(context);
        if (!row) this.counts[n].set(context, (row = new Map()));
        row.set(text[i], (row.get(text[i]) ?? 0) + 1);
      }
    }
  }

  /** Probabilities of every symbol after `prefix`: Witten-Bell interpolation of all orders. */
  next(prefix) {
    let p = this.symbols.map(() => 1 / this.symbols.length);
    for (let n = 0; n <= Math.min(this.order, prefix.length); n++) {
      const row = this.counts[n].get(prefix.slice(prefix.length - n));
      if (!row) break;
      let total = 0;
      for (const count of row.values()) total += count;
      const novel = row.size;
      p = p.map((q, i) => ((row.get(this.symbols[i]) ?? 0) + novel * q) / (total + novel));
    }
    return p;
  }
}

const normal = (p) => {
  const sum = p.reduce((a, b) => a + b, 0);
  return p.map((x) => x / sum);
};

/** What is drawn from: temperature, then top-k, top-p and min-p, as the server does it. */
export function shape(p, { temperature = 1, top_k, top_p, min_p }) {
  let q = p;
  if (temperature === 0) {
    const best = Math.max(...p);
    const first = p.indexOf(best);
    return p.map((_, i) => (i === first ? 1 : 0));
  }
  q = normal(q.map((x) => x ** (1 / temperature)));
  if (top_k) {
    const least = [...q].sort((a, b) => b - a)[Math.min(top_k, q.length) - 1];
    q = q.map((x) => (x >= least ? x : 0));
  }
  if (top_p !== undefined && top_p < 1) {
    const order = q.map((_, i) => i).sort((a, b) => q[b] - q[a]);
    let sum = 0;
    const kept = new Set();
    const all = q.reduce((a, b) => a + b, 0);
    for (const i of order) {
      kept.add(i);
      sum += q[i] / all;
      if (sum >= top_p) break;
    }
    q = q.map((x, i) => (kept.has(i) ? x : 0));
  }
  if (min_p) {
    const least = Math.max(...q) * min_p;
    q = q.map((x) => (x >= least ? x : 0));
  }
  return normal(q);
}

export const entropy = (p) => p.reduce((sum, x) => (x > 0 ? sum - x * Math.log2(x) : sum), 0);

/** mulberry32: small, seeded, good enough for a stand-in. */
export function random(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = a;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export function draw(p, uniform) {
  let sum = 0;
  for (let i = 0; i < p.length; i++) {
    sum += p[i];
    if (uniform < sum) return i;
  }
  return p.findLastIndex((x) => x > 0);
}
