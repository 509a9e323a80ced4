// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import type { Host } from "./api/types";
import { type Context, change, type FleetFacts, fleetSentence, hostSentence, losing, losingPaths, onset, type Path, plain } from "./findings";

const start = Date.UTC(2026, 7, 16, 13, 12);
const context: Context = {
  filtered: false,
  covered: true,
  complete: true,
  rangeFromMs: start,
  nowMs: start + 3_600_000,
  zone: "utc",
  hostHref: (h) => `/hosts/${h}`,
  filterHref: (k, v) => `?q=${k}:${v}`,
};

function host(name: string, state: Host["state"] = "reporting"): Host {
  return {
    id: name,
    name,
    state,
    lastSeenAt: "2026-08-16T13:40:00Z",
    stateSince: state === "reporting" ? null : "2026-08-16T13:40:00Z",
    enrolledAt: "",
    bootId: "",
    kernel: "",
    distro: "",
    arch: "",
    cpus: 1,
    memoryBytes: 1,
    agentVersion: "",
    tags: {},
    ownTags: {},
    simulated: false,
    windowSeconds: 10,
    clockOffsetMs: 0,
    signals: [],
    agent: { rssBytes: null, cpuRatio: null, kernelRatio: null, mapBytes: null, spoolFrames: null, refusedFrames: null },
  };
}

const quiet: FleetFacts = {
  hosts: [host("web-1"), host("web-2")],
  losses: [],
  blame: [],
  lossShares: [],
  stepStartMs: (i) => start + i * 60_000,
  failures: [],
  paths: [],
};
const lossy: FleetFacts = {
  ...quiet,
  losses: [
    { host: "web-1", sent: 10_000, retransmitted: 620 },
    { host: "web-2", sent: 10_000, retransmitted: 3 },
  ],
  blame: [
    { process: "pgbouncer", peer: "10.0.0.7", peerPort: "5432", segments: 567 },
    { process: "curl", peer: "10.9.9.9", peerPort: "443", segments: 56 },
  ],
  lossShares: [0.001, 0.001, 0.001, 0.05, 0.06, null, 0.07],
};

const lossyPath: Path = {
  host: "web-1",
  process: "pgbouncer",
  peer: "10.0.0.7",
  peerPort: "5432",
  sent: 10_000,
  retransmitted: 800,
  shares: [0.001, 0.001, 0.08, 0.09, 0.08],
};

describe("fleetSentence", () => {
  it("says that nothing stands out, and since when", () => {
    expect(plain(fleetSentence(quiet, context))).toBe("2 hosts report. Nothing stands out since 13:12.");
  });
  it("says it of no time before the first host was enrolled", () => {
    const enrolledAt = (time: string) => (name: string) => ({ ...host(name), enrolledAt: `2026-08-16T${time}:00Z` });
    const young = [enrolledAt("13:30")("web-1"), enrolledAt("13:20")("web-2")];
    expect(plain(fleetSentence({ ...quiet, hosts: young }, context))).toBe("2 hosts report. Nothing stands out since 13:20.");
    const one = enrolledAt("13:11")("web-3");
    expect(plain(fleetSentence({ ...quiet, hosts: [...young, one] }, context))).toBe("3 hosts report. Nothing stands out since 13:12.");
  });
  it("does not call a range quiet of which nothing is known", () => {
    expect(plain(fleetSentence(quiet, { ...context, covered: false }))).toBe("2 hosts report. Nothing was recorded in this range.");
    expect(plain(fleetSentence(quiet, { ...context, complete: false }))).toBe(
      "2 hosts report. Whether anything stands out is not known: a query failed.",
    );
  });
  it("claims no more than the filter shows", () => {
    expect(plain(fleetSentence(quiet, { ...context, filtered: true }))).toBe("2 hosts report. Nothing stands out within the filter since 13:12.");
  });
  it("says what is wrong, where, since when, and who", () => {
    expect(plain(fleetSentence(lossy, context))).toBe(
      "2 hosts report. web-1 loses packets to 10.0.0.7:5432 since 13:15: retransmits 6.2 %, usually 0.1 %. It is pgbouncer (91 %).",
    );
  });
  it("uses the past once it is over, and blames no host that does not report", () => {
    expect(plain(fleetSentence({ ...lossy, lossShares: [0.05, 0.06, 0, 0, 0, 0] }, context))).toContain(
      "web-1 lost packets to 10.0.0.7:5432: retransmits 6.2 %.",
    );
    expect(plain(fleetSentence({ ...lossy, hosts: [host("web-1", "offline"), host("web-2")] }, context))).toBe(
      "1 host reports. web-1 does not report since 13:40.",
    );
  });
  it("links to the host, the peer and the process", () => {
    expect(fleetSentence(lossy, context).flatMap((p) => p.href ?? [])).toEqual(["/hosts/web-1", "?q=peer:10.0.0.7", "?q=process:pgbouncer"]);
  });
  it("names a host that went away", () => {
    expect(plain(fleetSentence({ ...quiet, hosts: [host("web-1"), host("web-31", "offline")] }, context))).toBe(
      "1 host reports. web-31 does not report since 13:40.",
    );
  });
  it("says how many went away and who is away longest", () => {
    const later = { ...host("web-2", "offline"), stateSince: "2026-08-16T13:50:00Z" };
    expect(plain(fleetSentence({ ...quiet, hosts: [later, host("web-31", "offline"), host("web-3")] }, context))).toBe(
      "1 host reports. 2 do not report, longest web-31, since 13:40.",
    );
  });
  it("names the losing path of a host that as a whole is fine", () => {
    expect(plain(fleetSentence({ ...quiet, paths: [lossyPath] }, context))).toBe(
      "2 hosts report. web-1 loses packets to 10.0.0.7:5432 since 13:14: pgbouncer retransmits 8 %, usually 0.1 %.",
    );
  });
  it("says on which host connects fail", () => {
    const failures = [{ host: "web-2", process: "worker", peer: "10.0.0.9", peerPort: "8080", errno: "ECONNREFUSED", count: 400, perSecond: 3.1 }];
    expect(plain(fleetSentence({ ...quiet, failures }, context))).toBe(
      "2 hosts report. worker fails to connect to 10.0.0.9:8080 on web-2: ECONNREFUSED 3.1/s.",
    );
  });
  it("names connects that fail", () => {
    const failures = [{ process: "worker", peer: "fd00::9", peerPort: "8080", errno: "ECONNREFUSED", count: 400, perSecond: 3.1 }];
    expect(plain(fleetSentence({ ...quiet, failures }, context))).toBe(
      "2 hosts report. worker fails to connect to [fd00::9]:8080: ECONNREFUSED 3.1/s.",
    );
  });
});

