// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Snapshot } from "@waggle/proto";
import { decodeBlock, getSignalOrThrow } from "@waggle/signals";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { IngestServer } from "../../test/support/ingest-server.ts";
import type { StatusReport } from "../status/status-report.ts";
import type { DoctorReport } from "./doctor.ts";

const main = fileURLToPath(new URL("../main.ts", import.meta.url));
let stateDirectory: string;
let server: IngestServer;
const children: ChildProcess[] = [];

beforeEach(async () => {
  stateDirectory = mkdtempSync(join(tmpdir(), "waggle-run-"));
  writeFileSync(join(stateDirectory, "token"), "wgl_enr_good");
  server = await new IngestServer().start();
});

afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill("SIGKILL");
      await once(child, "exit");
    }
  }
  await server.stop();
  rmSync(stateDirectory, { recursive: true, force: true });
});

/** The agent as a process of its own, with windows of a second and without BPF objects: nothing of this host is looked at. */
function agent(...words: string[]): ChildProcess & { output: string } {
  const child = spawn(process.execPath, [main, ...words], {
    env: {
      PATH: process.env["PATH"],
      WAGGLE_AGENT_API_URL: `http://127.0.0.1:${server.port}`,
      WAGGLE_AGENT_STATE_DIRECTORY: stateDirectory,
      WAGGLE_AGENT_ENROLMENT_TOKEN_FILE: join(stateDirectory, "token"),
      WAGGLE_AGENT_BPF_DIRECTORY: join(stateDirectory, "no-objects"),
      WAGGLE_AGENT_WINDOW_MS: "1000",
    },
  }) as unknown as ChildProcess & { output: string };
  child.output = "";
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (chunk: Buffer) => (child.output += chunk.toString()));
  children.push(child);
  return child;
}

async function exitOf(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  return child.exitCode;
}

const until = (condition: () => void) => vi.waitFor(condition, { timeout: 60_000, interval: 20 });
const spooled = () => readdirSync(join(stateDirectory, "spool")).filter((name) => name.endsWith(".frame"));
/** As they were made; what waited is delivered behind the newest. */
const inOrder = (snapshots: readonly Snapshot[]) => [...snapshots].sort((a, b) => Number(a.sequence - b.sequence));
const end = (snapshot: Snapshot) => Number(snapshot.windowStartMs) + snapshot.windowMs;

/** What a window's coverage says of a signal. */
function stateOf(snapshot: Snapshot, name: string): unknown[] | undefined {
  const block = snapshot.blocks.find(({ signal }) => signal === "agent_coverage");
  if (block === undefined) return undefined;
  const signal = getSignalOrThrow("agent_coverage");
  const row = decodeBlock(signal, { rows: block.rows, columns: block.columns }).find((candidate) => candidate["signal"] === name);
  return row === undefined ? undefined : [row["state"], row["reason"]];
}
const readReport = () => JSON.parse(readFileSync(join(stateDirectory, "status.json"), "utf8")) as StatusReport;

/** Each window follows the one before without gap and overlap, and its sequence too. */
function expectContiguous(snapshots: readonly Snapshot[]): void {
  for (const [index, snapshot] of snapshots.entries()) {
    const previous = snapshots[index - 1];
    if (previous === undefined) continue;
    expect(Number(snapshot.sequence)).toBe(Number(previous.sequence) + 1);
    expect(Number(snapshot.windowStartMs)).toBe(end(previous));
  }
}

