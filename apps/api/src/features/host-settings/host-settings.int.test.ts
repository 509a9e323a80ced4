// SPDX-License-Identifier: Apache-2.0
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NestFastifyApplication } from "@nestjs/platform-fastify";
import type { Config as AgentConfig, SettingsReport } from "@waggle/proto";
import { sql } from "drizzle-orm";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { TestEventSource } from "../../../test/event-source.ts";
import { TestIngest, type TestStream } from "../../../test/test-agent.ts";
import { startTestApi, type TestApi, TestOrganisation } from "../../../test/test-api.ts";
import { hasPostgres, startTestPostgres, type TestPostgres } from "../../../test/test-postgres.ts";
import { createApp } from "../../app.ts";
import { createLog } from "../../common/log.ts";
import type { Problem } from "../../common/problem.ts";
import { Database } from "../../postgres/database.ts";
import { type AuditPage, auditPageSchema } from "../audit/audit.schemas.ts";
import { IngestServer } from "../ingest/ingest.grpc.ts";
import { type HostSettingsReport, hostSettingsSchema, organisationSettingsSchema } from "./host-settings.schemas.ts";

let api: TestApi;
let ingest: TestIngest;
beforeAll(async () => {
  api = await startTestApi();
  ingest = new TestIngest(api.app.get(IngestServer).port);
});
afterAll(async () => {
  ingest?.close();
  await api?.[Symbol.asyncDispose]();
});

async function enrolled(name = "web-1") {
  const organisation = await TestOrganisation.create(api);
  const { hostId, credential } = await ingest.enrol(organisation.enrolmentToken, name);
  return { organisation, hostId, credential, path: `/hosts/${hostId}/settings` };
}

/** A stream and the Config that answered its Hello. */
async function open(credential: string, over = ingest): Promise<{ stream: TestStream; config: AgentConfig }> {
  const stream = over.open(credential);
  stream.hello();
  return { stream, config: await stream.next("config") };
}

function acknowledge(stream: TestStream, settings: SettingsReport): void {
  stream.status({
    spoolFrames: 0n,
    spoolBytes: 0n,
    refusedFrames: 0n,
    droppedFrames: 0n,
    clockOffsetMs: 0n,
    startedAtMs: 0n,
    coarsenedWindows: 0n,
    hours: [],
    settings,
  });
}

const patch = async (organisation: TestOrganisation, path: string, body: unknown, headers: Record<string, string> = {}) =>
  organisation.request(path, { method: "PATCH", body, headers });
const change = async (organisation: TestOrganisation, path: string, body: unknown) => {
  const response = await patch(organisation, path, body);
  expect(response.status).toBe(200);
  return (await response.json()) as HostSettingsReport;
};
const get = async (organisation: TestOrganisation, path: string) => (await (await organisation.request(path)).json()) as HostSettingsReport;
const until = (condition: () => Promise<void>) => vi.waitFor(condition, { timeout: 60_000, interval: 100 });

