// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import {
  assembleCoverage,
  coverageOfMatching,
  type FewHostsRow,
  fewHostsOf,
  type HostReport,
  type KnownHost,
  mergeFewHosts,
  Reports,
} from "./coverage.ts";
import type { Steps } from "./time-range.ts";

const minute = 60_000;
const now = 1_800_000_000_000;
/** Ends now: six steps of 10 s. */
const live = { fromMs: now - minute, toMs: now, stepMs: 10_000, count: 6 };
/** Ended an hour ago. */
const past = { fromMs: now - 61 * minute, toMs: now - 60 * minute, stepMs: 10_000, count: 6 };

const host = (name: string, overrides: Partial<KnownHost> = {}): KnownHost => ({
  id: `id-${name}`,
  name,
  enrolledAtMs: now - 1_000 * minute,
  retiredAtMs: null,
  lastWindowEndMs: now,
  tags: {},
  attributes: { kernel: "", distribution: "", architecture: "", agent_version: "" },
  ...overrides,
});
interface Row {
  readonly id: string;
  readonly steps: readonly number[];
  readonly covered: readonly number[];
  readonly report: HostReport;
}
const row = (name: string, steps: number[], overrides: Partial<HostReport> & { covered?: number[] } = {}): Row => {
  const { covered = steps.map(() => 10_000), ...rest } = overrides;
  const coveredMs = covered.reduce((sum, ms) => sum + ms, 0);
  const said = { lastState: "exact", lastReason: "", otherState: "exact", otherReason: "", lastOtherMs: 0 };
  const report = { coveredMs, lastReportingMs: now, lastMs: now, firstMs: live.fromMs, ...said, ...rest };
  return { id: `id-${name}`, steps, covered, report };
};
const reportsOf = (rows: readonly Row[], count: number): Reports => {
  const at = Array.from({ length: count }, (_, step) => rows.filter((row) => row.steps.includes(step)));
  const ofSteps = at.map((present, step) => ({
    step,
    hosts: present.length,
    covered_ms: present.reduce((sum, row) => sum + (row.covered[row.steps.indexOf(step)] as number), 0),
  }));
  return new Reports(
    ofSteps,
    rows.map(({ id, steps, covered }) => ({ reporters: [id], steps, covered_ms: covered })),
    count,
  );
};
const coverageOf = (steps: Steps, hosts: readonly KnownHost[], rows: readonly Row[], nowMs: number, notes: readonly string[] = []) =>
  assembleCoverage(steps, hosts, new Map(rows.map(({ id, report }) => [id, report])), reportsOf(rows, steps.count), nowMs, notes);

describe("a range in which nobody can have reported", () => {
  it("says whether those that match were gone before it or came after it", () => {
    const gone = host("a", { retiredAtMs: now - 90 * minute });
    const later = host("b", { enrolledAtMs: now - 5 * minute });
    const note = (hosts: readonly KnownHost[]) => coverageOfMatching(past, hosts, new Map(), new Reports([], [], past.count), now, []).note;
    expect(note([])).toBe("No enrolled host matches.");
    expect(note([gone])).toBe("No enrolled host matches. One that matches was retired before the range.");
    expect(note([gone, later, { ...later, id: "c" }])).toBe(
      "No enrolled host matches. One that matches was retired before the range. 2 that match were enrolled after it.",
    );
  });

  it("expects nobody in steps that are still to come, and says so", () => {
    const ahead = { fromMs: now - 2 * minute, toMs: now + 2 * minute, stepMs: minute, count: 4 };
    const coverage = coverageOf(ahead, [host("a")], [row("a", [0, 1], { covered: [minute, minute] })], now);
    expect(coverage).toMatchObject({ steps: [1, 1, 0, 0], stepHosts: { reporting: [1, 1, 0, 0], expected: [1, 1, 0, 0] }, missing: [] });
    expect(coverage.note).toContain("still to come");
    const whole = { fromMs: now - minute, toMs: now + 60 * minute, stepMs: 61 * minute, count: 1 };
    expect(coverageOf(whole, [host("a")], [row("a", [0])], now).note).toContain("still to come");
    for (const steps of [live, { ...whole, toMs: now + 9_000, stepMs: minute + 9_000 }])
      expect(coverageOf(steps, [host("a")], [row("a", [0])], now).note).toBeNull();
  });

  it("tells a host that was retired from one that went away", () => {
    const report = { lastReportingMs: now - 30 * minute, lastMs: now - 30 * minute };
    const hour = { fromMs: now - 60 * minute, toMs: now, stepMs: 10 * minute, count: 6 };
    const missing = (retiredAtMs: number | null) => coverageOf(hour, [host("a", { retiredAtMs })], [row("a", [0], report)], now).missing;
    expect(missing(null)).toMatchObject([{ state: "offline" }]);
    expect(missing(now - 29 * minute)).toEqual([
      { host: "a", state: "retired", reason: "retired", since: new Date(now - 29 * minute).toISOString() },
    ]);
  });
});

