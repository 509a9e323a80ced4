// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readStatusReport, type StatusReport, whyNotRunning, writeStatusReport } from "./status-report.ts";
import { renderStatus } from "./status-screen.ts";

const now = 1_700_000_000_000;
const report: StatusReport = {
  formatVersion: 4,
  pid: 42,
  agentVersion: "0.1.0",
  bootId: "boot",
  startedAtMs: now - 3_600_000,
  writtenAtMs: now - 5_000,
  stoppedAtMs: null,
  api: "http://127.0.0.1:7302",
  windowMs: 10_000,
  settings: null,
  windows: 360,
  stream: {
    phase: "connected",
    connectedSinceMs: now - 60_000,
    lastAckAtMs: now - 4_000,
    acknowledgedFrames: 359,
    sentFrames: 361,
    inFlightFrames: 1,
    connects: 2,
    credential: "accepted",
    hostId: "h1",
    hostName: "web-1",
    clockOffsetMs: -86_400_000,
    lastError: undefined,
    lastRefusal: "TOO_OLD: out of retention",
    throttledUntilMs: undefined,
    backlogThrottledUntilMs: now + 20_000,
    throttleReason: "the store is behind",
    backlogFrames: 600,
    backlogFramesPerSecond: 2,
    apiVersion: "0.1.0",
    refusedSignals: [],
    lastAckAfterMs: 7,
  },
  spool: {
    frames: 602,
    bytes: 120_000,
    memoryFrames: 2,
    windows: 900,
    firstSequence: 358,
    lastSequence: 360,
    droppedFrames: 4,
    corruptFrames: 1,
    lostWindows: 9,
    refusedFrames: 1,
    coarsenedWindows: 300,
    coarseLengthMs: 60_000,
    problem: "ENOSPC",
  },
  lastWindow: {
    sequence: 360,
    startMs: now - 15_000,
    lengthMs: 10_000,
    readMs: 40,
    programs: [
      { program: "on_sys_exit", attached: true, reason: "", eventsPerSecond: 100_000, nsPerEvent: 50, coreRatio: 0.005 },
      {
        program: "on_tcp_retransmit_skb",
        attached: false,
        reason: "EPERM at load: missing CAP_BPF",
        eventsPerSecond: 0,
        nsPerEvent: 0,
        coreRatio: 0,
      },
    ],
    signals: [
      { signal: "syscalls", state: "exact", reason: "", rows: 4 },
      { signal: "tcp_retransmits", state: "failed", reason: "EPERM at load: missing CAP_BPF", rows: 0 },
    ],
    drops: [{ place: "syscall_latency", cause: "full", lost: 0, merged: 12 }],
    attribution: [{ signal: "syscalls", counted: 200, withProcess: 200, withUnit: 151 }],
    accounting: [],
    rssBytes: 95_000_000,
    cpuRatio: 0.004,
    mapBytes: 8_000_000,
    mapPlan: { bytes: 8_000_000, bytesMax: 33_554_432 },
    maps: [{ map: "syscall_latency", entries: 300, entriesMax: 400, bytes: 96_000 }],
    fills: [
      { map: "tcp_rtt", copy: "a", entries: 7, entriesMax: 1_024 },
      { map: "tcp_rtt", copy: "b", entries: 11, entriesMax: 1_024 },
      { map: "processes", copy: null, entries: 3, entriesMax: 4_096 },
    ],
    governor: {
      budget: 0.02,
      kernel: 0.03,
      agent: 0.004,
      predicted: 0.034,
      steps: [{ name: "calls/8", words: "1 of 8 system calls, scaled up", saves: 0.01 }],
      isExhausted: true,
      endedEarly: "programs took 2.1 s of CPU in its first 2.0 s",
    },
  },
};

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "waggle-status-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe("status.json", () => {
  it("is readable by everyone and comes back as it was written", () => {
    writeStatusReport(directory, report);
    expect(readStatusReport(directory)).toEqual(JSON.parse(JSON.stringify(report)));
    expect(statSync(join(directory, "status.json")).mode & 0o777).toBe(0o644);
  });

  it("says which file is missing or unreadable", () => {
    expect(() => readStatusReport(directory)).toThrow(join(directory, "status.json"));
    writeFileSync(join(directory, "status.json"), "{");
    expect(() => readStatusReport(directory)).toThrow("is no status report");
    writeFileSync(join(directory, "status.json"), '{"formatVersion":9}');
    expect(() => readStatusReport(directory)).toThrow("another version");
  });
});

