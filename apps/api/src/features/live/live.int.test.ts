// SPDX-License-Identifier: Apache-2.0
import { sql } from "drizzle-orm";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { TestEventSource } from "../../../test/event-source.ts";
import { makeSnapshot, retransmits, TestIngest, type TestStream } from "../../../test/test-agent.ts";
import { startTestApi, type TestApi, TestOrganisation } from "../../../test/test-api.ts";
import type { Problem } from "../../common/problem.ts";
import { Database } from "../../postgres/database.ts";
import type { HostSettingsReport } from "../host-settings/host-settings.schemas.ts";
import { IngestServer } from "../ingest/ingest.grpc.ts";
import { WatchLeasesRepository } from "../watch/watch-leases.repository.ts";
import { WatchLeases } from "../watch/watch-leases.service.ts";
import { liveEndSchema, liveHelloSchema, liveResetSchema, liveWindowSchema } from "./live.schemas.ts";
import { LiveService } from "./live.service.ts";

let api: TestApi;
let ingest: TestIngest;
let live: LiveService;
const agents: BeatingAgent[] = [];
const sources: TestEventSource[] = [];
beforeAll(async () => {
  api = await startTestApi();
  ingest = new TestIngest(api.app.get(IngestServer).port);
  live = api.app.get(LiveService);
  api.app.get(WatchLeases).lingerMs = 200;
});
afterAll(async () => {
  for (const source of sources) source.close();
  for (const agent of agents) agent.stop();
  ingest?.close();
  await api?.[Symbol.asyncDispose]();
});

/** Delivers a window with seven retransmits whenever one ends, of the length it is told. */
class BeatingAgent {
  windowMs = 10_000;
  /** Every length it was told, in order, without repetitions. */
  readonly told: number[] = [];
  private sequence = 0;
  private timer: NodeJS.Timeout | undefined;
  private isStopped = false;

  constructor(private readonly stream: TestStream) {
    void this.listen();
    this.beat();
    agents.push(this);
  }

  stop(): void {
    this.isStopped = true;
    clearTimeout(this.timer);
    this.stream.cancel();
  }

  private async listen(): Promise<void> {
    while (!this.isStopped) {
      const answer = await this.stream.nextAny().catch(() => undefined);
      if (answer === undefined) return;
      if (answer.$case !== "config") continue;
      this.windowMs = answer.value.windowMs;
      if (this.told.at(-1) !== this.windowMs) this.told.push(this.windowMs);
      clearTimeout(this.timer);
      this.beat();
    }
  }

  private beat(): void {
    const { windowMs } = this;
    const endMs = Math.ceil((Date.now() + 1) / windowMs) * windowMs;
    this.timer = setTimeout(() => {
      this.stream.snapshot(makeSnapshot(++this.sequence, endMs - windowMs, { tcp_retransmits: [retransmits(7)] }, { windowMs }));
      this.beat();
    }, endMs - Date.now());
  }
}

async function watched(name = "web-1") {
  const organisation = await TestOrganisation.create(api);
  const { hostId, credential } = await ingest.enrol(organisation.enrolmentToken, name);
  const stream = ingest.open(credential);
  stream.hello();
  const agent = new BeatingAgent(stream);
  // Before anybody looks, or the first thing it is told may be that somebody does.
  await until(() => expect(agent.told).toHaveLength(1));
  return { organisation, hostId, credential, agent };
}

async function open(organisation: TestOrganisation, query: string, headers: Record<string, string> = {}): Promise<TestEventSource> {
  const source = await TestEventSource.open(`${api.url}/api/v1/live?${query}`, { authorization: `Bearer ${organisation.adminToken}`, ...headers });
  sources.push(source);
  return source;
}

const SEGMENTS = "signal=tcp_retransmits&select=segments:sum";
const until = (condition: () => unknown) => vi.waitFor(condition, { timeout: 60_000, interval: 100 });

