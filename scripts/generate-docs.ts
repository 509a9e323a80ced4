// SPDX-License-Identifier: Apache-2.0
import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { configurationReference } from "./docs/configuration-reference.ts";
import { doctorReference } from "./docs/doctor-reference.ts";
import { kernelsReference } from "./docs/kernels-reference.ts";
import { openApiReference } from "./docs/openapi-reference.ts";
import { signalsReference } from "./docs/signals-reference.ts";

/** Writes the generated references, or with `--check` says which are stale (exit 1). */
const root = resolve(import.meta.dirname, "..");
const references: Readonly<Record<string, () => string>> = {
  "docs/configuration.md": configurationReference,
  "docs/doctor.md": doctorReference,
  "docs/kernels.md": kernelsReference,
  "docs/openapi.json": openApiReference,
  "docs/signals.md": signalsReference,
};

let stale = 0;
for (const [path, generate] of Object.entries(references)) {
  const file = resolve(root, path);
  const text = generate();
  if (process.argv.includes("--check")) {
    if (readFileSync(file, "utf8") !== text) {
      console.error(`${path} is stale; run: node scripts/generate-docs.ts`);
      stale++;
    }
  } else {
    writeFileSync(file, text);
    console.log(path);
  }
}
process.exitCode = stale > 0 ? 1 : 0;
