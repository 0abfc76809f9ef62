// Marks the looked-at symbol. By hand: twenty thousand symbols need not each ask whether it is they.

/** Move the mark to symbol `at` of `area`. */
export function markHere(area: HTMLElement | undefined, at: number): void {
  area?.querySelector("[data-here]")?.removeAttribute("data-here");
  area?.querySelector(`[data-i="${at}"]`)?.setAttribute("data-here", "");
}