describe("settings of a host", () => {
  it("reach its agent while it is connected, are acknowledged, and are told again to the next stream", async () => {
    const { organisation, hostId, credential, path } = await enrolled();
    const { stream, config } = await open(credential);
    expect(config).toMatchObject({ windowMs: 10_000, rowsMax: 0, settings: { revision: 0n, signalsOff: [], windowMs: undefined } });
    expect(await get(organisation, path)).toMatchObject({ revision: 0, state: "in_force", applied: null });
    const changed = await change(organisation, path, {
      windowMs: 1_000,
      signalsOff: ["tcp_rtt"],
      watchedProcesses: ["nginx"],
      cpuBudgetCores: 0.05,
      rowsMax: 500,
    });
    hostSettingsSchema.parse(changed);
    expect(changed).toMatchObject({ hostId, host: "web-1", state: "pending", effective: { windowMs: { value: 1_000, from: "host" } } });
    const told = await stream.next("config");
    expect(told).toMatchObject({
      windowMs: 1_000,
      rowsMax: 500,
      settings: {
        revision: BigInt(changed.revision),
        windowMs: 1_000,
        signalsOff: ["tcp_rtt"],
        watchedProcesses: ["nginx"],
        cpuBudgetCores: 0.05,
        rowsMax: 500,
      },
    });
    acknowledge(stream, { revision: told.settings?.revision ?? 0n, problems: [] });
    await until(async () =>
      expect(await get(organisation, path)).toMatchObject({ state: "in_force", applied: { revision: changed.revision, problems: [] } }),
    );
    const host = (await (await organisation.request(`/hosts/${hostId}`)).json()) as { windowSeconds: number };
    expect(host.windowSeconds).toBe(1);
    stream.cancel();
    expect((await open(credential)).config.settings).toEqual(told.settings);
  });

  it("show what the agent could not do, with text that Postgres would refuse made harmless", async () => {
    const { organisation, credential, path } = await enrolled();
    const { stream } = await open(credential);
    const { revision } = await change(organisation, path, { signalsOff: ["dns_queries"] });
    await stream.next("config");
    acknowledge(stream, { revision: BigInt(revision), problems: ["dns_queries\u0000 is unknown to this version"] });
    await until(async () =>
      expect(await get(organisation, path)).toMatchObject({
        state: "with_problems",
        applied: { revision, problems: ["dns_queries  is unknown to this version"] },
      }),
    );
    const { applied } = await get(organisation, path);
    acknowledge(stream, { revision: BigInt(revision), problems: [] });
    await until(async () => expect((await get(organisation, path)).state).toBe("in_force"));
    // The same revision again is not a new acknowledgement.
    expect((await get(organisation, path)).applied?.at).toBe(applied?.at);
  });

  it("come from the organisation where the host has none, and a field that is unset falls back", async () => {
    const { organisation, credential, path } = await enrolled();
    const { stream } = await open(credential);
    const all = organisationSettingsSchema.parse(await change(organisation, "/settings", { windowMs: 30_000, rowsMax: 300 }));
    expect((await stream.next("config")).windowMs).toBe(30_000);
    await change(organisation, path, { windowMs: 2_000, signalsOff: [] });
    expect((await stream.next("config")).windowMs).toBe(2_000);
    const own = await get(organisation, path);
    expect(own.revision).toBeGreaterThan(all.revision);
    expect(own.effective).toMatchObject({
      windowMs: { value: 2_000, from: "host" },
      rowsMax: { value: 300, from: "organisation" },
      signalsOff: { value: [], from: "host" },
      cpuBudgetCores: { value: null, from: "agent" },
    });
    await change(organisation, path, { windowMs: null });
    expect(await stream.next("config")).toMatchObject({ windowMs: 30_000, rowsMax: 300 });
    await change(organisation, "/settings", { windowMs: null, rowsMax: null });
    expect(await stream.next("config")).toMatchObject({ windowMs: 10_000, rowsMax: 0 });
  });

  it("stay another organisation's: neither its hosts nor its agents nor its audit see them", async () => {
    const { organisation, hostId, path } = await enrolled();
    const other = await enrolled("db-1");
    const { stream } = await open(other.credential);
    await change(organisation, "/settings", { windowMs: 5_000 });
    await change(organisation, path, { windowMs: 6_000 });
    expect((await patch(other.organisation, `/hosts/${hostId}/settings`, { windowMs: 1_000 })).status).toBe(404);
    expect((await other.organisation.request(path)).status).toBe(404);
    expect(await get(other.organisation, "/settings")).toMatchObject({ revision: 0, settings: { windowMs: null } });
    expect(((await (await other.organisation.request("/audit")).json()) as AuditPage).data).toEqual([]);
    // Only its own change reaches the other's agent, and first.
    await change(other.organisation, "/settings", { windowMs: 20_000 });
    expect((await stream.next("config")).windowMs).toBe(20_000);
  });

  it.each([
    [{ windowMs: 7_000 }, "/windowMs"],
    [{ windowMs: 500 }, "/windowMs"],
    [{ windowMs: 1_000.5 }, "/windowMs"],
    [{ cpuBudgetCores: 0 }, "/cpuBudgetCores"],
    [{ rowsMax: 5 }, "/rowsMax"],
    [{ watchedProcesses: ["a-name-of-16-byt"] }, "/watchedProcesses/0"],
    [{ watchedProcesses: Array.from({ length: 33 }, (_, index) => `p${index}`) }, "/watchedProcesses"],
    [{ signalsOff: ["agent_coverage"] }, "/signalsOff/0"],
    [{ windows: 1_000 }, "/windows"],
  ])("refuse %j and say which field is wrong", async (body, pointer) => {
    const { organisation, path } = await enrolled();
    const response = await patch(organisation, path, body);
    expect(response.status).toBe(422);
    expect(((await response.json()) as Problem).errors).toMatchObject([{ pointer }]);
    expect((await get(organisation, path)).revision).toBe(0);
  });

  it("refuse a signal that does not exist and name the nearest", async () => {
    const { organisation, path } = await enrolled();
    const response = await patch(organisation, path, { signalsOff: ["syscalls", "tcp_rt"] });
    expect([response.status, await response.json()]).toMatchObject([
      422,
      { code: "SIGNAL_NOT_FOUND", errors: [{ pointer: "/signalsOff/1", suggestion: "tcp_rtt" }] },
    ]);
  });

  it("are changed only from the revision that If-Match names", async () => {
    const { organisation, path } = await enrolled();
    const etag = (await organisation.request(path)).headers.get("etag") as string;
    const first = await patch(organisation, path, { windowMs: 5_000 }, { "if-match": etag });
    expect(first.status).toBe(200);
    const second = await patch(organisation, path, { windowMs: 6_000 }, { "if-match": etag });
    expect([second.status, ((await second.json()) as Problem).code]).toEqual([412, "PRECONDITION_FAILED"]);
    expect((await patch(organisation, path, { windowMs: 6_000 }, { "if-match": first.headers.get("etag") as string })).status).toBe(200);
    expect((await patch(organisation, path, { windowMs: 6_000 }, { "if-match": "seven" })).status).toBe(422);
  });

  it("cannot be changed, but can be read, with a token that only reads", async () => {
    const { organisation, path } = await enrolled();
    const { db } = api.app.get(Database);
    await db.execute(sql`UPDATE api_tokens SET scopes = '{metrics:read,hosts:read}' WHERE organisation_id = ${organisation.id}`);
    for (const target of [path, "/settings"]) {
      expect((await organisation.request(target)).status).toBe(200);
      expect((await patch(organisation, target, { windowMs: 1_000 })).status).toBe(403);
      expect(await get(organisation, target)).toMatchObject({ revision: 0 });
    }
  });
});

