// SPDX-License-Identifier: Apache-2.0
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import type { NestFastifyApplication } from "@nestjs/platform-fastify";
import { type ClickHouseServer, startClickHouseServer } from "@waggle/clickhouse-embedded";
import { freePort } from "@waggle/clickhouse-embedded/testing";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { makeSnapshot, retransmits, TestIngest, windowStart } from "../../../test/test-agent.ts";
import { testConfig } from "../../../test/test-api.ts";
import { createApp } from "../../app.ts";
import { ClickHouseService } from "../../clickhouse/clickhouse.service.ts";
import { createLog } from "../../common/log.ts";
import { TokensService } from "../tokens/tokens.service.ts";
import { IngestServer } from "./ingest.grpc.ts";

let directory: string;
let httpPort: number;
let server: ClickHouseServer;
let app: NestFastifyApplication;
let ingest: TestIngest;

const startServer = async () => {
  server = await startClickHouseServer({ dataDirectory: join(directory, "clickhouse"), httpPort, maxMemoryBytes: 1_024 ** 3 });
};
const startApi = async () => {
  const config = testConfig({
    WAGGLE_API_DATA_DIRECTORY: join(directory, "api"),
    WAGGLE_CLICKHOUSE_URL: `http://127.0.0.1:${httpPort}`,
    WAGGLE_CLICKHOUSE_USERNAME: server.username,
    WAGGLE_CLICKHOUSE_PASSWORD: server.password,
  });
  app = await createApp(config, createLog("silent"));
  await app.listen(0, "127.0.0.1");
  ingest = new TestIngest(app.get(IngestServer).port);
};
const killServer = async () => {
  process.kill(server.pid, "SIGKILL");
  await server.exited;
};
const readyz = async () => (await fetch(`${await app.getUrl()}/readyz`)).json() as Promise<{ status: string; checks: Record<string, string> }>;
const until = async (claim: () => Promise<boolean>) => {
  while (!(await claim())) await new Promise((resolve) => setTimeout(resolve, 50));
};
const enrol = async () => {
  const { organisation, adminToken, enrolmentToken } = await app.get(TokensService).createOrganisation("test");
  const host = await ingest.enrol(enrolmentToken, "web-1");
  return { organisation, adminToken, host };
};
const stored = async (organisationId: string) => {
  const { rows } = await app
    .get(ClickHouseService)
    .query<{ windows: number; segments: number }>(
      "SELECT (SELECT count() FROM windows FINAL WHERE tenant = {tenant:String}) AS windows, (SELECT sum(segments) FROM tcp_retransmits FINAL WHERE tenant = {tenant:String}) AS segments",
      { tenant: organisationId },
    );
  return rows[0];
};

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "waggle-writer-"));
  httpPort = await freePort();
});
afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
});
beforeEach(async () => {
  await startServer();
  await startApi();
});
afterEach(async () => {
  ingest.close();
  await app.close();
  await server.stop();
});