describe("the share of expected host time", () => {
  it("counts what was reported over what was expected", () => {
    const coverage = coverageOf(past, [host("a"), host("b")], [row("a", [0, 1, 2]), row("b", [0, 2, 4])], now);
    expect(coverage.steps).toEqual([1, 0.5, 1, 0, 0.5, 0]);
  });

  it("does not expect windows that cannot have arrived yet", () => {
    // 3 s into the newest window.
    const at = now + 3_000;
    const steps = { ...live, toMs: live.toMs + 20_000, count: 8 };
    const coverage = coverageOf(steps, [host("a")], [row("a", [0, 1, 2, 3, 4, 5])], at);
    expect(coverage.steps).toEqual([1, 1, 1, 1, 1, 1, 0, 0]);
    const coarse = { ...live, stepMs: 2 * minute, fromMs: now - minute, toMs: now + minute, count: 1 };
    expect(coverageOf(coarse, [host("a")], [row("a", [0], { covered: [minute] })], at).steps).toEqual([1]);
  });

  it("does not expect a host before it was enrolled or after it was retired", () => {
    const young = host("a", { enrolledAtMs: past.fromMs + 30_000 });
    expect(coverageOf(past, [young], [row("a", [3, 4, 5], { firstMs: past.fromMs + 30_000 })], now).steps).toEqual([0, 0, 0, 1, 1, 1]);
    const coarse = { ...past, stepMs: minute, count: 1 };
    expect(coverageOf(coarse, [young], [row("a", [0], { covered: [30_000], firstMs: past.fromMs + 30_000 })], now).steps).toEqual([1]);
    const retired = host("a", { retiredAtMs: past.fromMs + 20_000 });
    expect(coverageOf(coarse, [retired], [row("a", [0], { covered: [10_000], firstMs: past.fromMs })], now).steps).toEqual([0.5]);
  });
});

describe("a missing host", () => {
  const missing = (steps: typeof live, known: KnownHost, rows: Row[]) => coverageOf(steps, [known], rows, now).missing[0];

  it("in a live range is one that stopped, in a past one only one that was never there", () => {
    const stopped = row("a", [0], { lastReportingMs: now - 5 * minute, lastMs: now - 5 * minute });
    const range = { ...live, fromMs: now - 10 * minute, stepMs: 100_000 };
    expect(missing(range, host("a"), [stopped])).toEqual({
      host: "a",
      state: "offline",
      reason: "offline",
      since: new Date(now - 5 * minute).toISOString(),
    });
    expect(missing(past, host("a"), [row("a", [0], { lastReportingMs: past.fromMs + 10_000 })])).toBeUndefined();
  });

  it("is not one that is merely late", () => {
    expect(missing(live, host("a"), [row("a", [0], { lastReportingMs: now - minute, lastMs: now - minute })])).toBeUndefined();
  });

  it("that reports other signals shows the state and reason of this one", () => {
    const shed = row("a", [0, 1], { lastReportingMs: now - 5 * minute, lastState: "shed", lastReason: "over budget" });
    expect(missing(live, host("a"), [shed])).toMatchObject({ state: "shed", reason: "over budget", since: new Date(now - 5 * minute).toISOString() });
    const failed = row("a", [], { lastReportingMs: 0, lastState: "failed", lastReason: "" });
    expect(missing(live, host("a"), [failed])).toMatchObject({
      state: "failed",
      reason: "the signal is failed",
      since: new Date(live.fromMs).toISOString(),
    });
  });

  it("without any row is waiting, offline, away in this range, or silent about the signal", () => {
    expect(missing(live, host("a", { lastWindowEndMs: null }), [])).toMatchObject({ state: "waiting", reason: "never reported" });
    expect(missing(live, host("a", { lastWindowEndMs: live.fromMs - minute }), [])).toMatchObject({
      state: "offline",
      since: new Date(live.fromMs - minute).toISOString(),
    });
    expect(missing(past, host("a"), [])).toMatchObject({ state: "offline", reason: "offline in this range", since: null });
    expect(missing(live, host("a"), [])).toMatchObject({ state: "unknown" });
  });

  it("is listed up to a bound, and what is left out is said", () => {
    const hosts = Array.from({ length: 150 }, (_, i) => host(`h${i}`, { lastWindowEndMs: null }));
    const coverage = coverageOf(live, hosts, [], now);
    expect(coverage.missing).toHaveLength(100);
    expect(coverage).toMatchObject({ hosts: 150, reporting: 0, note: "50 more hosts are missing than are listed." });
  });
});