describe("a live connection", () => {
  it("pushes every window of a watched host as it is complete, a second each, and goes on where it was left", async () => {
    const { organisation, hostId } = await watched();
    const source = await open(organisation, `host=web-1&${SEGMENTS}`);
    expect(source.response.headers.get("cache-control")).toBe("no-store, no-transform");
    const hello = liveHelloSchema.parse((await source.next()).data);
    expect(hello).toMatchObject({ hosts: [{ id: hostId, name: "web-1", watched: true }], queries: 1, heartbeatSeconds: 15 });
    let toMs: number | undefined;
    let id: string | undefined;
    for (let seconds = 0; seconds < 3; ) {
      const event = await source.next("window");
      const window = liveWindowSchema.parse(event.data);
      // Nothing is left out and nothing comes twice.
      if (toMs !== undefined) expect(Date.parse(window.from)).toBe(toMs);
      toMs = Date.parse(window.to);
      id = event.id;
      expect(id).toBe(String(toMs));
      if (window.stepSeconds !== 1) continue;
      const values = window.answer?.series.flatMap((series) => ("values" in series ? series.values : [])) ?? [];
      if (values.every((value) => value === 7)) seconds += values.length;
    }
    source.close();
    await until(() => expect(live.feedCount).toBe(0));
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    const again = await open(organisation, `host=web-1&${SEGMENTS}`, { "last-event-id": id as string });
    const missed = liveWindowSchema.parse((await again.next("window")).data);
    expect(Date.parse(missed.from)).toBe(toMs);
    expect(missed.answer?.meta.points).toBeGreaterThanOrEqual(1);
    again.close();
  });

  it("says so where it cannot go on: too long ago, or no id of this stream", async () => {
    const { organisation } = await watched();
    for (const [id, reason] of [
      [String(Date.now() - 3_600_000), "too_old"],
      ["yesterday", "unknown_id"],
      [`${Date.now()}-${Date.now()}`, "unknown_id"],
    ] as const) {
      const source = await open(organisation, "host=web-1", { "last-event-id": id });
      expect(liveResetSchema.parse((await source.next("reset")).data).reason).toBe(reason);
      source.close();
    }
  });

  it("sends what there was since a moment, several queries beside each other", async () => {
    const { organisation } = await watched();
    const query = (aggregate: string) =>
      `query=${encodeURIComponent(JSON.stringify({ signal: "tcp_retransmits", select: [{ measure: "segments", aggregate }], by: ["process"] }))}`;
    const source = await open(organisation, `host=web-1&${query("sum")}&${query("rate")}&since=now-1m`);
    const seen = new Set<number | null>();
    while (seen.size < 2) {
      const { data, id } = await source.next("window");
      const window = liveWindowSchema.parse(data);
      if (!seen.has(window.query)) expect(Date.parse(window.from)).toBeLessThan(Date.now() - 50_000);
      seen.add(window.query);
      expect(id).toMatch(/^\d+-\d+$/);
    }
    source.close();
  });

  it("asks once for however many look at the same", async () => {
    const { organisation } = await watched();
    const before = live.feedCount;
    const many = await Promise.all(Array.from({ length: 20 }, () => open(organisation, `host=web-1&${SEGMENTS}`)));
    const ids = await Promise.all(many.map(async (source) => (await source.next("window")).id));
    expect(ids.every((id) => id !== undefined)).toBe(true);
    expect(live.feedCount).toBe(before + 1);
    for (const source of many) source.close();
    await until(() => expect(live.feedCount).toBe(before));
  });

  it("without hosts is about whatever matches, in default windows", async () => {
    const { organisation } = await watched();
    const source = await open(organisation, `${SEGMENTS}&by=host`);
    const hello = liveHelloSchema.parse((await source.next()).data);
    expect(hello.hosts).toEqual([]);
    expect(liveWindowSchema.parse((await source.next("window")).data).stepSeconds).toBe(10);
    source.close();
  });

  it("shows nothing of another organisation, whose host of the same name stays as it is", async () => {
    const [mine, theirs] = [await watched(), await watched()];
    const source = await open(mine.organisation, `host=web-1&${SEGMENTS}&by=host`);
    await until(() => expect(mine.agent.told.at(-1)).toBe(1_000));
    const next = async () => liveWindowSchema.parse((await source.next("window")).data).answer;
    let answer = await next();
    // Windows from before it was enrolled are nobody's.
    while (answer?.series.length === 0) answer = await next();
    expect([answer?.meta.coverage.hosts, answer?.series.map(({ labels }) => labels)]).toEqual([1, [{ host: "web-1" }]]);
    expect(theirs.agent.told).toEqual([10_000]);
    const response = await theirs.organisation.request(`/live?host=${mine.hostId}`);
    expect([response.status, ((await response.json()) as Problem).code]).toEqual([404, "HOST_NOT_FOUND"]);
    source.close();
  });

  it.each([
    ["", "/"],
    ["signal=tcp_rtz&select=rtt:p99", "/signal"],
    ["signal=tcp_rtt&select=rtt:p98", "/select/0/aggregate"],
    ["select=rtt:p99", "/signal"],
    ["query=%7B", "/query/0"],
    [`query=${encodeURIComponent('{"signal":"tcp_rtt","select":[{"measure":"rtt","aggregate":"p99"}],"from":"now-1h"}')}`, "/query/0/from"],
    [
      `query=${encodeURIComponent('{"signal":"tcp_rtt","select":[{"measure":"rtt","aggregate":"p99"}]}')}&query=${encodeURIComponent('{"signal":"tcp_rtt","select":[{"measure":"rtt","aggregate":"p99"}],"where":"proces:x"}')}`,
      "/query/1/where",
    ],
    ["signal=tcp_rtt&select=rtt:p99&limit=1e9", "/limit"],
    ["host=web-1&select=rtt:p99&signal=__proto__", "/signal"],
    ["host=a&host=b&host=c&host=d&host=e", "/host"],
    ["host=web-1&since=yesterday", "/since"],
    ["host=web-1&format=x", "/format"],
  ])("refuses ?%s with a problem, not with a stream", async (query, pointer) => {
    const { organisation } = await watched();
    const response = await organisation.request(`/live?${query}`);
    expect([response.status, response.headers.get("content-type")]).toEqual([422, "application/problem+json; charset=utf-8"]);
    expect(((await response.json()) as Problem).errors?.[0]?.pointer).toContain(pointer === "/" ? "" : pointer);
  });

  it.each(["", "x", "-", "99999999999999", "1-2-3", "'; DROP TABLE hosts", "9".repeat(5_000)])(
    "begins anew, and says so, for who comes back with the id %j",
    async (id) => {
      const { organisation } = await watched();
      const source = await open(organisation, "host=web-1", { "last-event-id": id });
      if (id !== "") expect((await source.next("reset")).data).toMatchObject({ reason: "unknown_id" });
      await source.next("window");
      source.close();
    },
  );

  it("has a head that can be asked for alone, without a stream behind it", async () => {
    const { organisation } = await watched();
    const response = await organisation.request("/live?host=web-1", { method: "HEAD" });
    expect([response.status, response.headers.get("content-type")]).toEqual([200, "text/event-stream; charset=utf-8"]);
    expect(await response.text()).toBe("");
    expect((await organisation.request("/live", { method: "HEAD" })).status).toBe(422);
  });

  it("is refused beyond what a token may have at once", async () => {
    const { organisation } = await watched();
    const before = live.connectionsPerTokenMax;
    live.connectionsPerTokenMax = 2;
    try {
      const two = [await open(organisation, "host=web-1"), await open(organisation, "host=web-1")];
      const response = await organisation.request("/live?host=web-1");
      expect([response.status, ((await response.json()) as Problem).code]).toEqual([429, "RATE_LIMITED"]);
      two[0]?.close();
      await until(async () => (await open(organisation, "host=web-1")).close());
      two[1]?.close();
    } finally {
      live.connectionsPerTokenMax = before;
    }
  });
});

