// SPDX-License-Identifier: Apache-2.0
import { type ParseArgsConfig, parseArgs } from "node:util";
import { type BenchOptions, type BenchResult, printReport } from "./report.ts";

/**
 * `./waggle bench <what> [--json]`: each measures against a peer or a limit in the same run, because absolute numbers of one
 * machine say little about another.
 */
const benches: Readonly<Record<string, () => Promise<{ run: (options: BenchOptions) => Promise<BenchResult> }>>> = {
  agent: () => import("./agent.ts"),
  "agent-footprint": () => import("./agent-footprint.ts"),
  ingest: () => import("./ingest.ts"),
  outage: () => import("./outage.ts"),
  probes: () => import("./probes.ts"),
  query: () => import("./query.ts"),
  storage: () => import("./storage.ts"),
};

const words = {
  allowPositionals: true,
  options: {
    json: { type: "boolean", default: false },
    /** ingest: how many agents stay connected; 0 leaves that part out. */
    agents: { type: "string", default: "10000" },
    /** ingest: over how many TCP connections they come; one each if not said. */
    connections: { type: "string" },
    /** ingest: over how many ms the agents' frames of one window are spread. */
    "spread-ms": { type: "string", default: "5000" },
    /** query: how many hosts, how many hours of them, and rows of a host and minute. */
    hosts: { type: "string", default: "10000" },
    hours: { type: "string", default: "24" },
    /** query: how many of these hours go through the wire; the others are copied, which saves most of an hour. */
    "wire-hours": { type: "string", default: "1" },
    rows: { type: "string", default: "8" },
    /** query: how often each question is asked. */
    runs: { type: "string", default: "20" },
    /** query: leaves out the 50 dashboards beside ingest. */
    "no-dashboards": { type: "boolean", default: false },
    /** query: where the filled database is kept for the next run; storage: the directory of a `./waggle up`, stopped, whose rows are measured. */
    data: { type: "string" },
  },
} as const satisfies ParseArgsConfig;

function parse(): ReturnType<typeof parseArgs<typeof words>> {
  try {
    return parseArgs(words);
  } catch (error) {
    console.error(`waggle bench: ${(error as Error).message.split(". ")[0]}; there are --${Object.keys(words.options).join(", --")}`);
    process.exit(2);
  }
}

const { positionals, values } = parse();
const wholeNumber = (option: string, text: string): number => {
  if (/^\d{1,6}$/.test(text)) return Number(text);
  console.error(`waggle bench: --${option} takes a whole number, not "${text}"`);
  process.exit(2);
};
const [name = ""] = positionals;
const load = benches[name];
if (load === undefined) {
  console.error(`waggle bench: ${name === "" ? "say what to measure" : `unknown "${name}"`}; there are ${Object.keys(benches).join(", ")}`);
  process.exit(2);
}
const { run } = await load();
const agents = wholeNumber("agents", values.agents);
const result = await run({
  agents,
  connections: values.connections === undefined ? agents : wholeNumber("connections", values.connections),
  spreadMs: wholeNumber("spread-ms", values["spread-ms"]),
  hosts: wholeNumber("hosts", values.hosts),
  hours: wholeNumber("hours", values.hours),
  wireHours: wholeNumber("wire-hours", values["wire-hours"]),
  rows: wholeNumber("rows", values.rows),
  runs: wholeNumber("runs", values.runs),
  dashboards: !values["no-dashboards"],
  dataDirectory: values.data,
});
if (values.json) console.log(JSON.stringify(result.json, undefined, 2));
else printReport(result);