describe("waggle-agent run", () => {
  it("enrols, delivers windows that follow each other, and hands over the last, partial one when it is told to stop", async () => {
    const child = agent("run");
    await until(() => expect(server.acknowledged.length).toBeGreaterThanOrEqual(3));
    child.kill("SIGTERM");
    expect(await exitOf(child)).toBe(0);
    expectContiguous(inOrder(server.acknowledged));
    expect(spooled()).toEqual([]);
    const full = server.acknowledged.slice(1, -1);
    expect(full.every((snapshot) => end(snapshot) % 1_000 === 0)).toBe(true);
    expect(
      server.acknowledged.every(
        (snapshot) => snapshot.blocks.find((block) => block.signal === "agent_coverage")?.rows === server.hellos[0]?.signals.length,
      ),
    ).toBe(true);
    expect(server.hellos).toHaveLength(1);
  });

  it("has its last window on disk when it stops without an API, and delivers it in its next life", async () => {
    await server.stop();
    const first = agent("run");
    await until(() => expect(existsSync(join(stateDirectory, "spool")) && spooled().length).toBeGreaterThanOrEqual(2));
    first.kill("SIGINT");
    expect(await exitOf(first)).toBe(0);
    const waiting = spooled().length;
    await server.start(server.port);
    agent("run");
    await until(() => expect(server.acknowledged.length).toBeGreaterThan(waiting));
    expectContiguous(inOrder(server.acknowledged).slice(0, waiting));
    expect(server.hellos[0]?.firstUnacknowledgedSequence).toBe(1n);
  });

  it("loses nothing that was spooled when it is killed, and never uses a sequence or a start twice", async () => {
    server.verdict = () => "silence";
    const killed = agent("run");
    await until(() => expect(server.received.length).toBeGreaterThanOrEqual(3));
    killed.kill("SIGKILL");
    await exitOf(killed);
    const before = server.sequences();
    server.verdict = () => "ack";
    agent("run");
    await until(() => expect(server.acknowledged.length).toBeGreaterThanOrEqual(before.length + 2));
    const sequences = server.sequences(inOrder(server.acknowledged));
    expect(sequences).toEqual(expect.arrayContaining(before));
    expect(new Set(sequences).size).toBe(sequences.length);
    const starts = inOrder(server.acknowledged).map((snapshot) => Number(snapshot.windowStartMs));
    expect(starts).toEqual([...starts].sort((a, b) => a - b));
    expect(new Set(starts).size).toBe(starts.length);
  });

  it("follows settings without a restart, acknowledges them, and starts with them again when there is no API", async () => {
    const settings = {
      revision: 7n,
      windowMs: 2_000,
      signalsOff: ["host_load", "no_such"],
      watchedProcesses: ["nginx"],
      cpuBudgetCores: 0.05,
      rowsMax: 200,
    };
    const first = agent("run");
    await until(() => expect(server.acknowledged.length).toBeGreaterThanOrEqual(2));
    server.reconfigure({ windowMs: 2_000, rowsMax: 200, settings });
    await until(() =>
      expect(server.statuses.at(-1)?.settings).toEqual({ revision: 7n, problems: ["there is no signal no_such in this version of the agent"] }),
    );
    const told = server.received.length;
    // A busy machine ends a window late now and then; one of a second is never two seconds long to the millisecond.
    const ofTwoSeconds = (from: number) => inOrder(server.received.slice(from).filter((snapshot) => snapshot.windowMs === 2_000));
    await until(() => expect(ofTwoSeconds(told).length).toBeGreaterThanOrEqual(2));
    const followed = ofTwoSeconds(told).at(-1) as Snapshot;
    expect(stateOf(followed, "host_load")).toEqual(["disabled", "switched off by the server"]);
    expect(followed.blocks.some((block) => block.signal === "host_load")).toBe(false);
    first.kill("SIGKILL");
    await exitOf(first);
    expect(statSync(join(stateDirectory, "settings.json")).mode & 0o777).toBe(0o600);

    await server.stop();
    const second = agent("run");
    const before = spooled().length;
    // The first is a partial one, and another may end late.
    await until(() => expect(spooled().length).toBeGreaterThanOrEqual(before + 4));
    await until(() => expect(readReport().settings).toMatchObject({ from: "file", settings: { revision: 7, windowMs: 2_000 } }));
    server.config = { windowMs: 1_000, settings: { ...settings, revision: 8n, windowMs: undefined, signalsOff: [], rowsMax: undefined } };
    const [offline, acknowledgedOffline] = [server.received.length, server.acknowledged.length];
    await server.start(server.port);
    await until(() => expect(server.statuses.at(-1)?.settings).toEqual({ revision: 8n, problems: [] }));
    const since = () => server.acknowledged.slice(acknowledgedOffline);
    await until(() => expect(since().some((snapshot) => stateOf(snapshot, "host_load")?.[0] === "exact" && snapshot.windowMs === 1_000)).toBe(true));
    // Made while there was no API; they come behind what is live.
    await until(() => expect(ofTwoSeconds(offline).length).toBeGreaterThanOrEqual(2));
    second.kill("SIGTERM");
    expect(await exitOf(second)).toBe(0);
  });

  it("refuses to run twice on one state directory, and says where", async () => {
    agent("run");
    await until(() => expect(server.acknowledged.length).toBeGreaterThanOrEqual(1));
    const second = agent("run");
    expect(await exitOf(second)).toBe(1);
    expect(second.output).toContain(stateDirectory);
  });

  it("is described by status while it runs and said to be gone afterwards", async () => {
    const child = agent("run");
    await until(() => expect(server.acknowledged.length).toBeGreaterThanOrEqual(2));
    await until(() =>
      expect(JSON.parse(readFileSync(join(stateDirectory, "status.json"), "utf8")).stream.acknowledgedFrames).toBeGreaterThanOrEqual(2),
    );
    const running = agent("status", "--json");
    expect(await exitOf(running)).toBe(0);
    const report = JSON.parse(running.output) as StatusReport & { isRunning: boolean };
    expect(report).toMatchObject({ isRunning: true, pid: child.pid, stream: { phase: "connected", hostName: "test-host" } });
    expect(report.lastWindow?.signals.find((entry) => entry.signal === "syscalls")).toMatchObject({
      state: "failed",
      reason: expect.stringContaining("missing"),
    });
    expect(running.output).not.toContain("wgl_");
    child.kill("SIGKILL");
    await exitOf(child);
    const gone = agent("status");
    expect(await exitOf(gone)).toBe(1);
    expect(gone.output).toContain("not running");
  });

  it("shows under its own name", async () => {
    const child = agent("run");
    await until(() => expect(readFileSync(`/proc/${child.pid}/comm`, "utf8")).toBe("waggle-agent\n"));
  });
});

