// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Client, type StackAddress, startStack } from "../support/stack.ts";

const root = resolve(import.meta.dirname, "../..");

/** Pids whose parents lead up to `ancestor`. */
function descendants(ancestor: number): { pid: number; command: string }[] {
  const parents = new Map<number, number>();
  const commands = new Map<number, string>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]));
      commands.set(Number(name), readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " "));
    } catch {
      // It ended between the two readings.
    }
  }
  const found: { pid: number; command: string }[] = [];
  for (const pid of parents.keys()) {
    let up = parents.get(pid);
    while (up !== undefined && up > 1 && up !== ancestor) up = parents.get(up);
    if (up === ancestor) found.push({ pid, command: commands.get(pid) ?? "" });
  }
  return found;
}

/** kill -9 of the one process of the stack whose command line matches. */
function killNine(address: StackAddress, pattern: RegExp): void {
  const matching = descendants(address.upPid).filter((process) => pattern.test(process.command));
  expect(
    matching.map((process) => process.command),
    `processes matching ${pattern}`,
  ).not.toHaveLength(0);
  for (const { pid } of matching) process.kill(pid, "SIGKILL");
}

interface LedgerLine {
  host: string;
  windowStart: string;
  signals: Record<string, Record<string, string | number>>;
}

describe("kill -9 of agent, API and ClickHouse during a run", () => {
  let address: StackAddress;
  let stop: () => Promise<number | null>;
  let simulator: ChildProcess | undefined;
  const directory = mkdtempSync(join(tmpdir(), "waggle-ledger-"));
  const ledgerPath = join(directory, "ledger.ndjson");

  beforeAll(async () => {
    ({ address, stop } = await startStack("--no-web"));
  }, 300_000);

  afterAll(async () => {
    simulator?.kill("SIGKILL");
    await stop();
    rmSync(directory, { recursive: true });
  });

  it("leaves every acknowledged window in the store exactly once", async () => {
    const began = new Date(Math.floor(Date.now() / 10_000) * 10_000 - 130_000);
    simulator = spawn(
      process.execPath,
      [
        join(root, "apps/simulator/dist/simulator.mjs"),
        ...["--hosts", "7", "--api", address.ingestAddress, "--token-file", join(address.dataDirectory, "enrolment-token")],
        ...["--duration", "45", "--backfill", "2", "--ledger", ledgerPath],
      ],
      { stdio: ["ignore", "ignore", "inherit"] },
    );
    const ended = once(simulator, "exit");
    await sleep(3_000);
    killNine(address, /clickhouse-host/);
    await sleep(11_000);
    killNine(address, /^waggle-api/);
    await sleep(9_000);
    killNine(address, /^waggle-agent/);
    const killedAt = Date.now();
    expect(await ended).toEqual([0, null]);

    const ledger = readFileSync(ledgerPath, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as LedgerLine);
    expect(ledger.length).toBeGreaterThan(7 * 12);
    expect(Math.max(...ledger.map((line) => Date.parse(line.windowStart)))).toBeGreaterThan(killedAt);
    const client = new Client(address);
    for (const [signal, measure] of [
      ["tcp_retransmits", "segments"],
      ["tcp_connections", "opened"],
      ["tcp_rtt", "count"],
      ["syscalls", "count"],
      ["dns_queries", "count"],
      ["file_io", "written_bytes"],
      ["cpu_profile", "samples"],
      ["stack_frames", "windows"],
      ["host_load", "cpu_user"],
      ["agent_coverage", "windows"],
    ] as const) {
      const expected = ledger.reduce((sum, line) => sum + Number(line.signals[signal]?.[measure] ?? 0), 0);
      const stored = await client.sum(signal, measure, "host:sim-*", began);
      expect(stored, `${signal}.${measure}`).toBe(expected);
    }
  }, 240_000);

  it("brings the agent's own host back, and shows the window it lost as a gap and no other", async () => {
    const client = new Client(address);
    const hosts = await client.eventually(
      async () => (await (await client.request("/api/v1/hosts")).json()) as { data: { name: string; state: string }[] },
      (answer) => answer.data.some((host) => !host.name.startsWith("sim-") && host.state === "reporting"),
    );
    expect(hosts.data.filter((host) => !host.name.startsWith("sim-"))).toMatchObject([{ state: "reporting" }]);
  });

  it("leaves no process behind when it is stopped", async () => {
    const before = descendants(address.upPid).map((process) => process.pid);
    expect(before.length).toBeGreaterThan(2);
    const code = await stop();
    stop = async () => code;
    expect(code).toBe(0);
    const left = before.filter((pid) => {
      try {
        return readlinkSync(`/proc/${pid}/exe`) !== "";
      } catch {
        return false;
      }
    });
    expect(left).toEqual([]);
  });
});
