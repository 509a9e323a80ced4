// SPDX-License-Identifier: Apache-2.0

/**
 * Builds dist/: all that a host needs to run the agent besides Node.js and libbpf.
 *
 *   waggle-agent                starts it with the flags that keep it small
 *   waggle-agent.mjs, chunks/   the program
 *   node_modules/               koffi and its native part, which cannot be bundled
 *   bpf/*.bpf.o                 the BPF objects, if packages/bpf has been built
 */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { launchEnvironment, nodeFlags } from "./src/launch.ts";

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, "dist");

rmSync(dist, { recursive: true, force: true });
await build({
  entryPoints: { "waggle-agent": join(here, "src/main.ts") },
  outdir: dist,
  outExtension: { ".js": ".mjs" },
  chunkNames: "chunks/[name]-[hash]",
  bundle: true,
  // Chunks keep `status` from loading gRPC and koffi, and let the agent live where koffi cannot be loaded.
  splitting: true,
  platform: "node",
  format: "esm",
  target: "node24",
  external: ["koffi"],
  minifyWhitespace: true,
  minifySyntax: true,
  // Names stay as they are: shorter ones would have to be put right on each function at run time, also on closures, each time one is made.
  legalComments: "none",
  logLevel: "warning",
  // gRPC is CommonJS and asks for Node's modules by require().
  banner: { js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);' },
});

copyKoffi();
copyObjects();
writeLauncher();

function writeLauncher(): void {
  const variables = Object.entries(launchEnvironment).map(([name, value]) => `${name}=${value}`);
  const lines = [
    "#!/bin/sh",
    "# SPDX-License-Identifier: Apache-2.0",
    `export ${variables.join(" ")}`,
    `exec "\${NODE:-node}" ${nodeFlags.join(" ")} "$(dirname "$(readlink -f "$0")")/waggle-agent.mjs" "$@"`,
  ];
  writeFileSync(join(dist, "waggle-agent"), `${lines.join("\n")}\n`, { mode: 0o755 });
}

/** koffi finds its native part as a package `@koromix/koffi-<platform>-<arch>` beside it. */
function copyKoffi(): void {
  const require = createRequire(import.meta.url);
  const source = dirname(realpathSync(require.resolve("koffi")));
  const target = join(dist, "node_modules/koffi");
  mkdirSync(target, { recursive: true });
  for (const name of ["index.js", "index.cjs", "LICENSE.txt"]) if (existsSync(join(source, name))) cpSync(join(source, name), join(target, name));
  // Its C++ sources and headers are most of the package and no part of the program.
  cpSync(join(source, "src/koffi"), join(target, "src/koffi"), {
    recursive: true,
    filter: (path) => statSync(path).isDirectory() || /\.c?js$/.test(path),
  });
  const manifest = JSON.parse(readFileSync(join(source, "package.json"), "utf8")) as Record<string, unknown>;
  writeFileSync(
    join(target, "package.json"),
    `${JSON.stringify({ name: manifest["name"], version: manifest["version"], license: manifest["license"], type: manifest["type"], main: manifest["main"], exports: manifest["exports"] }, null, 2)}\n`,
  );
  const native = join(dirname(source), "@koromix");
  for (const name of readdirSync(native)) cpSync(realpathSync(join(native, name)), join(dist, "node_modules/@koromix", name), { recursive: true });
}

function copyObjects(): void {
  const source = join(here, "../../packages/bpf/build");
  const objects = existsSync(source) ? readdirSync(source).filter((name) => name.endsWith(".bpf.o")) : [];
  if (objects.length === 0) {
    console.warn("no BPF objects in packages/bpf/build; the agent will say so until they are built (pnpm --filter @waggle/bpf build)");
    return;
  }
  for (const name of objects) cpSync(join(source, name), join(dist, "bpf", name));
}
