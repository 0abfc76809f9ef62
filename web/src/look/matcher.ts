// A worker: finds where a pattern matches. Patterns can take for ever, and a worker can be ended.

onmessage = ({ data }: MessageEvent<{ text: string; pattern: string }>) => {
  const found: [number, number][] = [];
  try {
    for (const match of data.text.matchAll(new RegExp(data.pattern, "g"))) found.push([match.index, match.index + match[0].length]);
  } catch {
    // The server's patterns are Python's; what only Python understands is not shown.
  }
  postMessage(found);
};
