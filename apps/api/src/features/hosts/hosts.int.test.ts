// SPDX-License-Identifier: Apache-2.0
import { getSignalOrThrow } from "@waggle/signals";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { TestIngest } from "../../../test/test-agent.ts";
import { startTestApi, type TestApi, TestOrganisation } from "../../../test/test-api.ts";
import type { Problem } from "../../common/problem.ts";
import type { AuditPage } from "../audit/audit.schemas.ts";
import { IngestServer } from "../ingest/ingest.grpc.ts";
import type { SignalEntry } from "../signals/signals.schemas.ts";
import { signalListSchema } from "../signals/signals.schemas.ts";
import { type Host, hostListSchema } from "./hosts.schemas.ts";

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api?.[Symbol.asyncDispose]());

const nowWindow = Math.floor(Date.now() / 10_000) * 10_000 - 10_000;
const at = (host: string, index: number) => ({ host, ts: nowWindow - index * 10_000, window_ms: 10_000 });

async function report(
  organisation: TestOrganisation,
  host: string,
  windows: readonly number[],
  states: Record<string, [state: string, reason: string]>,
) {
  await organisation.storeWindows(windows.map((index) => at(host, index)));
  await organisation.store(
    getSignalOrThrow("agent_coverage"),
    windows.flatMap((index) =>
      Object.entries(states).map(([signal, [state, reason]]) => ({ ...at(host, index), signal, state, reason, windows: 1 })),
    ),
  );
}

describe("the host list", () => {
  it("tells reporting, late, offline and waiting hosts apart, and since when", async () => {
    const organisation = await TestOrganisation.create(api);
    const ended = (ms: number) => ({ lastWindowEndAt: new Date(Date.now() - ms) });
    const steady = await organisation.addHost("a", ended(5_000));
    await organisation.addHost("b", ended(60_000));
    const offline = await organisation.addHost("c", ended(600_000));
    await organisation.addHost("d");
    await organisation.addHost("gone", { retiredAt: new Date() });
    // A gap of a minute between the 6th and the 13th window back: the host reports since the 6th.
    await report(organisation, steady, [0, 1, 2, 3, 4, 5, 13, 14], { tcp_rtt: ["exact", ""] });
    const response = await organisation.request("/hosts");
    const body = hostListSchema.parse(await response.json());
    expect(body.data.map((host) => [host.name, host.state])).toEqual([
      ["a", "reporting"],
      ["b", "late"],
      ["c", "offline"],
      ["d", "waiting"],
    ]);
    const [a, , c, d] = body.data as [Host, Host, Host, Host];
    expect(a.stateSince).toBe(new Date(at(steady, 5).ts).toISOString());
    expect(c.id).toBe(offline);
    expect(c.stateSince).toBe(c.lastSeenAt);
    expect([d.lastSeenAt, d.stateSince]).toEqual([null, d.enrolledAt]);
  });

  it("shows each signal's newest state and what the agent costs", async () => {
    const organisation = await TestOrganisation.create(api);
    const id = await organisation.addHost("web-1", { kernel: "6.12.1", cpus: 8, spoolFrames: 3, lastWindowEndAt: new Date() });
    await report(organisation, id, [1], { tcp_rtt: ["exact", ""], syscalls: ["exact", ""] });
    await report(organisation, id, [0], { tcp_rtt: ["failed", "EPERM: CAP_BPF is missing"], syscalls: ["exact", ""] });
    const cost = { events: 0, kernel_ns: 0, cpu_ns: 0, rss_bytes: 0, map_bytes: 0 };
    await organisation.store(getSignalOrThrow("agent_cost"), [
      { ...at(id, 1), ...cost, program: "waggle-agent", cpu_ns: 9e9, rss_bytes: 1 },
      { ...at(id, 0), ...cost, program: "waggle-agent", cpu_ns: 50_000_000, rss_bytes: 70_000_000, map_bytes: 4_000 },
      { ...at(id, 0), ...cost, program: "on_sys_exit", kernel_ns: 20_000_000 },
    ]);
    for (const name of ["web-1", id]) {
      const host = (await (await organisation.request(`/hosts/${name}`)).json()) as Host;
      expect(host).toMatchObject({ id, name: "web-1", simulated: false, kernel: "6.12.1", cpus: 8, windowSeconds: 10 });
      expect(host.agent).toEqual({ rssBytes: 70_000_000, cpuRatio: 0.005, kernelRatio: 0.002, mapBytes: 4_000, spoolFrames: 3, refusedFrames: null });
      expect(host.signals.find((signal) => signal.name === "tcp_rtt")).toEqual({
        name: "tcp_rtt",
        state: "failed",
        reason: "EPERM: CAP_BPF is missing",
      });
      expect(host.signals.find((signal) => signal.name === "syscalls")).toMatchObject({ state: "exact", reason: "" });
      expect(host.signals.find((signal) => signal.name === "tcp_retransmits")).toMatchObject({ state: "unknown" });
    }
  });

  it("does not know another organisation's host, and suggests the near name", async () => {
    const [mine, theirs] = [await TestOrganisation.create(api), await TestOrganisation.create(api)];
    await mine.addHost("web-1");
    const theirId = await theirs.addHost("secret-1");
    for (const name of [theirId, "secret-1", "web-11"]) {
      const response = await mine.request(`/hosts/${name}`);
      expect(response.status).toBe(404);
      const problem = (await response.json()) as { code: string; detail: string };
      expect(problem.code).toBe("HOST_NOT_FOUND");
      if (name === "web-11") expect(problem.detail).toContain("did you mean web-1?");
    }
    expect(((await (await mine.request("/hosts")).json()) as { data: Host[] }).data.map((host) => host.name)).toEqual(["web-1"]);
  });
});

