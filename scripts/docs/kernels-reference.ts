// SPDX-License-Identifier: Apache-2.0
import { hostSignals } from "../../packages/signals/src/index.ts";
import { HOST, kernels } from "../../tests/kernels/kernels.ts";
import { readRecord, totalsOf } from "../../tests/kernels/results.ts";

/** docs/kernels.md, from the catalogue and what `./waggle test kernels --write` has kept. */
export function kernelsReference(): string {
  const columns = [...kernels.map(({ name }) => name), HOST].map((name) => ({ name, record: readRecord(name) }));
  const notes: string[] = [];
  const note = (text: string): string => {
    const known = notes.indexOf(text);
    return `[${known < 0 ? notes.push(text) : known + 1}]`;
  };
  const rows = hostSignals.map(({ name: signal }) => {
    const cells = columns.map(({ record }) => {
      const found = record?.signals.find((entry) => entry.signal === signal);
      if (found === undefined) return "not measured";
      return found.reason === "" ? found.state : `${found.state} ${note(found.reason)}`;
    });
    return `| \`${signal}\` | ${cells.join(" | ")} |`;
  });
  const agentRow = columns.map(({ record }) => {
    if (!record?.asAgent) return "not measured";
    if (record.asAgent.length === 0) return "the same";
    return `the same but ${record.asAgent.map(({ signal, state, reason }) => `\`${signal}\`: ${state} ${note(reason)}`).join(", ")}`;
  });
  const testRow = columns.map(({ record }) => {
    if (!record?.tests) return "not run";
    const { passed, failed, skipped } = totalsOf(record.tests);
    const { notRun, files } = record.tests;
    const failures = files.flatMap((file) => file.failures).map((failure) => `failed: ${failure}`);
    const more = [...(failed > 0 ? [`${failed} failed ${note(failures.join("; "))}`] : []), ...(skipped > 0 ? [`${skipped} skipped`] : [])];
    const unseen = notRun.length > 0 ? [`${notRun.length} of ${notRun.length + files.length} files not run`] : [];
    return [`${passed} passed of ${passed + failed + skipped}`, ...more, ...unseen].join(", ");
  });
  return [
    "# Kernels",
    "",
    "What the agent says of each signal on kernels it was run on. Generated from `tests/kernels/recorded` by `node scripts/generate-docs.ts`; a run of",
    "`./waggle test kernels --write` renews the records. Do not edit. Kernels 5.10 to newest are Debian's, in an emulated machine; `host` is the machine Waggle",
    "is developed on. `not measured` means that nobody has looked since the signal exists or the kernel is in the list, and nothing else. The agent was root when it said",
    "this; `as the agent's user` is where it says something else with `CAP_BPF` and `CAP_PERFMON` alone, as `./waggle up` starts it.",
    "Kernel tests are not run on 5.10, where no program can be loaded ([what it lacks](../tests/kernels/README.md#what-510-lacks)); on the host they are part of every",
    "`./waggle test`.",
    "",
    `| | ${columns.map(({ name }) => name).join(" | ")} |`,
    `|${" --- |".repeat(columns.length + 1)}`,
    `| release | ${columns.map(({ record }) => record?.release ?? "not measured").join(" | ")} |`,
    ...rows,
    `| as the agent's user | ${agentRow.join(" | ")} |`,
    `| kernel tests | ${testRow.join(" | ")} |`,
    "",
    ...(notes.length > 0
      ? ["Notes, in the agent's words:", "", ...notes.map((text, index) => `${index + 1}. ${text.replaceAll("\n", " ").replaceAll("<", "\\<")}`), ""]
      : []),
  ].join("\n");
}
