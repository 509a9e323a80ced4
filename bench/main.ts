// SPDX-License-Identifier: Apache-2.0
import { parseArgs } from "node:util";
import type { BenchResult } from "./report.ts";
import { printReport } from "./report.ts";

/**
 * `./waggle bench <what> [--json]`: each measures against a peer or a limit in the same run, because absolute numbers of one
 * machine say little about another.
 */
const benches: Readonly<Record<string, () => Promise<{ run: () => Promise<BenchResult> }>>> = {
  agent: () => import("./agent.ts"),
  ingest: () => import("./ingest.ts"),
  probes: () => import("./probes.ts"),
  query: () => import("./query.ts"),
};

const { positionals, values } = parseArgs({ allowPositionals: true, options: { json: { type: "boolean", default: false } } });
const [name = ""] = positionals;
const load = benches[name];
if (load === undefined) {
  console.error(`waggle bench: ${name === "" ? "say what to measure" : `unknown "${name}"`}; there are ${Object.keys(benches).join(", ")}`);
  process.exit(2);
}
const { run } = await load();
const result = await run();
if (values.json) console.log(JSON.stringify(result.json, undefined, 2));
else printReport(result);