describe("waggle-agent doctor", () => {
  it("finds what is missing, says what to do, exits with 1, and enrols nobody", async () => {
    const child = agent("doctor", "--json");
    expect(await exitOf(child)).toBe(1);
    const { result, checks } = JSON.parse(child.output) as DoctorReport;
    expect(result).toBe("FAIL");
    expect(checks.find(({ id }) => id === "bpf-objects")).toMatchObject({
      result: "FAIL",
      found: expect.stringContaining("no-objects"),
      fix: expect.stringContaining("WAGGLE_AGENT_BPF_DIRECTORY"),
    });
    expect(checks.find(({ id }) => id === "api-connection")).toMatchObject({ result: "PASS" });
    for (const { id, result, cause, fix } of checks) if (result === "FAIL" || result === "WARN") expect([cause, fix], id).not.toContain("");
    expect(server.enrolments).toHaveLength(0);
  });

  it("exits with 2 for a word it does not know", async () => {
    expect(await exitOf(agent("doctor", "--onlyne"))).toBe(2);
  });
});

describe("waggle-agent", () => {
  it("names a wrong variable and exits with 2", async () => {
    const child = spawn(process.execPath, [main, "run"], { env: { PATH: process.env["PATH"], WAGGLE_AGENT_WINDOW_MS: "7" } });
    children.push(child);
    let output = "";
    child.stderr.on("data", (chunk: Buffer) => (output += chunk.toString()));
    expect(await exitOf(child)).toBe(2);
    expect(output).toContain("WAGGLE_AGENT_WINDOW_MS");
  });

  it("prints its versions", async () => {
    const child = agent("version");
    expect(await exitOf(child)).toBe(0);
    expect(child.output).toMatch(/^waggle-agent \d+\.\d+\.\d+\nnode 24\.\S+\nlibbpf .+\narchitecture \S+\n$/);
  });
});