describe("a watched host", () => {
  it("has windows of a second as long as the last of two looks, and then those that people set", async () => {
    const { organisation, hostId, agent } = await watched();
    const path = `/hosts/${hostId}/settings`;
    await organisation.request(path, { method: "PATCH", body: { windowMs: 5_000 } });
    await until(() => expect(agent.told.at(-1)).toBe(5_000));
    const settings = async () => (await (await organisation.request(path)).json()) as HostSettingsReport;
    expect((await settings()).watched).toBeNull();
    const [one, two] = [await open(organisation, "host=web-1"), await open(organisation, `host=${hostId}`)];
    await until(() => expect(agent.told.at(-1)).toBe(1_000));
    await until(async () =>
      expect(await settings()).toMatchObject({
        settings: { windowMs: 5_000 },
        effective: { windowMs: { value: 5_000, from: "host" } },
        watched: { windowMs: 1_000, watchers: 2 },
      }),
    );
    one.close();
    await until(async () => expect((await settings()).watched?.watchers).toBe(1));
    expect(agent.told.at(-1)).toBe(1_000);
    two.close();
    await until(() => expect(agent.told.slice(-2)).toEqual([1_000, 5_000]));
    expect((await settings()).watched).toBeNull();
  });

  it("goes back by itself when the node through which it was watched is dead", async () => {
    const { organisation, hostId, agent } = await watched();
    // What a killed node leaves: a lease that nobody renews.
    await api.app.get(WatchLeasesRepository).take("a node that died", [{ organisationId: organisation.id, hostId, watchers: 1 }], 6_000);
    await until(() => expect(agent.told.at(-1)).toBe(1_000));
    await until(() => expect(agent.told).toEqual([10_000, 1_000, 10_000]));
  });

  it("is told at once where its agent connects while somebody looks", async () => {
    const organisation = await TestOrganisation.create(api);
    const { credential } = await ingest.enrol(organisation.enrolmentToken, "db-1");
    const source = await open(organisation, "where=host:db-1&signal=tcp_retransmits&select=segments:sum");
    expect(liveHelloSchema.parse((await source.next()).data).hosts).toMatchObject([{ name: "db-1", watched: true }]);
    const stream = ingest.open(credential);
    stream.hello();
    await until(async () => expect((await stream.next("config")).windowMs).toBe(1_000));
    stream.cancel();
    source.close();
  });
});

