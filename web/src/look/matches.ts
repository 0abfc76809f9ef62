// Where a pattern matches in a text, or nothing where that takes too long.

const PATIENCE_MS = 1000;

/** Ranges of characters; calls `done` once, unless the returned function ends the search before. */
export function findMatches(text: string, pattern: string, done: (ranges: [number, number][]) => void): () => void {
  const worker = new Worker(new URL("./matcher.ts", import.meta.url), { type: "module" });
  const end = () => {
    clearTimeout(timer);
    worker.terminate();
  };
  const timer = setTimeout(end, PATIENCE_MS);
  worker.onmessage = ({ data }: MessageEvent<[number, number][]>) => {
    end();
    done(data);
  };
  worker.postMessage({ text, pattern });
  return end;
}