describe("the audit", () => {
  it("says who changed what, from what to what, page by page, and nothing of what changed nothing", async () => {
    const { organisation, hostId, path } = await enrolled();
    await change(organisation, "/settings", { windowMs: 5_000 });
    await change(organisation, path, { windowMs: 1_000, rowsMax: 200 });
    await change(organisation, path, { windowMs: 1_000 });
    await change(organisation, path, { windowMs: null });
    const first = auditPageSchema.parse(await (await organisation.request("/audit?limit=2")).json());
    const rest = auditPageSchema.parse(await (await organisation.request(`/audit?limit=2&cursor=${first.meta.nextCursor}`)).json());
    const host = { kind: "host", id: hostId, name: "web-1" };
    const actor = { tokenId: expect.any(String), tokenName: "first" };
    expect([...first.data, ...rest.data]).toMatchObject([
      { actor, action: "settings.update", target: host, before: { windowMs: 1_000 }, after: { windowMs: null } },
      { actor, target: host, before: { windowMs: null, rowsMax: null }, after: { windowMs: 1_000, rowsMax: 200 } },
      { actor, target: { kind: "organisation", id: organisation.id }, before: { windowMs: null }, after: { windowMs: 5_000 } },
    ]);
    expect(rest.meta.nextCursor).toBeNull();
    const ofHost = auditPageSchema.parse(await (await organisation.request("/audit?host=web-1")).json());
    expect(ofHost.data).toHaveLength(2);
  });
});

