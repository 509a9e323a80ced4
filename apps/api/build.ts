// SPDX-License-Identifier: Apache-2.0
import { cp, rm } from "node:fs/promises";
import { join } from "node:path";
import { build } from "esbuild";

const root = import.meta.dirname;
const out = join(root, "dist");

await rm(out, { recursive: true, force: true });
await build({
  entryPoints: [join(root, "src/main.ts")],
  outfile: join(out, "main.js"),
  bundle: true,
  platform: "node",
  target: "node24",
  format: "esm",
  sourcemap: true,
  logLevel: "warning",
  tsconfig: join(root, "tsconfig.json"),
  plugins: [
    {
      // Packages of this repository are TypeScript sources and go into the bundle; everything else is loaded from node_modules.
      name: "packages-stay-outside",
      setup(context) {
        context.onResolve({ filter: /^[^./]/ }, (args) =>
          args.kind === "entry-point" || args.path.startsWith("@waggle/") ? undefined : { path: args.path, external: true },
        );
      },
    },
  ],
});
await cp(join(root, "migrations"), join(out, "migrations"), { recursive: true });
