import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

// Class names come from the style itself, so that the folder the page is built in leaves no trace in it.
export const plugins = () => [svelte({ configFile: false, compilerOptions: { cssHash: ({ hash, css }) => `s${hash(css)}` } })];

export default defineConfig({
  plugins: plugins(),
  server: { proxy: { "/v1": "http://127.0.0.1:8799" } },
});
