// SPDX-License-Identifier: Apache-2.0
import { checkBlock, decodeBlock, getSignalOrThrow, hostSignals, limits, schemaHash, type WireRow, wireColumns } from "@waggle/signals";
import { describe, expect, it } from "vitest";
import { type AssembledWindow, assembleWindow, truncate } from "./assemble.ts";
import type { WindowData } from "./source.ts";
import { UnavailableSource } from "./unavailable-source.ts";

const own = { cpuNs: 5_000_000n, rssBytes: 80_000_000n, lostWindows: 0n, coarsenedWindows: 0n };
const options = { refusedSignals: new Map<string, string>(), bytesMax: 4_000_000 };
const kernelSignals = hostSignals.filter((signal) => signal.family !== "agent" || signal.bpf !== null).map((signal) => signal.name);

function windowData(overrides: Partial<WindowData> = {}): WindowData {
  return {
    rows: new Map(kernelSignals.map((name) => [name, []])),
    coverage: kernelSignals.map((signal) => ({ signal, state: "exact", reason: "" })),
    programs: [],
    accounting: [],
    drops: [],
    mapBytes: 1_000,
    readMs: 1,
    ...overrides,
  };
}

const syscallRow = (process: string): WireRow => ({ process, unit: "", syscall: "getppid", count: 1n });

function strings(assembled: AssembledWindow, signal: string, column: number): string[] {
  return values(assembled, signal, column) as string[];
}

function integers(assembled: AssembledWindow, signal: string, column: number): bigint[] {
  return values(assembled, signal, column) as bigint[];
}

/** A column of a block; empty if there is no block. */
function values(assembled: AssembledWindow, name: string, column: number): WireRow[string][] {
  const signal = getSignalOrThrow(name);
  const block = assembled.blocks.find((candidate) => candidate.signal === name);
  return block === undefined ? [] : decodeBlock(signal, block).map((row) => row[wireColumns(signal)[column]?.name ?? ""] as WireRow[string]);
}

