// SPDX-License-Identifier: Apache-2.0
import { build } from "esbuild";

await build({
  entryPoints: ["src/main.ts"],
  outfile: "dist/simulator.mjs",
  bundle: true,
  platform: "node",
  target: "node24",
  format: "esm",
  sourcemap: "linked",
  // grpc-js is CommonJS and calls require for Node's own modules.
  banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
});
