// Texts made presentable: invisible symbols, numbers, and code to copy.

const SIGNS: Record<string, string> = {
  " ": "·",
  "\t": "⇥",
  "\n": "⏎",
  "\r": "␍",
  "\u00a0": "⍽",
  "\u200b": "∅",
  "\u200c": "∅",
  "\u200d": "∅",
  "\u2028": "⏎",
  "\u2029": "⏎",
  "\ufeff": "∅",
  "\u00ad": "¬",
};

const WORDS: Record<string, string> = {
  " ": "space",
  "\t": "tab",
  "\n": "line end",
  "\r": "carriage return",
  "\u00a0": "no-break space",
  "": "end of text",
};

/** Every invisible symbol of `text` as a sign. */
export function visible(text: string): string {
  if (text === "") return "∎";
  return text.replace(/[\s\u0000-\u001f\u00ad\u200b-\u200d\ufeff]/gu, (c) => SIGNS[c] ?? (c < " " ? String.fromCharCode(0x2400 + c.charCodeAt(0)) : "␣"));
}

/** Room for the longest of some symbols: letters take little, words more, up to what leaves space for the bars. */
export function symbolRoom(texts: string[]): string {
  const longest = Math.max(1, ...texts.map((text) => visible(text).length));
  return `${Math.min(9, Math.max(2.5, 0.65 * longest + 1))}rem`;
}

/** Signs beside the line breaks that they stand for, so that the shape of the text stays. */
export function annotated(text: string): string {
  return visible(text).replaceAll("⏎", "⏎\n");
}

/** A symbol as a screen reader should say it. */
export function spoken(text: string): string {
  return WORDS[text] ?? (text.trim() === "" ? visible(text) : text);
}

export function percent(p: number): string {
  if (p <= 0) return "0";
  if (p < 0.0005) return "<0.1 %";
  return `${(100 * p).toFixed(p < 0.0995 ? 1 : 0)} %`;
}

export function compact(value: number): string {
  if (value >= 1e6) return `${(value / 1e6).toFixed(value < 1e7 ? 2 : 1)} M`;
  if (value >= 1e4) return `${Math.round(value / 1e3)} k`;
  if (value >= 1e3) return `${(value / 1e3).toFixed(1)} k`;
  return `${value}`;
}

export function clock(seconds: number): string {
  const s = Math.round(seconds);
  const pad = (n: number) => String(n).padStart(2, "0");
  return s < 3600 ? `${Math.floor(s / 60)}:${pad(s % 60)}` : `${Math.floor(s / 3600)}:${pad(Math.floor(s / 60) % 60)}:${pad(s % 60)}`;
}

/** A request as a shell command; the key itself is never written out. */
export function asCurl(origin: string, body: object, key: boolean): string {
  const text = JSON.stringify(body, null, 2).replaceAll("'", "'\\''");
  const head = key ? ["  -H \"Authorization: Bearer $SONHO_KEY\""] : [];
  return [`curl ${origin}/v1/completions`, "  -H 'Content-Type: application/json'", ...head, `  -d '${text}'`].join(" \\\n");
}

/** A request as Python that needs nothing but the standard library. */
export function asPython(origin: string, body: object, key: boolean): string {
  const lines = Object.entries(body).map(([name, value]) => `    "${name}": ${JSON.stringify(value)},`);
  const headers = key
    ? '{"Content-Type": "application/json", "Authorization": "Bearer " + os.environ["SONHO_KEY"]}'
    : '{"Content-Type": "application/json"}';
  return [
    `import json, ${key ? "os, " : ""}urllib.request`,
    "",
    "body = {",
    ...lines,
    "}",
    "request = urllib.request.Request(",
    `    "${origin}/v1/completions",`,
    "    data=json.dumps(body).encode(),",
    `    headers=${headers},`,
    ")",
    "answer = json.load(urllib.request.urlopen(request))",
    'print(body["prompt"] + answer["choices"][0]["text"])',
  ].join("\n");
}