describe("the signal list", () => {
  it("describes the catalogue and counts hosts by state", async () => {
    const organisation = await TestOrganisation.create(api);
    const [one, two] = [await organisation.addHost("one"), await organisation.addHost("two")];
    await organisation.addHost("three");
    await report(organisation, one, [0, 1], { tcp_rtt: ["exact", ""] });
    await report(organisation, two, [0, 1], { tcp_rtt: ["unsupported", "no BTF"] });
    const other = await TestOrganisation.create(api);
    await report(other, await other.addHost("x"), [0], { tcp_rtt: ["exact", ""] });
    const { data } = signalListSchema.parse(await (await organisation.request("/signals")).json());
    const rtt = data.find((signal) => signal.name === "tcp_rtt") as SignalEntry;
    expect(rtt).toMatchObject({
      kind: "histogram",
      family: "tcp",
      unit: "ns",
      coverage: { hosts: 3, reporting: 1, states: { exact: 1, unsupported: 1, unknown: 1 } },
    });
    expect(rtt.dimensions.map((dimension) => dimension.name)).toContain("peer");
    expect(rtt.measures.map((measure) => measure.name)).toEqual(["rtt", "count", "sum", "min", "max"]);
    expect(rtt.measures[0]?.aggregates).toContain("p99.9");
    expect(data.find((signal) => signal.name === "agent_coverage")?.coverage).toEqual({ hosts: 3, reporting: 2, states: { exact: 2, unknown: 1 } });
  });
});