it("tells of every state that is not exact, how many hosts were in it, and how many still are", () => {
  const other = (state: string, lastOtherMs: number, reason = "") => ({ otherState: state, otherReason: reason, lastOtherMs });
  const rows = [
    row("a", [0], { ...other("sampled", now, "1 in 8"), lastState: "sampled", lastReason: "1 in 8" }),
    row("b", [0], other("sampled", now - 30_000, "1 in 4")),
    row("c", [0], { ...other("shed", now), lastState: "shed", lastReportingMs: 0 }),
    row("d", [0]),
  ];
  expect(
    coverageOf(
      live,
      ["a", "b", "c", "d"].map((name) => host(name)),
      rows,
      now,
    ).states,
  ).toEqual([
    { state: "sampled", hosts: 2, now: 1, reason: "1 in 8", last: new Date(now).toISOString() },
    { state: "shed", hosts: 1, now: 1, reason: "", last: new Date(now).toISOString() },
  ]);
});

it("counts per step the hosts that reported and those that were enrolled", () => {
  const young = host("b", { enrolledAtMs: live.fromMs + 30_000 });
  expect(coverageOf(live, [host("a"), young], [row("a", [0, 1, 3]), row("b", [3, 4], { firstMs: live.fromMs + 30_000 })], now).stepHosts).toEqual({
    reporting: [1, 1, 0, 2, 1, 0],
    expected: [1, 1, 1, 2, 2, 2],
  });
});

it("what the planner has to say stands in the note", () => {
  expect(coverageOf(past, [host("a")], [], now, ["The range begins before the retention of 400 days."]).note).toContain("retention");
});

describe("what few hosts said in stretches", () => {
  const said = (host: string, signal: string, step: number, more: Partial<FewHostsRow> = {}): FewHostsRow => ({
    host_id: host,
    signal_name: signal,
    step,
    covered_ms: 10_000,
    last_reporting_ms: (step + 1) * 10_000,
    last_ms: (step + 1) * 10_000,
    first_ms: step * 10_000,
    other_state: "",
    other_reason: "",
    last_other_ms: 0,
    ...more,
  });
  const shed = { covered_ms: 0, last_reporting_ms: 0, other_state: "shed", other_reason: "over budget" };

  it("is the same as what they said in all of it", () => {
    const rows = [
      said("a", "tcp_rtt", 2),
      said("a", "tcp_rtt", 0, { other_state: "sampled", other_reason: "1 in 4", last_other_ms: 10_000 }),
      said("b", "tcp_rtt", 1, { ...shed, last_other_ms: 20_000 }),
      said("a", "tcp_rtt", 1, { ...shed, last_other_ms: 20_000 }),
      said("a", "syscalls", 1),
    ];
    const merged = mergeFewHosts(rows);
    expect(merged).toHaveLength(3);
    expect(merged.find(({ host_id, signal_name }) => host_id === "a" && signal_name === "tcp_rtt")).toEqual(
      said("a", "tcp_rtt", 0, {
        covered_ms: 20_000,
        last_reporting_ms: 30_000,
        last_ms: 30_000,
        other_state: "shed",
        other_reason: "over budget",
        last_other_ms: 20_000,
      }),
    );
    for (const signal of ["tcp_rtt", "syscalls"]) expect(fewHostsOf(merged, signal).hosts).toEqual(fewHostsOf([...rows], signal).hosts);
    expect(fewHostsOf(merged, "tcp_rtt").ofSteps).toEqual([{ step: 0, hosts: 1, covered_ms: 20_000 }]);
    expect(mergeFewHosts([...mergeFewHosts(rows.slice(0, 2)), ...mergeFewHosts(rows.slice(2))])).toEqual(merged);
  });
});

describe("reports", () => {
  it("know who else reported in a step", () => {
    const reports = reportsOf([row("a", [0, 1]), row("b", [1])], 3);
    expect([0, 1, 2].map((step) => reports.any(step))).toEqual([true, true, false]);
    expect([0, 1, 2].map((step) => reports.anyBut([["id-a"]], step))).toEqual([false, true, false]);
    expect(reports.of(["id-b"], 0)).toBe(false);
    expect(reports.of(["id-c"], 1)).toBe(false);
  });
});