describe.skipIf(!hasPostgres && process.env["CI"] !== "true")("two nodes of one database", () => {
  let postgres: TestPostgres;
  let one: TestApi;
  let two: NestFastifyApplication;
  let directory: string;
  beforeAll(async () => {
    postgres = await startTestPostgres();
    one = await startTestApi({ WAGGLE_DATABASE_URL: postgres.url });
    directory = await mkdtemp(join(tmpdir(), "waggle-api-"));
    two = await createApp({ ...one.config, dataDirectory: directory }, createLog("silent"));
    await two.listen(0, "127.0.0.1");
  });
  afterAll(async () => {
    await two?.close();
    await one?.[Symbol.asyncDispose]();
    await postgres?.[Symbol.asyncDispose]();
    await rm(directory, { recursive: true, force: true });
  });

  it("a change on one reaches the agent on the other, whose next stream on either is told at once", async () => {
    const organisation = await TestOrganisation.create(one);
    const [here, there] = [new TestIngest(one.app.get(IngestServer).port), new TestIngest(two.get(IngestServer).port)];
    try {
      const { hostId, credential } = await here.enrol(organisation.enrolmentToken, "web-1");
      const { stream } = await open(credential, there);
      const { revision } = await change(organisation, `/hosts/${hostId}/settings`, { windowMs: 1_000 });
      const told = await stream.next("config");
      expect(told).toMatchObject({ windowMs: 1_000, settings: { revision: BigInt(revision) } });
      acknowledge(stream, { revision: BigInt(revision), problems: [] });
      await until(async () => expect((await get(organisation, `/hosts/${hostId}/settings`)).state).toBe("in_force"));
      // Changed here and connected there in the same moment: the other node looks before it answers the Hello.
      await change(organisation, "/settings", { rowsMax: 400 });
      expect((await open(credential, there)).config).toMatchObject({ windowMs: 1_000, rowsMax: 400 });
    } finally {
      here.close();
      there.close();
    }
  });

  it("a host that is watched through one has short windows on the other, until the last watcher of either leaves", async () => {
    const organisation = await TestOrganisation.create(one);
    const there = new TestIngest(two.get(IngestServer).port);
    const watch = async (url: string) => {
      const source = await TestEventSource.open(`${url}/api/v1/live?host=web-1`, { authorization: `Bearer ${organisation.adminToken}` });
      await source.next("hello");
      return source;
    };
    try {
      const { hostId, credential } = await there.enrol(organisation.enrolmentToken, "web-1");
      const { stream } = await open(credential, there);
      const here = await watch(one.url);
      expect((await stream.next("config")).windowMs).toBe(1_000);
      const other = await watch(await two.getUrl());
      await until(async () =>
        expect(await get(organisation, `/hosts/${hostId}/settings`)).toMatchObject({ watched: { windowMs: 1_000, watchers: 2 } }),
      );
      here.close();
      await until(async () => expect(await get(organisation, `/hosts/${hostId}/settings`)).toMatchObject({ watched: { watchers: 1 } }));
      expect(stream.hasAnswer).toBe(false);
      other.close();
      expect((await stream.next("config")).windowMs).toBe(10_000);
      expect(await get(organisation, `/hosts/${hostId}/settings`)).toMatchObject({ watched: null, revision: 0 });
    } finally {
      there.close();
    }
  });

  it("numbers changes that are made on both at once in the order they are committed, and loses none", async () => {
    const organisation = await TestOrganisation.create(one);
    const names = Array.from({ length: 12 }, (_, index) => `h${index}`);
    await organisation.addHosts(names);
    const url = await two.getUrl();
    const reports = await Promise.all(
      names.map(async (name, index) => {
        const base = index % 2 === 0 ? one.url : url;
        const response = await fetch(`${base}/api/v1/hosts/${name}/settings`, {
          method: "PATCH",
          headers: { authorization: `Bearer ${organisation.adminToken}`, "content-type": "application/json" },
          body: JSON.stringify({ rowsMax: 100 + index }),
        });
        return (await response.json()) as HostSettingsReport;
      }),
    );
    expect(new Set(reports.map((report) => report.revision)).size).toBe(names.length);
    expect(reports.map((report) => report.settings.rowsMax)).toEqual(names.map((_, index) => 100 + index));
    const audit = (await (await organisation.request("/audit")).json()) as AuditPage;
    expect(audit.data).toHaveLength(names.length);
  });
});
