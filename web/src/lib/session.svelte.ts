// What all views share: the models, the chosen one, the key, what went wrong last.

import type { ModelInfo } from "./api";

const KEY = "sonho-key";

class Session {
  models = $state<ModelInfo[]>([]);
  model = $state("");
  key = $state(sessionStorage.getItem(KEY) ?? "");
  keyWanted = $state(false);
  /** Goes up when a key was given: views that were refused ask again. */
  keyring = $state(0);

  get info(): ModelInfo | undefined {
    return this.models.find((model) => model.id === this.model);
  }

  /** A call was answered with 401. */
  refused(): void {
    this.keyWanted = true;
  }

  useKey(key: string): void {
    this.key = key;
    // Not localStorage: a key should not outlive the tab.
    sessionStorage.setItem(KEY, key);
    this.keyWanted = false;
    this.keyring += 1;
  }
}

export const session = new Session();
