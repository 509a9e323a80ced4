// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Client, startStack } from "../tests/support/stack.ts";
import { runWorkload } from "../tests/support/workload.ts";
import type { BenchResult, Measurement } from "./report.ts";
import { type Loss, loadKinds, measureSustained, measureThroughput, type SustainedLoss } from "./throughput.ts";

const RSS_LIMIT_BYTES = 90e6;
const CPU_LIMIT_RATIO = 0.01;
const WINDOW_SECONDS = 10;
const FRESHNESS_LIMIT_SECONDS = WINDOW_SECONDS + 2;
const OBSERVE_SECONDS = 60;
const FRESHNESS_TRIES = 7;
const LOSS_LIMIT_RATIO = 0.02;

/** What the agent costs this host while it does nothing special, how soon an event can be read through REST, and what loads lose to it. */
export async function run(): Promise<BenchResult> {
  const throughput = await measureThroughput();
  const sustained = await measureSustained();
  const stack = await startStack("--no-web");
  try {
    const pid = agentPid();
    await sleep(15_000);
    const cpuBefore = cpuSeconds(pid);
    let rssMax = 0;
    for (let second = 0; second < OBSERVE_SECONDS; second++) {
      await sleep(1_000);
      rssMax = Math.max(rssMax, rssBytes(pid));
    }
    const cpuRatio = (cpuSeconds(pid) - cpuBefore) / OBSERVE_SECONDS;
    const freshness = await measureFreshness(new Client(stack.address));
    return {
      title: "Agent on this host",
      method: `${OBSERVE_SECONDS} s of an otherwise idle machine with the whole stack on it; freshness over ${FRESHNESS_TRIES} marked processes. Losses: medians of ${throughput.rounds} pairs of neighbours, by CPU time per operation; the agent as \`up\` runs it, its API only acknowledging.`,
      measurements: [
        { what: "resident memory, largest", value: rssMax / 1e6, unit: "MB", against: { what: "limit", value: RSS_LIMIT_BYTES / 1e6 } },
        { what: "CPU, user and system", value: cpuRatio * 100, unit: "% of a core", against: { what: "limit", value: CPU_LIMIT_RATIO * 100 } },
        {
          what: "event to visible through REST, worst",
          value: Math.max(...freshness),
          unit: "s",
          against: { what: "limit", value: FRESHNESS_LIMIT_SECONDS },
        },
        ...throughput.losses.map(lossLine),
        ...sustained.map(sustainedLine),
      ],
      json: {
        rssBytesMax: rssMax,
        cpuRatio,
        freshnessSeconds: freshness,
        throughput,
        sustained,
        limits: { RSS_LIMIT_BYTES, CPU_LIMIT_RATIO, FRESHNESS_LIMIT_SECONDS, LOSS_LIMIT_RATIO },
      },
    };
  } finally {
    await stack.stop();
  }
}

function lossLine({ tracer, load, cpu }: Loss): Measurement {
  const what = loadKinds.find(({ kind }) => kind === load)?.what ?? load;
  return { what: `${what}: lost with ${tracer}`, value: cpu * 100, unit: "%", against: { what: "limit", value: LOSS_LIMIT_RATIO * 100 } };
}

function sustainedLine({ load, afterSeconds, seconds, cpu }: SustainedLoss): Measurement {
  const what = loadKinds.find(({ kind }) => kind === load)?.what ?? load;
  const limit = { what: "limit", value: LOSS_LIMIT_RATIO * 100 };
  const when = afterSeconds === 0 ? `in its first ${seconds} s` : `after ${afterSeconds} s of it`;
  return { what: `${what}, ${when}: lost with the agent`, value: cpu * 100, unit: "%", against: limit };
}

/** Seconds from the end of a marked workload until its calls can be queried. The last window it can be in ends within one window. */
async function measureFreshness(client: Client): Promise<number[]> {
  const seconds: number[] = [];
  for (let index = 0; index < FRESHNESS_TRIES; index++) {
    const from = new Date(Date.now() - 1_000);
    const name = `wgl-fresh-${index}`;
    await runWorkload("getppid", { name, count: 101 });
    const began = performance.now();
    while ((await client.sum("syscalls", "count", `process:${name} syscall:getppid`, from)) < 101) {
      if (performance.now() - began > 60_000) throw new Error(`the calls of ${name} did not become visible within 60 s`);
      await sleep(100);
    }
    seconds.push((performance.now() - began) / 1000);
    // Another phase of the window each time.
    await sleep(1_300 + index * 1_400);
  }
  return seconds;
}

function agentPid(): number {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name) && comm(name) === "waggle-agent");
  if (pids.length !== 1) throw new Error(`expected one process named waggle-agent, found ${pids.length}; stop other stacks first`);
  return Number(pids[0]);
}

function comm(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return "";
  }
}

function rssBytes(pid: number): number {
  const match = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(match?.[1]) * 1024;
}

/** User and system time of all threads. */
function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));
}
