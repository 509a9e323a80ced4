// SPDX-License-Identifier: Apache-2.0
import { checkGroups } from "../../apps/agent/src/doctor/check.ts";
import { checks } from "../../apps/agent/src/doctor/checks.ts";

/** docs/doctor.md, from the checks' own definitions. */
export function doctorReference(): string {
  return [
    "# Doctor",
    "",
    "`waggle-agent doctor` says whether this host has what the agent needs; `./waggle doctor` the same of the agent that `./waggle up` started here (as its user, with its",
    "two capabilities), or before that of this machine. It changes nothing that lasts, and may run beside a running agent. Generated from the checks' definitions in",
    "`apps/agent/src/doctor` by `node scripts/generate-docs.ts`; do not edit.",
    "",
    "| result | meaning |",
    "| --- | --- |",
    "| PASS | looked at, and well |",
    "| WARN | the agent runs, and something is less than it could be |",
    "| FAIL | something the agent needs is missing |",
    "| SKIP | could not be decided, and why; never counts as well |",
    "",
    "Exit status: 0 nothing failed, 1 a check failed, 2 the command line is wrong. `--offline` skips what would be asked over the network, `--verbose` shows what passed one by one",
    "(each program, signal, capability), `--json` prints `{ formatVersion, agentVersion, uid, result, counts, checks: [ { id, group, title, result, found, cause, fix, docs, items: [ {",
    "name, result, found } ] } ] }`. Ids do not change.",
    "",
    ...checkGroups.flatMap((group) => [
      `## ${group[0]?.toUpperCase()}${group.slice(1)}`,
      "",
      ...checks
        .filter((check) => check.group === group)
        .flatMap(({ id, title, about, after = [], usesNetwork }) => [
          `### ${id}`,
          "",
          `*${title}.* ${about}${after.length === 0 ? "" : ` Needs ${after.map((other) => `[${other}](#${other})`).join(", ")}.`}${usesNetwork === true ? " Not with `--offline`." : ""}`,
          "",
        ]),
    ]),
  ].join("\n");
}