describe("assembleWindow", () => {
  it("makes blocks that the API's checks accept", () => {
    const assembled = assembleWindow(windowData({ rows: new Map([["syscalls", [syscallRow("a"), syscallRow("b")]]]) }), own, options);
    expect(assembled.blocks.map((block) => block.signal)).toEqual(["syscalls", "agent_cost", "agent_attribution", "agent_coverage"]);
    for (const block of assembled.blocks) {
      expect(checkBlock(getSignalOrThrow(block.signal), block)).toBeUndefined();
      expect(block.schemaHash).toBe(schemaHash(getSignalOrThrow(block.signal)));
    }
  });

  it("covers every signal that agents report exactly once, rows or not", () => {
    const assembled = assembleWindow(windowData(), own, options);
    expect(strings(assembled, "agent_coverage", 0).sort()).toEqual(hostSignals.map((signal) => signal.name).sort());
    expect(new Set(strings(assembled, "agent_coverage", 1))).toEqual(new Set(["exact"]));
  });

  it("says failed of a signal that the source is silent about", () => {
    const assembled = assembleWindow(windowData({ coverage: [] }), own, options);
    expect(assembled.coverage.find((entry) => entry.signal === "tcp_rtt")).toMatchObject({
      state: "failed",
      reason: expect.stringContaining("nobody said anything"),
    });
    expect(assembled.coverage.find((entry) => entry.signal === "agent_cost")).toMatchObject({ state: "exact" });
  });

  it("reports a host without BPF as covered by its own signals alone, with the reason", async () => {
    const data = await new UnavailableSource("unsupported", "no BTF").readWindow();
    const assembled = assembleWindow(data, own, options);
    for (const name of kernelSignals)
      expect(assembled.coverage.find((entry) => entry.signal === name)).toEqual({ signal: name, state: "unsupported", reason: "no BTF" });
    expect(assembled.blocks.map((block) => block.signal)).toEqual(["agent_cost", "agent_coverage"]);
  });

  it("prices the attached programs and the agent's own process", () => {
    const programs = [
      { program: "on_sys_exit", events: 10n, kernelNs: 2_000n, attached: true, reason: "" },
      { program: "on_sys_enter", events: 0n, kernelNs: 0n, attached: false, reason: "EPERM" },
    ];
    const assembled = assembleWindow(windowData({ programs }), own, options);
    expect(strings(assembled, "agent_cost", 0)).toEqual(["on_sys_exit", "waggle-agent"]);
    expect([1, 2, 3, 4, 5].map((column) => integers(assembled, "agent_cost", column))).toEqual([
      [10n, 0n],
      [2_000n, 0n],
      [0n, 5_000_000n],
      [0n, 80_000_000n],
      [0n, 1_000n],
    ]);
  });

  it("says what was dropped between the hooks and the spool, where and why, and whether it is lost or only merged", () => {
    const cuts = new Map<string, number>();
    const data = windowData({
      accounting: [{ quantity: "RetransSegs", counted: 3n, kernel: 4n }],
      drops: [
        { reason: "syscall_latency_full", count: 7n },
        { reason: "dns_in_flight_full", count: 5n },
        { reason: "recursion:on_sys_exit", count: 4n },
        { reason: "texts_full", count: 0n },
      ],
      cuts,
      // As a source does that makes its rows while they are walked through.
      rows: (function* () {
        cuts.set("syscalls", 1_700);
        yield ["syscalls", [syscallRow("a")]] as const;
      })(),
    });
    const assembled = assembleWindow(data, { ...own, lostWindows: 2n, coarsenedWindows: 6n }, options);
    expect(strings(assembled, "agent_accounting", 0)).toEqual(["RetransSegs"]);
    expect(assembled.drops.map(({ place, cause, lost, merged }) => [place, cause, lost, merged])).toEqual([
      ["syscall_latency", "full", 0n, 7n],
      ["dns_in_flight", "full", 5n, 0n],
      ["on_sys_exit", "recursion", 4n, 0n],
      ["syscalls", "row_cap", 0n, 1_700n],
      ["spool", "spool", 2n, 0n],
      ["spool", "coarsened", 0n, 6n],
    ]);
    expect(strings(assembled, "agent_drops", 0)).toEqual(assembled.drops.map(({ place }) => place));
    expect(integers(assembled, "agent_drops", 2)).toEqual([0n, 5n, 4n, 0n, 2n, 0n]);
    expect(assembleWindow(windowData({}), own, options).rows.has("agent_drops")).toBe(false);
  });

  it("says how much of what a signal counts stands under a process and a unit", () => {
    const row = (process: string, unit: string, count: bigint) => ({ process, unit, syscall: "read", count });
    const rows = new Map([["syscalls", [row("nginx", "nginx.service", 70n), row("kworker", "", 20n), row("~other", "~other", 9n), row("", "", 1n)]]]);
    const assembled = assembleWindow(windowData({ rows }), own, options);
    expect(assembled.attribution).toEqual([{ signal: "syscalls", counted: 100n, withProcess: 90n, withUnit: 70n }]);
    expect(integers(assembled, "agent_attribution", 3)).toEqual([70n]);
  });

  it("keeps back a signal that the API does not take, and says so in the coverage", () => {
    const data = windowData({ rows: new Map([["syscalls", [syscallRow("a")]]]) });
    const assembled = assembleWindow(data, own, {
      ...options,
      refusedSignals: new Map([
        ["syscalls", "other columns"],
        ["agent_cost", "unknown"],
      ]),
    });
    expect(assembled.blocks.map((block) => block.signal)).toEqual(["agent_coverage"]);
    expect(assembled.coverage.find((entry) => entry.signal === "syscalls")).toMatchObject({
      state: "disabled",
      reason: expect.stringContaining("other columns"),
    });
  });

  it("gives up the largest signal of a window that is too large, and says so in the coverage", () => {
    const rows = Array.from({ length: 2_000 }, (_, index) => syscallRow(`process-${index}`));
    const assembled = assembleWindow(
      windowData({
        rows: new Map([
          ["syscalls", rows],
          ["syscall_errors", [{ ...syscallRow("a"), errno: "EPERM" }]],
        ]),
      }),
      own,
      { ...options, bytesMax: 20_000 },
    );
    expect(assembled.blocks.map((block) => block.signal)).toEqual([
      "syscall_errors",
      "agent_cost",
      "agent_attribution",
      "agent_drops",
      "agent_coverage",
    ]);
    expect(assembled.attribution.map(({ signal }) => signal)).toEqual(["syscall_errors"]);
    expect(assembled.drops).toMatchObject([{ place: "syscalls", cause: "frame_cap", merged: 0n }]);
    expect(assembled.coverage.find((entry) => entry.signal === "syscalls")?.state).toBe("shed");
  });

  it("loses one signal, not the window, to rows that cannot be encoded", () => {
    const data = windowData({
      rows: new Map([
        ["syscalls", [{ ...syscallRow("a"), count: -1 }]],
        ["syscall_errors", [{ ...syscallRow("a"), errno: "EPERM" }]],
      ]),
    });
    const assembled = assembleWindow(data, own, options);
    expect(assembled.coverage.find((entry) => entry.signal === "syscalls")).toMatchObject({
      state: "failed",
      reason: expect.stringContaining("syscalls.count, row 0"),
    });
    expect(assembled.rows.get("syscall_errors")).toBe(1);
  });

  it("shortens names that the wire would refuse", () => {
    const assembled = assembleWindow(windowData({ rows: new Map([["syscalls", [{ ...syscallRow("a"), unit: "/ü".repeat(400) }]]]) }), own, options);
    const [unit] = strings(assembled, "syscalls", 1);
    expect(Buffer.byteLength(unit as string)).toBeLessThanOrEqual(limits.stringBytesMax);
    expect(unit).toMatch(/^(\/ü)+\/?…$/);
  });
});

describe("truncate", () => {
  it("never cuts inside a character", () => {
    for (const text of ["a".repeat(600), "ü".repeat(600), "😀".repeat(300), `a${"😀".repeat(300)}`]) {
      const cut = truncate(text);
      expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(limits.stringBytesMax);
      expect(Buffer.byteLength(cut)).toBeGreaterThan(limits.stringBytesMax - 8);
      expect(text.startsWith(cut.slice(0, -1))).toBe(true);
      expect(cut.isWellFormed()).toBe(true);
    }
  });
});
