// SPDX-License-Identifier: Apache-2.0
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { formatBytes, formatRatio } from "@waggle/units";
import { claimName, claimStateDirectory } from "../commands/single-instance.ts";
import { type LastWindow, RSS_BYTES_MAX, type StatusReport } from "../status/status-report.ts";
import { agentVersion } from "../version.ts";
import { type CheckDefinition, type CheckItem, fail, pass, skip, type Verdict, warn } from "./check.ts";
import type { DoctorFacts } from "./facts.ts";

/** Checks of the agent that runs here, if one does. */
export const agentChecks: readonly CheckDefinition[] = [
  {
    id: "agent-running",
    group: "agent",
    title: "running",
    about: "Whether an agent runs with this state directory, by its claim on it and by its report, and is of this version.",
    run: checkRunning,
  },
  {
    id: "agent-others",
    group: "agent",
    title: "other agents",
    about:
      "Agents with other state directories, by their claims on these (`/proc/net/unix`, so of this network namespace): each has probes of its own, and costs as much again.",
    run: (facts) => {
      const text = readFileSync(join(facts.hostRoot, "proc/net/unix"), "latin1");
      return judgeOthers(otherClaims(text, facts.config.stateDirectory), facts.isRunning);
    },
  },
  {
    id: "agent-budget",
    group: "agent",
    title: "cost and budget",
    about: "CPU of the agent and its programs against `WAGGLE_AGENT_CPU_BUDGET`, resident memory against what is promised, and what is done to save.",
    run: (facts) => judgeBudget(lastWindow(facts)),
  },
  {
    id: "agent-losses",
    group: "agent",
    title: "losses",
    about:
      "Windows that were dropped, unreadable or refused since the agent started, and events that the last window's maps could not keep as they should.",
    run: (facts) => judgeLosses(facts.running, lastWindow(facts)),
  },
];

async function checkRunning(facts: DoctorFacts): Promise<Verdict> {
  const { stateDirectory } = facts.config;
  if (!existsSync(stateDirectory)) return skip(`no agent has run here: there is no ${stateDirectory}`);
  const claim = await claimStateDirectory(stateDirectory);
  claim?.close();
  if (claim !== undefined) return skip("no agent runs with this state directory");
  if (!facts.isRunning) return warn(`an agent holds ${stateDirectory}`, whyUnheard(facts), "look at its log; if it hangs, restart it");
  const { pid, agentVersion: version } = facts.running;
  if (version !== agentVersion)
    return warn(`process ${pid} is version ${version}, this is ${agentVersion}`, "it was updated and not restarted", "restart the agent");
  return pass(`process ${pid}, version ${version}`);
}

function whyUnheard(facts: DoctorFacts): string {
  try {
    return `its report is of process ${facts.running.pid}`;
  } catch (error) {
    return (error as Error).message;
  }
}

/** How many agents hold another state directory than this one. */
export function otherClaims(unixSockets: string, stateDirectory: string): number {
  const own = existsSync(stateDirectory) ? claimName(stateDirectory) : "";
  const names = unixSockets.split("\n").flatMap((line) => /@(waggle-agent-[0-9a-f]{32})$/.exec(line.trim())?.[1] ?? []);
  return new Set(names.filter((name) => name !== own)).size;
}

export function judgeOthers(count: number, isRunning: boolean): Verdict {
  if (count === 0) return pass(isRunning ? "none beside the running agent" : "none");
  return warn(
    count === 1 ? "one agent with another state directory" : `${count} agents with other state directories`,
    "each has probes of its own on the same kernel, and costs as much again",
    "stop those that are not meant, or point WAGGLE_AGENT_STATE_DIRECTORY to theirs",
  );
}

function lastWindow(facts: DoctorFacts): LastWindow {
  const window = facts.running.lastWindow;
  if (window === null) throw new Error("the running agent has ended no window yet");
  return window;
}

export function judgeBudget({ governor, cpuRatio, rssBytes }: Pick<LastWindow, "governor" | "cpuRatio" | "rssBytes">): Verdict {
  const memory = `${formatBytes(rssBytes)} of ${formatBytes(RSS_BYTES_MAX)} resident`;
  if (governor === null) return pass(`the agent takes ${formatRatio(cpuRatio)} of a core; ${memory}; no program runs`);
  const { budget, kernel, agent, predicted, steps, isExhausted } = governor;
  const found = `programs ${formatRatio(kernel)} and agent ${formatRatio(agent)} of a core, budget ${formatRatio(budget)}; ${memory}`;
  const items = steps.map(
    ({ name, words, saves }): CheckItem => ({ name, result: "WARN", found: `${words}: saves ${formatRatio(saves)} of a core` }),
  );
  const fix = "raise WAGGLE_AGENT_CPU_BUDGET, or switch off what is not wanted (WAGGLE_AGENT_SIGNALS_OFF)";
  if (isExhausted) return fail(found, `${formatRatio(predicted)} of a core is over the budget, and nothing is left that would help`, fix, items);
  if (steps.length > 0) return warn(found, `to keep to the budget: ${steps.map(({ words }) => words).join("; ")}`, fix, items);
  if (rssBytes > RSS_BYTES_MAX) return warn(found, "it holds more memory than promised", "lower WAGGLE_AGENT_ROWS_MAX");
  return pass(found);
}

export function judgeLosses({ spool }: Pick<StatusReport, "spool">, { drops }: Pick<LastWindow, "drops">): Verdict {
  const items = drops.map(
    ({ place, cause, lost, merged }): CheckItem => ({
      name: `${place}: ${cause}`,
      result: "WARN",
      found: `${lost} lost, ${merged} merged in the last window`,
    }),
  );
  const windows = spool.lostWindows + spool.refusedFrames;
  const found = `${spool.lostWindows} windows dropped or unreadable, ${spool.refusedFrames} frames refused, ${drops.reduce((sum, { lost, merged }) => sum + lost + merged, 0)} events not kept as they should in the last window`;
  if (windows > 0) return warn(found, "since the agent started", "look at waggle-agent status for the last reason", items);
  if (drops.length > 0)
    return warn(
      found,
      "a map or storage was full: what it could not take is in ~other rows or named there",
      "raise WAGGLE_AGENT_MAP_BYTES_MAX",
      items,
    );
  return pass("no window and no event");
}
