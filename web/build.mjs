// Builds the page and the script of `sonho report` into the package, and writes down what they were built from.
// The same sources give the same bytes; tests/web/test_build.py compares the digests without node.

import { createHash } from "node:crypto";
import { readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "vite";
import { plugins } from "./vite.config.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const site = join(here, "../src/sonho/serving/static");
const SOURCES = ["build.mjs", "index.html", "package-lock.json", "package.json", "public", "src", "tsconfig.json", "vite.config.mjs"];
const LIMIT = 150 * 1024;

const digest = (bytes) => createHash("sha256").update(bytes).digest("hex");

function filesIn(path) {
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path).flatMap((name) => filesIn(join(path, name)));
}

/** One digest of many files: of the lines "path digest", sorted. */
function digests(folder, paths) {
  const found = paths.flatMap((path) => filesIn(join(folder, path)));
  return Object.fromEntries(
    found.map((path) => [relative(folder, path).replaceAll("\\", "/"), digest(readFileSync(path))]).sort((a, b) => (a[0] < b[0] ? -1 : 1)),
  );
}

const names = { assetFileNames: "assets/[name]-[hash][extname]", entryFileNames: "assets/[name]-[hash].js" };
const common = { configFile: false, root: here, logLevel: "warn", plugins: plugins() };
const target = "es2022";

rmSync(site, { recursive: true, force: true });
await build({
  ...common,
  build: { outDir: site, emptyOutDir: false, target, assetsInlineLimit: 0, modulePreload: false, rollupOptions: { output: names } },
});
await build({
  ...common,
  publicDir: false,
  build: {
    outDir: site,
    emptyOutDir: false,
    target,
    assetsInlineLimit: 0,
    cssCodeSplit: false,
    rollupOptions: {
      input: join(here, "src/report.ts"),
      output: {
        ...names,
        format: "iife",
        entryFileNames: "report.js",
        assetFileNames: ({ names }) => (names.some((name) => name.endsWith(".css")) ? "report.css" : "assets/[name]-[hash][extname]"),
      },
    },
  },
});

const built = digests(site, ["."]);
const lines = Object.entries(digests(here, SOURCES)).map(([path, sum]) => `${path} ${sum}\n`);
writeFileSync(join(site, "build.json"), JSON.stringify({ sources: digest(lines.join("")), files: built }, null, 1) + "\n");

const size = Object.keys(built).reduce((sum, path) => sum + gzipSync(readFileSync(join(site, path)), { level: 9 }).length, 0);
console.log(`built ${Object.keys(built).length} files, ${size} bytes gzipped`);
if (size > LIMIT) {
  console.error(`the page may have at most ${LIMIT} bytes gzipped`);
  process.exit(1);
}
