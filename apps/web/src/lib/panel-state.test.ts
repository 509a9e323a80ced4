// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import type { Coverage, Host, HostSignal, QueryAnswer, Series } from "./api/types";
import { causeOf } from "./panel-state";

const nowMs = Date.UTC(2026, 7, 16, 14, 12);

function host(overrides: Partial<Host> = {}): Host {
  return {
    id: "h1",
    name: "web-1",
    state: "reporting",
    lastSeenAt: "2026-08-16T14:11:58Z",
    stateSince: null,
    enrolledAt: "2026-08-16T10:00:00Z",
    bootId: "b",
    kernel: "6.8.0",
    distro: "Debian 12",
    arch: "x86_64",
    cpus: 2,
    memoryBytes: 1,
    agentVersion: "0.1.0",
    tags: {},
    ownTags: {},
    simulated: false,
    windowSeconds: 10,
    clockOffsetMs: 0,
    signals: [],
    agent: { rssBytes: null, cpuRatio: null, kernelRatio: null, mapBytes: null, spoolFrames: null, refusedFrames: null },
    ...overrides,
  };
}

function answer(coverage: Partial<Coverage>, series: Series[] = []): QueryAnswer {
  return {
    meta: {
      signal: "tcp_rtt",
      from: "2026-08-16T13:00:00Z",
      to: "2026-08-16T14:00:00Z",
      stepSeconds: 60,
      points: 2,
      unit: "ns",
      truncated: null,
      level: "1m",
      scope: "fleet",
      sources: [],
      rowsRead: 0,
      elapsedMs: 1,
      plannerMs: 0,
      assemblyMs: 0,
      coverage: {
        hosts: 1,
        reporting: 0,
        missing: [],
        steps: [0, 0],
        stepHosts: { reporting: [0, 0], expected: [1, 1] },
        states: [],
        note: null,
        ...coverage,
      },
    },
    series,
  };
}

const value = (v: number | null): Series => ({ measure: "rtt", aggregate: "p99", unit: "ns", labels: {}, values: [v, null] });
const trouble = (state: HostSignal["state"], reason: string) => host({ signals: [{ name: "tcp_rtt", state, reason }] });
const kindOf = (a: QueryAnswer, filter = "", hosts = [host()]) => causeOf({ answer: a, filter, hosts, zone: "utc", nowMs })?.kind ?? "draw";

describe("why a panel is empty", () => {
  it("is not empty when there is a value, or a covered zero", () => {
    expect(kindOf(answer({ reporting: 1, steps: [1, 1] }, [value(0)]))).toBe("draw");
    expect(kindOf(answer({ reporting: 1, steps: [1, 1] }))).toBe("draw");
    expect(kindOf(answer({ reporting: 1, steps: [1, 1] }, [value(null)]))).toBe("draw");
  });
  it("tells a filter without match from a host without data", () => {
    expect(kindOf(answer({ reporting: 1, steps: [1, 1] }), "process:nope")).toBe("no-match");
    expect(kindOf(answer({ reporting: 1, steps: [1, 1] }, [value(null)]), "process:nope")).toBe("no-match");
    expect(kindOf(answer({ reporting: 1, steps: [1, 1] }, [value(0)]), "process:nope")).toBe("draw");
    expect(kindOf(answer({ hosts: 0 }), "host:nope")).toBe("no-match");
    expect(kindOf(answer({}), "process:nginx", [host({ state: "offline", stateSince: "2026-08-16T12:00:00Z" })])).toBe("offline");
  });
  it("waits when no window ever came", () => {
    expect(kindOf(answer({}), "", [host({ state: "waiting", lastSeenAt: null })])).toBe("waiting");
    expect(kindOf(answer({ hosts: 0 }), "", [])).toBe("waiting");
  });
  it("names the missing kernel feature", () => {
    const cause = causeOf({
      answer: answer({}),
      filter: "",
      hosts: [trouble("unsupported", "kernel 5.4 has no iter/task_file")],
      zone: "utc",
      nowMs,
    });
    expect(cause).toEqual({ kind: "unsupported", signal: "tcp_rtt", reason: "kernel 5.4 has no iter/task_file", failed: false });
  });
  it("tells switched off from shed from failed", () => {
    expect(causeOf({ answer: answer({}), filter: "", hosts: [trouble("shed", "over budget")], zone: "utc", nowMs })).toMatchObject({
      kind: "disabled",
      state: "shed",
    });
    expect(kindOf(answer({}), "", [trouble("disabled", "by configuration")])).toBe("disabled");
    expect(causeOf({ answer: answer({}), filter: "", hosts: [trouble("failed", "EPERM")], zone: "utc", nowMs })).toMatchObject({
      kind: "unsupported",
      failed: true,
    });
  });
  it("does not blame one host's kernel for a fleet", () => {
    expect(kindOf(answer({ hosts: 2 }), "", [trouble("unsupported", "old"), host({ name: "web-2", state: "offline" })])).toBe("offline");
  });
  it("says when the range is older than anything stored", () => {
    expect(kindOf(answer({ note: "the range lies outside the retention of 30 days" }))).toBe("outside-retention");
    expect(kindOf(answer({}), "", [host({ enrolledAt: "2026-08-16T14:05:00Z" })])).toBe("outside-retention");
  });
});
