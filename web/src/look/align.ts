// Where the tokens of a text stand in it. Symbols that a model does not know are no tokens: they fall between.

export interface Placed {
  /** Where each token begins, in characters. */
  starts: number[];
  /** What stands before each token without being one; one more at the end. */
  gaps: string[];
}

const LOOK_AHEAD = 200;

export function align(text: string, tokens: { text: string }[]): Placed {
  const starts: number[] = [];
  const gaps: string[] = [];
  let at = 0;
  for (const token of tokens) {
    const found = token.text === "" ? at : text.slice(at, at + LOOK_AHEAD + token.text.length).indexOf(token.text);
    // A text that the tokenizer changed (lower case, parts of a letter) is shown as it was read.
    const skipped = token.text === "" || found < 0 ? 0 : found;
    gaps.push(text.slice(at, at + skipped));
    starts.push(at + skipped);
    at += skipped + token.text.length;
  }
  gaps.push(text.slice(at));
  return { starts, gaps };
}