it("a few lost packets are no finding, however large their share", () => {
  expect(losing([{ host: "a", sent: 10, retransmitted: 5 }])).toEqual([]);
  expect(losing([{ host: "a", sent: 0, retransmitted: 0 }])).toEqual([]);
});

it("only a path with enough segments, a name and a meaningful share is a finding, and what lasts comes first", () => {
  const over = { ...lossyPath, process: "rsync", sent: 1000, retransmitted: 300, shares: [0.3, 0.3, 0, 0, 0] };
  const few = { ...lossyPath, process: "few", sent: 60, retransmitted: 30 };
  const fine = { ...lossyPath, process: "fine", retransmitted: 90 };
  const other = { ...lossyPath, process: "~other" };
  expect(losingPaths([over, few, fine, other, lossyPath]).map((path) => path.process)).toEqual(["pgbouncer", "rsync"]);
});

describe("onset", () => {
  it("finds the start of the run that lasts until now, over short dips and gaps", () => {
    expect(onset([0, 0, 9, 0, 9, null, 9], 5)).toEqual({ index: 2, usual: 0 });
  });
  it("is null once it is over", () => {
    expect(onset([9, 9, 9, 0, 0, 0], 5)).toBeNull();
  });
  it("does not say since when where it was mostly so before", () => {
    expect(onset([6, 7, 6, 6, 1, 1, 1, 6, 7], 5)).toEqual({ index: 0, usual: null });
  });
  it("does not invent what was usual before the range", () => {
    expect(onset([9, 9], 5)).toEqual({ index: 0, usual: null });
  });
});

describe("hostSentence", () => {
  const facts = {
    host: host("web-1"),
    loss: lossy.losses[0] ?? null,
    blame: lossy.blame,
    lossShares: lossy.lossShares,
    stepStartMs: quiet.stepStartMs,
    failures: [],
    paths: [],
  };
  it("continues the host's name", () => {
    expect(plain(hostSentence(facts, context))).toBe(
      "is losing packets to 10.0.0.7:5432 since 13:15: retransmits 6.2 %, usually 0.1 %. It is pgbouncer (91 %).",
    );
    expect(plain(hostSentence({ ...facts, loss: { host: "web-1", sent: 1e6, retransmitted: 800 }, paths: [lossyPath] }, context))).toBe(
      "is losing packets to 10.0.0.7:5432 since 13:14: pgbouncer retransmits 8 %, usually 0.1 %.",
    );
    expect(plain(hostSentence({ ...facts, loss: { host: "web-1", sent: 60_000, retransmitted: 900 }, paths: [lossyPath] }, context))).toContain(
      "pgbouncer retransmits 8 %",
    );
    const over = { ...lossyPath, shares: [0.2, 0.2, 0, 0, 0, 0] };
    expect(plain(hostSentence({ ...facts, loss: null, paths: [over] }, context))).toBe("lost packets to 10.0.0.7:5432: pgbouncer retransmitted 8 %.");
    expect(plain(hostSentence({ ...facts, loss: null }, context))).toBe("reports, nothing stands out since 13:12");
    const young = { ...host("web-1"), enrolledAt: "2026-08-16T13:31:00Z" };
    expect(plain(hostSentence({ ...facts, loss: null, host: young }, context))).toBe("reports, nothing stands out since 13:31");
    expect(plain(hostSentence({ ...facts, host: host("web-1", "offline") }, context))).toBe("does not report since 13:40");
  });
});

it("a change is told against the time before, or not at all", () => {
  expect(change(240, 1, "the hour before")).toBe(", 240 × the hour before");
  expect(change(1.05, 1, "the hour before")).toBe(", as the hour before");
  expect(change(1, null, "the hour before")).toBe("");
});