describe("a live connection ends, and says why,", () => {
  it("when its token is revoked, and its heart beats until then", async () => {
    const { organisation } = await watched();
    const before = live.heartbeatMs;
    live.heartbeatMs = 200;
    try {
      const source = await open(organisation, "host=web-1");
      await until(() => expect(source.comments).toBeGreaterThan(1));
      await api.app.get(Database).db.execute(sql`UPDATE api_tokens SET revoked_at = now() WHERE organisation_id = ${organisation.id}`);
      expect(liveEndSchema.parse((await source.next("end")).data)).toMatchObject({ reason: "token", reconnect: false });
      await until(() => expect(source.isOver).toBe(true));
    } finally {
      live.heartbeatMs = before;
    }
  });

  it("when it is old enough", async () => {
    const { organisation } = await watched();
    const before = live.ageMsMax;
    live.ageMsMax = 300;
    try {
      const source = await open(organisation, "host=web-1");
      expect(liveEndSchema.parse((await source.next("end")).data)).toMatchObject({ reason: "max_age", reconnect: true });
    } finally {
      live.ageMsMax = before;
    }
  });

  it("when the API stops", async () => {
    const { organisation } = await watched();
    const source = await open(organisation, "host=web-1");
    await source.next("hello");
    await live.beforeApplicationShutdown();
    expect(liveEndSchema.parse((await source.next("end")).data)).toMatchObject({ reason: "stopping", reconnect: true });
    const response = await organisation.request("/live?host=web-1");
    expect([response.status, ((await response.json()) as Problem).code]).toEqual([503, "STORAGE_UNAVAILABLE"]);
  });
});
