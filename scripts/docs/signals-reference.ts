// SPDX-License-Identifier: Apache-2.0
import {
  catalogue,
  dimensions,
  dropCauses,
  foldStepsOf,
  quantities,
  RELATIVE_ERROR_MAX,
  rowsMaxOf,
  type Signal,
} from "../../packages/signals/src/index.ts";

/** docs/signals.md, from the catalogue. */
export function signalsReference(): string {
  return [
    "# Signals",
    "",
    "Generated from `packages/signals` by `node scripts/generate-docs.ts`. Do not edit.",
    "",
    "Values are per key (a combination of dimensions) and window (10 s). Sums merge by addition, gauges by minimum, maximum and mean, histograms",
    `by adding buckets; a percentile read from a histogram is off by at most ${(RELATIVE_ERROR_MAX * 100).toFixed(1)} %. Every dimension can be \`~other\` (what did not fit under a cap)`,
    "or empty (unknown).",
    "",
    ...catalogue.flatMap(signalSection),
    "## Quantities",
    "",
    "What `agent_accounting` compares. Where nothing is said of a difference, both sides count the same things: a lasting difference is a fault.",
    "",
    "| quantity | unit | counted | kernel | differs by |",
    "| --- | --- | --- | --- | --- |",
    ...Object.entries(quantities).map(
      ([name, { unit, help, kernel, differs }]) => `| \`${name}\` | ${unit} | ${help} | \`${kernel}\` | ${differs} |`,
    ),
    "",
    "## Causes of drops",
    "",
    "`agent_drops` by its dimension `cause`.",
    "",
    "| cause | meaning |",
    "| --- | --- |",
    ...Object.entries(dropCauses).map(([cause, help]) => `| \`${cause}\` | ${help} |`),
    "",
    "## Dimensions",
    "",
    "| dimension | meaning |",
    "| --- | --- |",
    ...Object.entries(dimensions).map(([name, dimension]) => `| \`${name}\` | ${dimension.help} |`),
    "",
  ].join("\n");
}

/** What small rows lose where there are too many. */
function givenUp(signal: Signal): string {
  if (signal.bpf === null) return "";
  const steps = foldStepsOf(signal).map((name) => `\`${name}\``);
  return ` Beyond, small ones give up ${steps.join(steps.length > 2 ? ", then " : " and then ")}.`;
}

function signalSection(signal: Signal): string[] {
  const measures =
    signal.distribution === null
      ? signal.measures.map((measure) => `| \`${measure.name}\` | ${measure.kind} | ${measure.unit} | ${measure.help} |`)
      : [
          `| \`${signal.distribution.name}\` | histogram | ${signal.distribution.unit} | ${signal.distribution.help} Takes \`p50\` … \`p99.9\`, \`min\`, \`max\`, \`avg\`, \`count\`, \`heatmap\`. |`,
          `| \`count\` | sum | ${signal.distribution.countUnit} | Values in the histogram. |`,
        ];
  return [
    `## ${signal.name}`,
    "",
    `*${signal.question}* ${signal.help}`,
    "",
    `Kind: ${signal.kind}. Dimensions: ${signal.dimensions.map((name) => `\`${name}\``).join(", ")}.${signal.hooks.length > 0 ? ` Hooks: ${signal.hooks.map((hook) => `\`${hook}\``).join(", ")}.` : ""}`,
    "",
    ...(signal.source === "server" ? [] : [`At most ${rowsMaxOf(signal).toLocaleString("en")} rows per host and window.${givenUp(signal)}`, ""]),
    "| measure | kind | unit | meaning |",
    "| --- | --- | --- | --- |",
    ...measures,
    "",
    ...(signal.caveats.length > 0 ? ["Not seen:", "", ...signal.caveats.map((caveat) => `- ${caveat}`), ""] : []),
  ];
}