describe("when ClickHouse is killed with frames in flight", () => {
  it("acknowledges nothing until it is back, and then everything is there once", async () => {
    await until(async () => (await readyz()).status === "ready");
    const { organisation, host } = await enrol();
    const stream = await ingest.connect(host.credential);
    stream.snapshot(makeSnapshot(1, windowStart(50), { tcp_retransmits: [retransmits(1)] }));
    await stream.next("ack");

    await killServer();
    for (let sequence = 2; sequence <= 21; sequence++)
      stream.snapshot(makeSnapshot(sequence, windowStart(51 - sequence), { tcp_retransmits: [retransmits(1)] }));
    await until(async () => (await readyz()).checks["clickhouse"] !== "ok");
    // Long enough for several tries of the writer; the claim is what it does not do in that time.
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect(stream.hasAnswer).toBe(false);

    await startServer();
    const acknowledged = new Set<bigint>();
    for (let count = 0; count < 20; count++) acknowledged.add((await stream.next("ack")).sequence);
    expect(acknowledged.size).toBe(20);
    expect(await stored(organisation.id)).toEqual({ windows: 21, segments: 21 });
    stream.cancel();
  });

  it("says so in readyz and answers REST queries with STORAGE_UNAVAILABLE", async () => {
    await until(async () => (await readyz()).status === "ready");
    const { adminToken } = await enrol();
    await killServer();
    expect(await readyz()).toMatchObject({ status: "not ready", checks: { postgres: "ok", clickhouse: "ClickHouse does not answer" } });
    const response = await fetch(`${await app.getUrl()}/api/v1/query`, {
      method: "POST",
      headers: { authorization: `Bearer ${adminToken}`, "content-type": "application/json" },
      body: JSON.stringify({ signal: "tcp_retransmits", select: [{ measure: "segments", aggregate: "sum" }], from: "now-5m", to: "now" }),
    });
    expect(response.status).toBe(503);
    expect(response.headers.get("content-type")).toContain("application/problem+json");
    expect(await response.json()).toMatchObject({ code: "STORAGE_UNAVAILABLE", retryable: true });
    expect((await fetch(`${await app.getUrl()}/healthz`)).status).toBe(200);
    await startServer();
  });
});

describe("when ClickHouse is away while the API starts", () => {
  it("the API serves, and makes its tables once ClickHouse comes", async () => {
    ingest.close();
    await app.close();
    await server.stop();
    await startApi();
    expect((await readyz()).status).toBe("not ready");
    const { organisation, host } = await enrol();
    const stream = await ingest.connect(host.credential);
    stream.snapshot(makeSnapshot(1, windowStart(3), { tcp_retransmits: [retransmits(9)] }));
    await startServer();
    await stream.next("ack");
    expect(await stored(organisation.id)).toEqual({ windows: 1, segments: 9 });
    stream.cancel();
  });
});

describe("when a table is gone", () => {
  it("brings it back and stores what was waiting", async () => {
    await until(async () => (await readyz()).status === "ready");
    const { organisation, host } = await enrol();
    await app.get(ClickHouseService).command("DROP TABLE waggle.tcp_retransmits SYNC");
    const stream = await ingest.connect(host.credential);
    stream.snapshot(makeSnapshot(1, windowStart(3), { tcp_retransmits: [retransmits(4)] }));
    await stream.next("ack");
    expect(await stored(organisation.id)).toEqual({ windows: 1, segments: 4 });
    stream.cancel();
  });
});

describe("when a table is older than the catalogue", () => {
  it("adds the measure it lacks at the next start", async () => {
    await until(async () => (await readyz()).status === "ready");
    const clickhouse = app.get(ClickHouseService);
    await clickhouse.command("ALTER TABLE waggle.agent_accounting DROP COLUMN kernel");
    await clickhouse.prepare();
    const { rows } = await clickhouse.query<{ n: number }>(
      "SELECT count() AS n FROM system.columns WHERE database = 'waggle' AND table = 'agent_accounting' AND name = 'kernel'",
    );
    expect(rows).toEqual([{ n: 1 }]);
  });
});

describe("a stop", () => {
  it("writes and acknowledges what was taken, then sends every agent away with UNAVAILABLE", async () => {
    await until(async () => (await readyz()).status === "ready");
    const { host } = await enrol();
    const stream = await ingest.connect(host.credential);
    stream.snapshot(makeSnapshot(1, windowStart(3), { tcp_retransmits: [retransmits(4)] }));
    stream.snapshot(makeSnapshot(2, windowStart(2), { tcp_retransmits: [retransmits(4)] }));
    await until(async () => (await (await fetch(`${await app.getUrl()}/metrics`)).text()).match(/^waggle_ingest_in_flight_bytes [1-9]/m) !== null);
    await app.close();
    expect([(await stream.next("ack")).sequence, (await stream.next("ack")).sequence]).toEqual([1n, 2n]);
    expect((await stream.ended).code).toBe(status.UNAVAILABLE);
    ingest.close();
    await startApi();
  });
});