describe("whyNotRunning", () => {
  it("tells a running agent from one that stopped, died or hangs", () => {
    expect(whyNotRunning(report, now, () => true)).toBeUndefined();
    expect(whyNotRunning({ ...report, stoppedAtMs: now }, now, () => true)).toBe("it was stopped");
    expect(whyNotRunning(report, now, () => false)).toContain("process 42 is gone");
    expect(whyNotRunning(report, now + 60_000, () => true)).toContain("reported nothing");
  });
});

describe("renderStatus", () => {
  it("shows on one screen what is connected, waiting, lost, wrong and over budget", () => {
    const screen = renderStatus(report, now, undefined);
    for (const text of [
      "is running (process 42)",
      "web-1 (h1)",
      "900 windows waiting in 602 frames",
      "ENOSPC",
      "300 were merged",
      "merged to 60 s",
      "600 frames behind the newest, gone in 5 min",
      "the store is behind",
      "9 windows in 4 dropped and 1 unreadable frames; frames refused: 1",
      "TOO_OLD",
      "ahead of the API's",
      "TOO MUCH",
      "planned",
      "1 of 8 system calls",
      "OVER BUDGET",
      "ended early: programs took 2.1 s of CPU",
      "syscall_latency 75",
      "not attached: EPERM at load",
      "failed",
      "100 %         75.5 %",
      "12 merged",
    ]) {
      expect(screen).toContain(text);
    }
    expect(screen.split("\n").length).toBeLessThan(40);
  });

  it("does not say that clocks agree before there was a connection", () => {
    const stream = { ...report.stream, clockOffsetMs: 0 };
    expect(renderStatus({ ...report, stream }, now, undefined)).toContain("agrees with the API's");
    expect(renderStatus({ ...report, stream: { ...stream, connects: 0 } }, now, undefined)).toContain("not held against the API's yet");
  });

  it("says which settings of the server are in force, where they come from, and what of them is not followed", () => {
    expect(renderStatus(report, now, undefined)).toContain("nothing is set on the server");
    const settings = { revision: 12, windowMs: 1_000, signalsOff: ["tcp_rtt"], watchedProcesses: ["nginx"], cpuBudgetCores: 0.05, rowsMax: null };
    const screen = renderStatus({ ...report, settings: { settings, problems: ["there is no signal x"], from: "server" } }, now, undefined);
    for (const text of [
      "revision 12",
      "told by the server",
      "windows of 1 s",
      "off: tcp_rtt",
      "watched: nginx",
      "NOT FOLLOWED: there is no signal x",
    ])
      expect(screen).toContain(text);
    expect(screen).not.toContain("rows,");
    expect(renderStatus({ ...report, settings: { settings, problems: [], from: "file" } }, now, undefined)).toContain(
      "the server has not spoken yet",
    );
  });

  it("says why there is no connection, and that nothing is running", () => {
    const screen = renderStatus(
      { ...report, lastWindow: null, stream: { ...report.stream, phase: "waiting", connectedSinceMs: undefined, lastError: "no connection" } },
      now,
      "its process 42 is gone",
    );
    expect(screen).toContain("not running: its process 42 is gone");
    expect(screen).toContain("waiting: no connection");
    expect(screen).toContain("no window has ended yet");
  });
});