describe("tags", () => {
  const get = async (organisation: TestOrganisation, name: string) => (await (await organisation.request(`/hosts/${name}`)).json()) as Host;
  const patch = async (organisation: TestOrganisation, name: string, tags: unknown, headers: Record<string, string> = {}) =>
    organisation.request(`/hosts/${name}`, { method: "PATCH", body: { tags }, headers });

  it("come from the agent, people's before them, and what people take away lets the agent's show again", async () => {
    const organisation = await TestOrganisation.create(api);
    const ingest = new TestIngest(api.app.get(IngestServer).port);
    try {
      const machineKey = "a".repeat(64);
      const { credential } = await ingest.enrol(organisation.enrolmentToken, "web-1", machineKey, { env: "test", "Bad Key": "x", zone: "a\u0000" });
      expect(await get(organisation, "web-1")).toMatchObject({ tags: { env: "test" }, ownTags: {} });
      const changed = await patch(organisation, "web-1", { env: "prod", team: "web" });
      expect([changed.status, ((await changed.json()) as Host).tags]).toEqual([200, { env: "prod", team: "web" }]);
      // A Hello with other tags, and another enrolment: people's stay before them.
      const facts = {
        name: "web-1",
        kernelRelease: "6",
        architecture: "",
        distribution: "",
        cpuCount: 1,
        memoryBytes: 1n,
        agentVersion: "",
        simulated: false,
      };
      const stream = ingest.open(credential);
      stream.hello({ facts: { ...facts, tags: { env: "dev", region: "eu" } } });
      await stream.next("config");
      await vi.waitFor(async () => expect((await get(organisation, "web-1")).tags).toEqual({ env: "prod", region: "eu", team: "web" }), {
        timeout: 60_000,
      });
      await ingest.enrol(organisation.enrolmentToken, "web-1", machineKey, { env: "test" });
      expect((await get(organisation, "web-1")).tags).toEqual({ env: "prod", team: "web" });
      await patch(organisation, "web-1", { env: null });
      expect(await get(organisation, "web-1")).toMatchObject({ tags: { env: "test", team: "web" }, ownTags: { team: "web" } });
      const list = (await (await organisation.request("/hosts")).json()) as { data: Host[] };
      expect(list.data.map((host) => host.tags)).toEqual([{ env: "test", team: "web" }]);
    } finally {
      ingest.close();
    }
  });

  it("are changed only from what If-Match names, are audited, and are nobody else's to change", async () => {
    const organisation = await TestOrganisation.create(api);
    const id = await organisation.addHost("db-1");
    const etag = (await organisation.request(`/hosts/${id}`)).headers.get("etag") as string;
    const first = await patch(organisation, id, { env: "prod" }, { "if-match": etag });
    expect(first.status).toBe(200);
    const stale = await patch(organisation, id, { env: "test" }, { "if-match": etag });
    expect([stale.status, ((await stale.json()) as Problem).code]).toEqual([412, "PRECONDITION_FAILED"]);
    expect((await patch(organisation, id, { env: "prod" }, { "if-match": first.headers.get("etag") as string })).status).toBe(200);
    expect(((await (await organisation.request("/audit")).json()) as AuditPage).data).toMatchObject([
      { action: "host.tags", target: { id, name: "db-1" }, before: { env: null }, after: { env: "prod" } },
    ]);
    const stranger = await TestOrganisation.create(api);
    expect((await patch(stranger, id, { env: "theirs" })).status).toBe(404);
    expect((await get(organisation, id)).tags).toEqual({ env: "prod" });
  });

  it.each([
    [{ Env: "x" }, "/tags/Env"],
    [{ env: "" }, "/tags/env"],
    [{ env: " x" }, "/tags/env"],
    [{ env: "a\u0007" }, "/tags/env"],
    [{ env: 1 }, "/tags/env"],
    [{ ["k".repeat(64)]: "x" }, `/tags/${"k".repeat(64)}`],
    [Object.fromEntries(Array.from({ length: 33 }, (_, index) => [`k${index}`, "v"])), "/tags"],
  ])("that break the rules are refused: %j", async (tags, pointer) => {
    const organisation = await TestOrganisation.create(api);
    const id = await organisation.addHost("web-1");
    const response = await patch(organisation, id, tags);
    expect(response.status).toBe(422);
    expect(((await response.json()) as Problem).errors).toMatchObject([{ pointer }]);
    expect((await get(organisation, id)).tags).toEqual({});
  });
});
