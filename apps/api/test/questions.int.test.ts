// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { bucketIndex, getSignalOrThrow } from "@waggle/signals";
import { Profile } from "pprof-format";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Scope } from "../src/common/caller.ts";
import type { Problem } from "../src/common/problem.ts";
import type { DimensionValues } from "../src/features/dimensions/dimensions.schemas.ts";
import type { Event, EventPage } from "../src/features/events/events.schemas.ts";
import type { Explanation } from "../src/features/explain/explain.schemas.ts";
import { HostStatusService } from "../src/features/ingest/host-status.service.ts";
import { IngestServer } from "../src/features/ingest/ingest.grpc.ts";
import type { ProcessTable } from "../src/features/processes/processes.schemas.ts";
import type { ProfileAnswer } from "../src/features/profiles/profile-answer.schemas.ts";
import type { Answer, ValueSeries } from "../src/features/query/query.schemas.ts";
import { RollupsService } from "../src/features/rollups/rollups.service.ts";
import { hashToken, mintToken } from "../src/features/tokens/token.ts";
import { TokensRepository } from "../src/features/tokens/tokens.repository.ts";
import type { Topology } from "../src/features/topology/topology.schemas.ts";
import { facts, TestIngest } from "./test-agent.ts";
import { startTestApi, type TestApi, TestOrganisation } from "./test-api.ts";

// Routes that put several signals together share one API: each test has an organisation of its own.
let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
  // Rows that are stored around the ingest path, without their frames, are never rolled up: these tests ask raw rows.
  await api.app.get(RollupsService).stop();
});
afterAll(() => api?.[Symbol.asyncDispose]());

/** A full minute, five minutes ago. */
const t0 = Math.floor(Date.now() / 60_000) * 60_000 - 300_000;
const range = `from=${t0}&to=${t0 + 60_000}`;
const at = (host: string, index = 0) => ({ host, ts: t0 + index * 10_000, window_ms: 10_000 });

function histogram(values: readonly number[]) {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(bucketIndex(BigInt(value)), (counts.get(bucketIndex(BigInt(value))) ?? 0) + 1);
  const k = [...counts.keys()].sort((a, b) => a - b);
  const sum = values.reduce((total, value) => total + value, 0);
  return { count: values.length, sum, min: Math.min(...values), max: Math.max(...values), k, c: k.map((index) => counts.get(index)) };
}

async function cover(organisation: TestOrganisation, host: string, signals: readonly string[], windows: readonly number[] = [0]) {
  const rows = windows.flatMap((index) => signals.map((signal) => ({ ...at(host, index), signal, state: "exact", reason: "", windows: 1 })));
  await organisation.store(getSignalOrThrow("agent_coverage"), rows);
  await organisation.storeWindows(windows.map((index) => at(host, index)));
}

async function get<Body>(organisation: TestOrganisation, path: string, status = 200): Promise<Body> {
  const response = await organisation.request(path);
  const body = (await response.json()) as Body & { detail?: string };
  expect(response.status, body.detail).toBe(status);
  return body;
}

/** A token that may do less than the organisation's own. */
async function requestWith(organisation: TestOrganisation, scopes: readonly Scope[], path: string, body?: unknown): Promise<Response> {
  const token = mintToken("adm");
  await api.app.get(TokensRepository).createApiToken(organisation.id, "less", hashToken(token), scopes);
  return organisation.request(path, { headers: { authorization: `Bearer ${token}` }, ...(body === undefined ? {} : { body }) });
}

describe("shortcuts", () => {
  it("are queries with their signal, measures and grouping filled in", async () => {
    const organisation = await TestOrganisation.create(api);
    const host = await organisation.addHost("web-1");
    await cover(organisation, host, ["packet_drops", "dns_queries", "block_latency", "block_io", "file_io"]);
    const who = { process: "nginx", unit: "nginx.service" };
    await organisation.store(getSignalOrThrow("packet_drops"), [
      { ...at(host), ...who, drop_reason: "NO_SOCKET", protocol: "tcp", packets: 7, bytes: 70 },
      { ...at(host), ...who, drop_reason: "NETFILTER_DROP", protocol: "udp", packets: 11, bytes: 110 },
    ]);
    const dns = { ...who, resolver: "10.0.0.53", query_type: "A" };
    await organisation.store(getSignalOrThrow("dns_queries"), [
      { ...at(host), ...dns, query_name: "a.example", rcode: "NOERROR", ...histogram([1_000_000, 1_000_000]) },
      { ...at(host), ...dns, query_name: "b.example", rcode: "NXDOMAIN", ...histogram([3_000_000]) },
    ]);
    await organisation.store(getSignalOrThrow("block_latency"), [{ ...at(host), device: "sda", operation: "write", ...histogram([50_000]) }]);
    await organisation.store(getSignalOrThrow("block_io"), [{ ...at(host), device: "sda", operation: "write", count: 5, bytes: 20_480 }]);
    await organisation.store(getSignalOrThrow("file_io"), [
      { ...at(host), ...who, file: "/var/log/a", read_bytes: 1, written_bytes: 90, reads: 1, writes: 3 },
    ]);
    const ask = async (path: string) =>
      ((await get<Answer>(organisation, `${path}${path.includes("?") ? "&" : "?"}${range}&points=1`)).series as ValueSeries[]).map((series) => [
        ...Object.values(series.labels),
        series.measure,
        series.aggregate,
        series.values[0],
      ]);
    expect(await ask("/drops")).toEqual([
      ["NETFILTER_DROP", "packets", "sum", 11],
      ["NO_SOCKET", "packets", "sum", 7],
    ]);
    expect(await ask("/dns?by=rcode&aggregate=count")).toEqual([
      ["NOERROR", "latency", "count", 2],
      ["NXDOMAIN", "latency", "count", 1],
    ]);
    expect(await ask("/disk?aggregate=count")).toEqual([["sda", "write", "latency", "count", 1]]);
    expect(await ask("/disk?signal=block_io")).toEqual([
      ["sda", "write", "bytes", "rate", 2_048],
      ["sda", "write", "count", "rate", 0.5],
    ]);
    expect((await ask("/files")).map((row) => row.slice(2))).toEqual([
      ["written_bytes", "sum", 90],
      ["read_bytes", "sum", 1],
      ["writes", "sum", 3],
      ["reads", "sum", 1],
    ]);
    expect((await get<Problem>(organisation, "/files?aggregate=p99", 422)).errors).toHaveLength(4);
    expect((await get<Problem>(organisation, "/drops?aggregate=p99", 422)).errors).toMatchObject([{ pointer: "/aggregate" }]);
  });

  it("take steps, an earlier window and explanations as the query object does, and refuse what it refuses at the same place", async () => {
    const organisation = await TestOrganisation.create(api);
    const host = await organisation.addHost("web-1");
    await cover(organisation, host, ["syscalls", "syscall_latency"], [-6, -5, 0, 1]);
    const calls = (index: number, count: number) => ({ ...at(host, index), process: "nginx", unit: "", syscall: "read", count });
    await organisation.store(getSignalOrThrow("syscalls"), [calls(-6, 3), calls(0, 5), calls(1, 7)]);
    await organisation.store(getSignalOrThrow("syscall_latency"), [
      { ...at(host), process: "nginx", unit: "", syscall: "read", ...histogram([1_000]) },
      { ...at(host, -6), process: "nginx", unit: "", syscall: "read", ...histogram([1_000, 9_000]) },
    ]);
    const steps = await get<Answer>(organisation, `/syscalls?${range}&step=10s&compare=prev&by=process&explain=true`);
    expect(steps.meta).toMatchObject({ stepSeconds: 10, points: 6, compare: { from: new Date(t0 - 60_000).toISOString() } });
    expect(steps.meta.explain?.statements.length).toBeGreaterThan(2);
    expect(steps.series).toMatchObject([{ values: [5, 7, null, null, null, null], compared: [3, 0, null, null, null, null], change: 3 }]);
    const asRange = `compare=${new Date(t0 - 60_000).toISOString()}..${new Date(t0).toISOString()}`;
    const ranges = await get<Answer>(organisation, `/latency?signal=syscall_latency&${range}&points=1&aggregate=count,heatmap&${asRange}`);
    expect(ranges.series).toMatchObject([{ values: [1], compared: [2] }, { compared: expect.any(Array) }]);
    const inBody = { signal: "syscalls", select: [{ measure: "count", aggregate: "sum" }], from: t0, to: t0 + 60_000 };
    const wrongs: readonly Record<string, string>[] = [
      { step: "7s" },
      { step: "1m", points: "3" },
      { compare: "soon" },
      { compare: "now..then" },
      { compare: "1d..2d..3d" },
      { limit: "0" },
      { by: "procss" },
      { where: "proces:x" },
      { where: "count>" },
    ];
    for (const wrong of wrongs) {
      const { points, limit, by, compare, ...rest } = wrong;
      const [from, to] = compare?.split("..") ?? [];
      const body = {
        ...inBody,
        ...rest,
        ...(points === undefined ? {} : { points: Number(points) }),
        ...(limit === undefined ? {} : { limit: Number(limit) }),
        ...(by === undefined ? {} : { by: [by] }),
        ...(compare === undefined ? {} : { compare: compare.split("..").length === 2 ? { from, to } : compare }),
      };
      const address = await get<Problem>(organisation, `/syscalls?${range}&${new URLSearchParams(wrong)}`, 422);
      const posted = (await (await organisation.request("/query", { body })).json()) as Problem;
      expect(
        address.errors?.map(({ pointer }) => pointer),
        JSON.stringify(wrong),
      ).toEqual(posted.errors?.map(({ pointer }) => pointer));
    }
    for (const bad of ["explain=yes", "explain=true&explain=true", "step=1m&step=2m", "compare=prev&compare=1d", "steps=1m"])
      await get(organisation, `/syscalls?${bad}`, 422);
    expect(await get<Problem>(organisation, "/syscalls?stap=1m", 422)).toMatchObject({ errors: [{ pointer: "/stap", suggestion: "step" }] });
  });
});

it("every address that the documentation asks for is answered", async () => {
  const organisation = await TestOrganisation.create(api);
  const read = (name: string) => readFileSync(new URL(`../../../${name}`, import.meta.url), "utf8");
  const text = ["README.md", "docs/api.md", "docs/questions.md"].map(read).join("\n");
  const addresses = [...text.matchAll(/'http:\/\/127\.0\.0\.1:\d+\/api\/v1(\/[^']+)'/g)].map(([, address = ""]) => address);
  const answered = addresses.filter((address) => !address.startsWith("/live"));
  expect(answered.length).toBeGreaterThanOrEqual(3);
  for (const address of answered) expect((await organisation.request(address)).status, address).toBe(200);
});

describe("the table of processes", () => {
  it("puts together what signals know by process, the largest first, and tells zero from not known", async () => {
    const [organisation, stranger] = [await TestOrganisation.create(api), await TestOrganisation.create(api)];
    const [one, two] = [await organisation.addHost("one"), await organisation.addHost("two")];
    await cover(organisation, one, ["cpu_time", "tcp_retransmits", "run_queue_latency"]);
    await cover(organisation, two, ["cpu_time"]);
    const cpu = (host: string, process: string, user: number) => ({
      ...at(host),
      process,
      unit: "",
      user,
      system: 1,
      voluntary_switches: 0,
      involuntary_switches: 0,
    });
    await organisation.store(getSignalOrThrow("cpu_time"), [
      cpu(one, "nginx", 500),
      cpu(two, "nginx", 300),
      cpu(one, "redis", 400),
      cpu(one, "cron", 5),
      cpu(one, "~other", 2),
    ]);
    const flow = { unit: "", role: "client", peer: "10.0.0.1", peer_port: "443", port: "ephemeral" };
    await organisation.store(getSignalOrThrow("tcp_retransmits"), [
      { ...at(one), ...flow, process: "redis", class: "fast", segments: 13 },
      { ...at(one), ...flow, process: "sshd", class: "fast", segments: 17 },
    ]);
    await organisation.store(getSignalOrThrow("run_queue_latency"), [{ ...at(one), process: "nginx", unit: "", ...histogram([200, 900]) }]);

    const table = await get<ProcessTable>(organisation, `/processes?${range}&limit=2`);
    expect(table.meta).toMatchObject({ by: ["process"], sort: "cpu", truncated: { shown: 2, total: 3 } });
    const shown = table.data.map(({ labels, values }) => [
      labels.process,
      values.cpu,
      values.retransmits,
      values.runQueueWait,
      values.runQueueWaitMax,
      values.fileRead,
    ]);
    expect(shown).toEqual([
      ["nginx", 802, 0, 1_100, 900, null],
      ["redis", 401, 13, 0, 0, null],
      ["~other", 9, 17, 0, 0, null],
    ]);
    const coverage = Object.fromEntries(table.columns.map((column) => [column.name, column.coverage.reporting]));
    expect(coverage).toMatchObject({ cpu: 2, retransmits: 1, fileRead: 0 });

    const byHost = await get<ProcessTable>(organisation, `/processes?${range}&by=process,host&sort=retransmits`);
    expect(byHost.data.slice(0, 2).map(({ labels, values }) => [labels.process, labels.host, values.retransmits, values.cpu])).toEqual([
      ["sshd", "one", 17, 0],
      ["redis", "one", 13, 401],
    ]);
    const onTwo = await get<ProcessTable>(organisation, `/processes?${range}&by=process,host&where=host:two`);
    expect(onTwo.data.map(({ labels, values }) => [labels.host, values.cpu, values.retransmits])).toEqual([["two", 301, null]]);

    expect((await get<ProcessTable>(stranger, `/processes?${range}`)).data).toEqual([]);

    // The minute after: whoever is in it, beside what the same row was before, and before nobody told of its first columns.
    await cover(organisation, one, ["cpu_time"], [6]);
    await organisation.store(getSignalOrThrow("cpu_time"), [{ ...cpu(one, "redis", 8), ...at(one, 6) }]);
    const after = `from=${t0 + 60_000}&to=${t0 + 120_000}`;
    const compared = await get<ProcessTable>(organisation, `/processes?${after}&compare=prev`);
    expect(compared.meta).toMatchObject({ compare: { from: new Date(t0).toISOString(), to: new Date(t0 + 60_000).toISOString() } });
    expect(
      compared.data.map(({ labels, values, compared: before }) => [labels.process, values.cpu, before?.cpu, values.retransmits, before?.retransmits]),
    ).toEqual([
      ["redis", 9, 401, null, 13],
      ["~other", 0, 811, null, 17],
    ]);
    const ofCpu = compared.columns.find(({ name }) => name === "cpu");
    expect([ofCpu?.coverage.reporting, ofCpu?.compared?.reporting]).toEqual([1, 2]);
    const csv = await organisation.request(`/processes?${after}&compare=prev`, { headers: { accept: "text/csv" } });
    const [head = "", row = ""] = (await csv.text()).split("\r\n");
    expect(head).toMatch(/^process,cpu,cpu_compared,runQueueWait,/);
    expect(row).toMatch(/^redis,9,401,/);
    expect(JSON.parse(csv.headers.get("waggle-meta") ?? "")).toMatchObject({ by: ["process"], sort: "cpu" });
    for (const bad of ["sort=memory", "by=peer", "limit=0", "where=peer:10.0.0.1", "from=yesterday", "x=1", "compare=then", "compare=prev&step=1m"])
      await get(organisation, `/processes?${bad}`, 422);
    expect((await requestWith(organisation, ["hosts:read"], "/processes")).status).toBe(403);
  });
});

describe("values of a dimension", () => {
  it("come by volume, by prefix or part, from the first signal that has some, and from the caller's rows only", async () => {
    const [organisation, stranger] = [await TestOrganisation.create(api), await TestOrganisation.create(api)];
    const [web, db] = [await organisation.addHost("web-1", { tags: { env: "prod" } }), await organisation.addHost("db-1")];
    const calls = (host: string, process: string, count: number) => ({ ...at(host), process, unit: "", syscall: "read", count });
    await organisation.store(getSignalOrThrow("syscalls"), [
      calls(web, "nginx", 5),
      calls(db, "nginx", 6),
      calls(db, "postgres", 100),
      calls(db, "pg%_\\bouncer", 50),
      calls(db, "", 9),
      calls(db, "~other", 9),
    ]);
    await stranger.store(getSignalOrThrow("syscalls"), [calls(await stranger.addHost("x"), "secret", 1_000)]);
    const ask = async (path: string, of = organisation) => {
      const { meta, data } = await get<DimensionValues>(of, `/dimensions/${path}${path.includes("?") ? "&" : "?"}${range}`);
      return [meta.signal, ...data.map(({ value, volume }) => (volume === null ? value : [value, volume]))];
    };
    const all = ["syscalls", ["postgres", 100], ["pg%_\\bouncer", 50], ["nginx", 11]];
    expect(await ask("process/values?signal=syscalls")).toEqual(all);
    expect(await ask("process/values?signal=syscalls&prefix=p")).toEqual(all.slice(0, 3));
    expect(await ask("process/values?signal=syscalls&prefix=pg%25")).toEqual(["syscalls", ["pg%_\\bouncer", 50]]);
    expect(await ask("process/values?signal=syscalls&q=GIN")).toEqual(["syscalls", ["nginx", 11]]);
    expect(await ask("process/values?signal=syscalls&where=host:web-*")).toEqual(["syscalls", ["nginx", 5]]);
    expect(await ask("process/values?signal=syscalls&where=host:none")).toEqual(["syscalls"]);
    expect(await ask("syscall/values?limit=1")).toEqual(["syscalls", ["read", 179]]);
    expect(await ask("tag.env/values")).toEqual([null, ["prod", 1]]);
    expect(await ask("host/values")).toEqual([null, "db-1", "web-1"]);
    expect(await ask("host/values?prefix=w")).toEqual([null, "web-1"]);
    expect(await ask("process/values?signal=syscalls", stranger)).toEqual(["syscalls", ["secret", 1_000]]);
    const limited = await get<DimensionValues>(organisation, `/dimensions/process/values?signal=syscalls&limit=1&${range}`);
    expect(limited.meta).toMatchObject({ truncated: { shown: 1, total: 3 }, measure: "count", unit: "calls" });

    const unknown = await get<{ code: string; detail: string }>(organisation, "/dimensions/proces/values", 404);
    expect(unknown).toMatchObject({ code: "DIMENSION_NOT_FOUND", detail: expect.stringContaining("did you mean process?") });
    await get(organisation, "/dimensions/process/values?signal=block_io", 422);
    await get(organisation, "/dimensions/process/values?signal=nope", 422);
    await get(organisation, "/dimensions/process/values?limit=100000", 422);
    expect((await requestWith(organisation, ["hosts:read"], "/dimensions/process/values")).status).toBe(403);
  });
});

describe("the topology", () => {
  const none = {
    bytes_sent: 0,
    bytes_received: 0,
    segments_sent: 0,
    segments_received: 0,
    segments_retransmitted: 0,
    opened: 0,
    closed: 0,
    active: 0,
    zero_window: 0,
  };
  const client = (host: string, process: string, peer: string, port: string, values: Partial<typeof none>) => ({
    ...at(host),
    ...{ process, unit: "", role: "client", peer, peer_port: port, port: "ephemeral", ...none },
    ...values,
  });
  const server = (host: string, process: string, peer: string, port: string, values: Partial<typeof none>) => ({
    ...at(host),
    ...{ process, unit: "", role: "server", peer, peer_port: "ephemeral", port, ...none },
    ...values,
  });
  const address = (host: string, value: string, ts = t0 - 60_000) => ({ host, ts, window_ms: 10_000, fact: "address:eth0", value, windows: 1 });
  const edgesOf = ({ nodes, edges }: Topology) => {
    const label = (id: string) => nodes.find((node) => node.id === id)?.label;
    return edges.map((edge) => [label(edge.from), label(edge.to), edge.bytes, edge.reportedBy.join("+")]);
  };

  async function makeFleet() {
    const organisation = await TestOrganisation.create(api);
    const web = await organisation.addHost("web", { tags: { env: "prod" } });
    const db = await organisation.addHost("db", { tags: { env: "prod" } });
    const old = await organisation.addHost("old");
    for (const host of [web, db, old]) await cover(organisation, host, ["tcp_connections", "tcp_rtt"]);
    await organisation.store(getSignalOrThrow("host_facts"), [
      address(web, "10.0.0.1 2001:db8::1"),
      address(db, "10.0.0.2"),
      // An address that went from one host to another within the hour.
      address(old, "10.0.0.9", t0),
      address(web, "10.0.0.9", t0 + 10_000),
    ]);
    await organisation.store(getSignalOrThrow("tcp_connections"), [
      client(web, "nginx", "10.0.0.2", "5432", { bytes_sent: 1_000, bytes_received: 200, segments_sent: 100, segments_retransmitted: 10, opened: 3 }),
      client(web, "cron", "10.0.0.2", "5432", { bytes_sent: 50, segments_sent: 10, opened: 1 }),
      server(db, "postgres", "10.0.0.1", "5432", { bytes_sent: 199, bytes_received: 1_049, segments_sent: 100, opened: 4, zero_window: 2 }),
      client(web, "nginx", "203.0.113.7", "443", { bytes_sent: 400, opened: 1 }),
      client(db, "postgres", "10.0.0.9", "9000", { bytes_sent: 300 }),
      client(db, "psql", "127.0.0.1", "5432", { bytes_sent: 20 }),
      server(db, "postgres", "127.0.0.1", "5432", { bytes_received: 20 }),
      client(old, "app", "", "1", { bytes_sent: 7 }),
    ]);
    const trip = { process: "nginx", unit: "", role: "client", peer: "10.0.0.2", peer_port: "5432", port: "ephemeral" };
    await organisation.store(getSignalOrThrow("tcp_rtt"), [{ ...at(web), ...trip, ...histogram([1_000_000, 1_000_000, 9_000_000]) }]);
    await organisation.store(getSignalOrThrow("tcp_connect_failures"), [
      { ...at(web), process: "nginx", unit: "", peer: "10.0.0.2", peer_port: "5432", errno: "ETIMEDOUT", count: 5 },
    ]);
    await organisation.store(getSignalOrThrow("tcp_accept_delay"), [
      { ...at(db), process: "postgres", unit: "", port: "5432", ...histogram([70_000]) },
    ]);
    await organisation.store(getSignalOrThrow("tcp_listen_queue"), [
      { ...at(db), process: "postgres", unit: "", port: "5432", listeners: 1, backlog: 0, backlog_limit: 128, drops: 3 },
    ]);
    return organisation;
  }

  it("joins both ends of a connection, and says of the others what is known of the far end", async () => {
    const organisation = await makeFleet();
    const topology = await get<Topology>(organisation, `/topology?${range}`);
    expect(edgesOf(topology)).toEqual([
      ["web", "db", 1_250, "from+to"],
      ["web", "203.0.113.7", 400, "from"],
      ["db", "10.0.0.9", 300, "from"],
      ["db", "db", 20, "from+to"],
      ["old", "(unknown address)", 7, "from"],
    ]);
    expect(topology.nodes.find((node) => node.kind === "ambiguous")).toMatchObject({
      label: "10.0.0.9",
      hosts: expect.arrayContaining(["old", "web"]),
    });
    expect(topology.nodes.map((node) => node.kind).sort()).toEqual(["ambiguous", "external", "host", "host", "host", "unknown"]);
    const [first] = topology.edges;
    expect(first).toMatchObject({ direction: "client-server", connections: 4, failures: 5, loopback: false, retransmitRatio: 10 / 210 });
    expect(first?.views.from).toMatchObject({ bytesSent: 1_050, segmentsRetransmitted: 10, rttP50: expect.closeTo(1_000_000, -5), listener: null });
    expect(first?.views.to).toMatchObject({ bytesReceived: 1_049, zeroWindow: 2, rttP99: null, listener: { acceptDelayP99: 70_000, drops: 3 } });
    expect(topology.edges[3]?.loopback).toBe(true);
    expect(topology.meta).toMatchObject({ resolved: { addresses: 4, ambiguous: 1 }, truncated: null, rest: { edges: 0, bytes: 0 } });
    expect(topology.meta.coverage).toMatchObject({ hosts: 3, reporting: 3 });
  });

  it("finds the process behind a port, and lets several clients of a host share the server's view", async () => {
    const organisation = await makeFleet();
    const topology = await get<Topology>(organisation, `/topology?${range}&by=process`);
    expect(edgesOf(topology).slice(0, 2)).toEqual([
      ["nginx on web", "postgres on db", 1_200, "from+to"],
      ["nginx on web", "203.0.113.7", 400, "from"],
    ]);
    const cron = topology.edges.find((edge) => edge.from.endsWith("/cron"));
    expect(cron).toMatchObject({ port: "5432", bytes: 50, views: { to: { sharedBy: 2, bytesReceived: 1_049 } } });
    expect(edgesOf(topology)).toContainEqual(["psql on db", "postgres on db", 20, "from+to"]);
  });

  it("groups hosts by a tag", async () => {
    const topology = await get<Topology>(await makeFleet(), `/topology?${range}&by=tag.env`);
    expect(edgesOf(topology)).toEqual([
      ["prod", "prod", 1_270, "from+to"],
      ["prod", "203.0.113.7", 400, "from"],
      ["prod", "10.0.0.9", 300, "from"],
      ["(no value)", "(unknown address)", 7, "from"],
    ]);
  });

  it("shows the largest edges and sums the rest; reads far ends of the hosts that are asked for", async () => {
    const organisation = await makeFleet();
    const cut = await get<Topology>(organisation, `/topology?${range}&limit=2`);
    expect(cut.meta).toMatchObject({ truncated: { shown: 2, total: 5 }, rest: { edges: 3, bytes: 327, connections: 0 } });
    expect(edgesOf(await get<Topology>(organisation, `/topology?${range}&where=host:db%20process:postgres&limit=1`))).toEqual([
      ["web", "db", 1_248, "to"],
    ]);
    expect(edgesOf(await get<Topology>(organisation, `/topology?${range}&where=host:web&limit=1`))).toEqual([["web", "db", 1_250, "from+to"]]);
    expect(edgesOf(await get<Topology>(organisation, `/topology?${range}&sort=retransmits&limit=1`))[0]?.slice(0, 2)).toEqual(["web", "db"]);
    expect((await get<Topology>(organisation, `/topology?${range}&where=host:nobody`)).edges).toEqual([]);
  });

  it("knows nothing of another organisation's addresses and edges", async () => {
    await makeFleet();
    const stranger = await TestOrganisation.create(api);
    const host = await stranger.addHost("theirs");
    await stranger.store(getSignalOrThrow("tcp_connections"), [client(host, "curl", "10.0.0.2", "5432", { bytes_sent: 1 })]);
    const topology = await get<Topology>(stranger, `/topology?${range}`);
    expect(edgesOf(topology)).toEqual([["theirs", "10.0.0.2", 1, "from"]]);
    expect(topology.nodes[1]?.kind).toBe("external");
    for (const bad of ["by=peer", "by=tag.%27x", "limit=5000", "sort=x", "where=file:x", "where=bytes_sent%3E10", "from=now"])
      await get(stranger, `/topology?${bad}`, 422);
    expect((await requestWith(stranger, ["hosts:read"], "/topology")).status).toBe(403);
  });
});

describe("profiles", () => {
  const hour = Math.floor(t0 / 3_600_000) * 3_600_000;
  const name = (index: number) => index.toString(16).padStart(16, "0");
  const sample = (host: string, process: string, stack: string, samples: number, index = 0) => ({
    ...at(host, index),
    process,
    unit: "",
    stack,
    samples,
  });
  const frames = (host: string, stack: string, text: string) => ({ host, ts: hour, window_ms: 10_000, stack, frames: text, windows: 1 });

  async function makeProfiles() {
    const organisation = await TestOrganisation.create(api);
    const [one, two] = [await organisation.addHost("one"), await organisation.addHost("two")];
    for (const host of [one, two]) await cover(organisation, host, ["cpu_profile"], [0, 1, 2, 3, 4, 5]);
    await organisation.store(getSignalOrThrow("cpu_profile"), [
      sample(one, "nginx", name(1), 30),
      sample(two, "nginx", name(1), 15),
      sample(one, "nginx", name(2), 49),
      sample(two, "redis", name(3), 4),
      sample(two, "~other", "~other", 2),
      sample(one, "nginx", name(1), 98, 3),
    ]);
    // The first host's entry serves both; nobody sent the third stack's.
    await organisation.store(getSignalOrThrow("stack_frames"), [
      frames(one, name(1), "main [nginx];work [nginx]"),
      frames(one, name(2), "main [nginx];read [libc.so.6];vfs_read_[k]"),
    ]);
    await organisation.store(getSignalOrThrow("off_cpu"), [
      { ...at(one), process: "nginx", unit: "", stack: name(2), count: 3, blocked: 2_000_000_000 },
    ]);
    return organisation;
  }
  const window = `from=${t0}&to=${t0 + 10_000}`;
  const nodesOf = ({ tree }: ProfileAnswer) => {
    const paths: string[] = [];
    return tree.parents.map((parent, index) => {
      paths[index] =
        parent <= 0 ? (tree.names[tree.nameIndexes[index] as number] as string) : `${paths[parent]};${tree.names[tree.nameIndexes[index] as number]}`;
      return [paths[index], tree.self[index], tree.total[index]];
    });
  };

  it("are trees of named frames, in which what has no frames is shown and counted", async () => {
    const organisation = await makeProfiles();
    const answer = await get<ProfileAnswer>(organisation, `/profiles?${window}`);
    expect(nodesOf(answer)).toEqual([
      ["", 0, 100],
      ["nginx", 0, 94],
      ["nginx;main [nginx]", 0, 94],
      ["nginx;main [nginx];read [libc.so.6]", 0, 49],
      ["nginx;main [nginx];read [libc.so.6];vfs_read_[k]", 49, 49],
      ["nginx;main [nginx];work [nginx]", 45, 45],
      ["redis", 0, 4],
      ["redis;[unknown stack]", 4, 4],
      ["~other", 0, 2],
      ["~other;~other", 2, 2],
    ]);
    expect(answer.meta).toMatchObject({ unit: "samples", hz: 49, selection: { total: 100, stacks: 4, beyond: 0, unknown: { stacks: 1, value: 4 } } });
    expect(answer.meta.selection.seconds).toBeCloseTo(100 / 49);
    expect(answer.meta.selection.coverage).toMatchObject({ hosts: 2, reporting: 2 });

    const cut = await get<ProfileAnswer>(organisation, `/profiles?${window}&maxNodes=3&where=process:nginx%20host:one`);
    expect(nodesOf(cut).at(-1)).toEqual(["nginx;main [nginx];~other", 79, 79]);
    const opened = await get<ProfileAnswer>(organisation, `/profiles?${window}&focus=${encodeURIComponent("nginx;main [nginx]")}`);
    expect(nodesOf(opened)[0]).toEqual(["main [nginx]", 0, 94]);
    const waits = await get<ProfileAnswer>(organisation, `/profiles?${window}&signal=off_cpu&root=none`);
    expect(nodesOf(waits)[1]).toEqual(["main [nginx]", 0, 2_000_000_000]);
    expect(waits.meta.selection.seconds).toBe(2);
  });

  it("compare a selection with a baseline by shares", async () => {
    const organisation = await makeProfiles();
    const response = await organisation.request("/profiles", {
      body: { where: "process:nginx host:one", from: t0, to: t0 + 10_000, baseline: { from: t0 + 30_000, to: t0 + 40_000 } },
    });
    const answer = (await response.json()) as ProfileAnswer;
    expect([answer.meta.selection.total, answer.meta.baseline?.total]).toEqual([79, 98]);
    const at = nodesOf(answer).findIndex(([path]) => String(path).endsWith("vfs_read_[k]"));
    expect([answer.tree.total[at], answer.tree.baselineTotal?.[at], answer.tree.change?.[at]]).toEqual([49, 0, 49 / 79]);
    const bad = await organisation.request("/profiles", { body: { baseline: { from: "now", to: "never" } } });
    expect(((await bad.json()) as { errors: { pointer: string }[] }).errors[0]?.pointer).toBe("/baseline/to");
  });

  it("are given as collapsed text, pprof and speedscope", async () => {
    const organisation = await makeProfiles();
    const of = async (format: string, headers = {}) => organisation.request(`/profiles?${window}&where=process:nginx${format}`, { headers });
    const collapsed = "nginx;main [nginx];read [libc.so.6];vfs_read_[k] 49\nnginx;main [nginx];work [nginx] 45\n";
    expect(await (await of("&format=collapsed")).text()).toBe(collapsed);
    expect(await (await of("", { accept: "text/plain" })).text()).toBe(collapsed);
    const pprof = await of("&format=pprof");
    expect(pprof.headers.get("content-disposition")).toMatch(/^attachment; filename="cpu_profile-.*\.pb\.gz"$/);
    const decoded = Profile.decode(gunzipSync(Buffer.from(await pprof.arrayBuffer())));
    expect(decoded.sample.map((entry) => Number(entry.value[0]))).toEqual([49, 45]);
    expect(decoded.sample.map((entry) => Number(entry.value[1]))).toEqual([1_000_000_000, Math.round((45 / 49) * 1e9)]);
    const decodedToo = Profile.decode(gunzipSync(Buffer.from(await (await of("", { accept: "application/x-protobuf" })).arrayBuffer())));
    expect(decodedToo.sample.map((entry) => Number(entry.value[0]))).toEqual([49, 45]);
    expect(pprof.headers.get("content-type")).toBe("application/vnd.google.protobuf");
    expect(JSON.parse(pprof.headers.get("waggle-meta") ?? "")).toMatchObject({
      unit: "samples",
      selection: { total: 94, coverage: { reporting: 2 } },
    });
    expect((await of("", { accept: "application/vnd.speedscope+json" })).headers.get("content-type")).toMatch(/^application\/vnd\.speedscope\+json/);
    const speedscope = (await (await of("&format=speedscope")).json()) as { profiles: { weights: number[] }[] };
    expect(speedscope.profiles[0]?.weights).toEqual([1_000_000_000, Math.round((45 / 49) * 1e9)]);
  });

  it("are rows of nodes for whoever reads tables, and nothing for whoever reads neither", async () => {
    const organisation = await makeProfiles();
    const of = (accept: string, init: object = {}) =>
      organisation.request(`/profiles?${window}&where=process:redis`, { headers: { accept }, ...init });
    expect((await (await of("text/csv")).text()).split("\r\n")).toEqual([
      "node,parent,depth,frame,self,total,hidden",
      '0,,0,"",0,4,0',
      "1,0,1,redis,0,4,0",
      "2,1,2,[unknown stack],4,4,0",
      "",
    ]);
    const refused = await of("image/svg+xml");
    expect([refused.status, ((await refused.json()) as Problem).detail]).toEqual([406, expect.stringContaining("application/vnd.google.protobuf")]);
    const baseline = { from: t0 + 30_000, to: t0 + 40_000 };
    const body = { where: "process:nginx", from: t0, to: t0 + 10_000, baseline };
    const lines = (await (await organisation.request("/profiles", { body, headers: { accept: "application/x-ndjson" } })).text())
      .trimEnd()
      .split("\n");
    expect(JSON.parse(lines[1] ?? "")).toMatchObject({ frame: "", total: 94, baseline_total: 98, change: 0 });
    const file = await organisation.request("/profiles", { body: { ...body, baseline: undefined }, headers: { accept: "text/plain" } });
    expect((await file.text()).split("\n")).toHaveLength(3);
    const both = await organisation.request("/profiles", { body, headers: { accept: "text/plain" } });
    expect([both.status, ((await both.json()) as Problem).errors?.[0]?.pointer]).toEqual([422, "/baseline"]);
  });

  it("belong to one organisation", async () => {
    await makeProfiles();
    const stranger = await TestOrganisation.create(api);
    await stranger.addHost("theirs");
    expect(nodesOf(await get<ProfileAnswer>(stranger, `/profiles?${window}`))).toEqual([["", 0, 0]]);
    // A stack of the same name is not told by another organisation's dictionary.
    await stranger.store(getSignalOrThrow("cpu_profile"), [sample(await stranger.addHost("x"), "nginx", name(1), 1)]);
    expect(nodesOf(await get<ProfileAnswer>(stranger, `/profiles?${window}`)).at(-1)).toEqual(["nginx;[unknown stack]", 1, 1]);
    for (const bad of ["signal=tcp_rtt", "maxNodes=0", "maxNodes=1e3", "hz=0", "format=svg", "format=csv&format=pprof", "root=file", "where=peer:1"])
      await get(stranger, `/profiles?${bad}`, 422);
    expect((await requestWith(stranger, ["hosts:read"], "/profiles")).status).toBe(403);
    expect((await requestWith(stranger, ["hosts:read"], "/profiles", {})).status).toBe(403);
  });
});

describe("events", () => {
  const titles = ({ data }: EventPage) => data.map((event) => [event.kind, event.host?.name ?? null, event.title]);
  const tell = async (organisation: TestOrganisation, body: unknown, key?: string) =>
    organisation.request("/events", { body, headers: key === undefined ? {} : { "idempotency-key": key } });

  it("of hosts are noticed once: a new boot, another kernel or agent, however often it says Hello", async () => {
    const organisation = await TestOrganisation.create(api);
    const ingest = new TestIngest(api.app.get(IngestServer).port);
    const statuses = api.app.get(HostStatusService);
    const { hostId, credential } = await ingest.enrol(organisation.enrolmentToken, "web-1", "ab".repeat(32));
    const say = async (bootId: string, kernelRelease: string, agentVersion: string) => {
      const stream = ingest.open(credential);
      stream.hello({ bootId, facts: { ...facts("web-1"), kernelRelease, agentVersion } });
      await stream.next("config");
      await statuses.save();
      stream.cancel();
    };
    await say("boot-1", "6.1.0-test", "0.1.0");
    await say("boot-1", "6.1.0-test", "0.1.0");
    await say("boot-2", "6.12.0", "0.1.0");
    await say("boot-2", "6.12.0", "0.2.0");
    await Promise.all([say("boot-2", "6.12.0", "0.2.0"), say("boot-2", "6.12.0", "0.2.0")]);
    ingest.close();
    const page = await get<EventPage>(organisation, "/events?host=web-1");
    const noticed = titles(page).filter(([kind]) => kind !== "host.enrolled");
    expect(noticed[0]).toEqual(["agent.version", "web-1", "Agent: 0.2.0"]);
    expect(noticed.slice(1).sort()).toEqual([
      ["host.kernel", "web-1", "Kernel: 6.12.0"],
      ["host.reboot", "web-1", "Started anew, boot: boot-2"],
    ]);
    expect(page.data.find(({ kind }) => kind === "host.kernel")).toMatchObject({ details: { before: "6.1.0-test", after: "6.12.0" }, actor: null });
    expect(page.data.find(({ kind }) => kind === "host.enrolled")).toMatchObject({ host: { id: hostId, name: "web-1" } });
  });

  it("are one feed by time, of hosts, settings, OOM kills and what people tell, page by page without a gap or a double", async () => {
    const organisation = await TestOrganisation.create(api);
    const web = await organisation.addHost("web-1");
    await organisation.addHost("gone", { retiredAt: new Date(t0 - 600_000) });
    await organisation.store(getSignalOrThrow("oom_kills"), [
      { ...at(web), process: "java", unit: "app.service", count: 2 },
      { ...at(web), process: "node", unit: "", count: 1 },
    ]);
    await organisation.request("/hosts/web-1/settings", { method: "PATCH", body: { windowMs: 1_000 } });
    const deploy = { kind: "deploy", title: "checkout 4.2.1", at: t0, details: { version: "4.2.1" } };
    const created = await tell(organisation, deploy, "build-1");
    expect(created.status).toBe(201);
    const event = (await created.json()) as Event;
    expect(event).toMatchObject({
      kind: "deploy",
      at: new Date(t0).toISOString(),
      host: null,
      actor: { tokenName: "first" },
      details: { version: "4.2.1" },
    });
    await tell(organisation, { kind: "note", title: "looked at it", host: "web-1" });
    const all = await get<EventPage>(organisation, "/events");
    expect(titles(all).map(([kind]) => kind)).toEqual([
      "note",
      "settings",
      "oom.kill",
      "oom.kill",
      "deploy",
      "host.retired",
      "host.enrolled",
      "host.enrolled",
    ]);
    expect(all.data.find(({ kind }) => kind === "settings")).toMatchObject({ host: { name: "web-1" }, details: { windowMs: "1000" } });
    expect(
      all.data
        .filter(({ kind }) => kind === "oom.kill")
        .map(({ details }) => details["count"])
        .sort(),
    ).toEqual(["1", "2"]);

    for (const limit of [1, 3]) {
      const paged: Event[] = [];
      for (let cursor = ""; ; ) {
        const page = await get<EventPage>(organisation, `/events?limit=${limit}${cursor}`);
        paged.push(...page.data);
        expect(page.page.hasMore).toBe(page.page.next !== null);
        if (page.page.next === null) break;
        cursor = `&cursor=${page.page.next}`;
      }
      expect(paged).toEqual(all.data);
    }
    expect(titles(await get<EventPage>(organisation, "/events?kinds=deploy,note"))).toEqual([
      ["note", "web-1", "looked at it"],
      ["deploy", null, "checkout 4.2.1"],
    ]);
    expect(titles(await get<EventPage>(organisation, "/events?host=gone")).map(([kind]) => kind)).toEqual(["host.retired", "host.enrolled"]);
    expect(titles(await get<EventPage>(organisation, `/events?from=${t0}&to=${t0 + 1}&kinds=deploy`))).toHaveLength(1);
  });

  it("come as rows too, and say in the Link header where the next page is, whose cursor is good for nothing else", async () => {
    const [organisation, stranger] = [await TestOrganisation.create(api), await TestOrganisation.create(api)];
    for (const title of ["one", "two", "three"]) await tell(organisation, { kind: "note", title, at: t0 });
    const first = await organisation.request("/events?limit=1&kinds=deploy,note");
    const { page } = (await first.json()) as EventPage;
    const link = /^<\/api\/v1(.*)>; rel="next"$/.exec(first.headers.get("link") ?? "")?.[1] ?? "";
    expect(new URL(link, "http://x").searchParams.get("cursor")).toBe(page.next);
    expect((await get<EventPage>(organisation, link)).data).toHaveLength(1);
    // The same filter in another order is the same.
    await get(organisation, `/events?limit=2&kinds=note,deploy&cursor=${page.next}`);
    for (const [by, path] of [
      [stranger, `/events?kinds=deploy,note&cursor=${page.next}`],
      [organisation, `/events?kinds=note&cursor=${page.next}`],
      [organisation, `/events?cursor=${page.next}`],
      [organisation, `/events?kinds=deploy,note&from=now-2d&cursor=${page.next}`],
      [organisation, `/audit?cursor=${page.next}`],
      [organisation, `/events?kinds=deploy,note&cursor=${page.next?.slice(1)}`],
    ] as const)
      expect((await get<Problem>(by, path, 422)).errors?.map(({ pointer }) => pointer)).toEqual(["/cursor"]);
    const csv = await organisation.request("/events?limit=1&kinds=note", { headers: { accept: "text/csv" } });
    expect((await csv.text()).split("\r\n")[0]).toBe("id,at,kind,title,host.id,host.name,details,actor.tokenId,actor.tokenName");
    expect(JSON.parse(csv.headers.get("waggle-meta") ?? "")).toMatchObject({ page: { hasMore: true }, meta: { kinds: ["note"] } });
  });

  it("that are told twice under one key are one, and audited once", async () => {
    const organisation = await TestOrganisation.create(api);
    const body = { kind: "deploy", title: "api 7" };
    const [first, second] = await Promise.all([tell(organisation, body, "k"), tell(organisation, body, "k")]);
    expect([first.status, second.status].sort()).toEqual([200, 201]);
    expect(await first.json()).toEqual(await second.json());
    const conflict = await tell(organisation, { ...body, title: "api 8" }, "k");
    expect([conflict.status, ((await conflict.json()) as { code: string }).code]).toEqual([409, "IDEMPOTENCY_CONFLICT"]);
    const audit = await get<{ data: { action: string; after: object }[] }>(organisation, "/audit");
    expect(audit.data.map(({ action, after }) => [action, after])).toEqual([["event.create", expect.objectContaining({ title: "api 7" })]]);
    const theirs = await TestOrganisation.create(api);
    expect((await tell(theirs, { ...body, title: "other" }, "k")).status).toBe(201);
    expect(titles(await get<EventPage>(theirs, "/events"))).toEqual([["deploy", null, "other"]]);
  });

  it("refuse what cannot be stored or found, and tokens that may not", async () => {
    const [organisation, stranger] = [await TestOrganisation.create(api), await TestOrganisation.create(api)];
    await stranger.addHost("theirs");
    const good = { kind: "note", title: "x" };
    for (const bad of [
      {},
      { ...good, kind: "host.reboot" },
      { ...good, title: "" },
      { ...good, title: "a\u0000b" },
      { ...good, at: "now+1h" },
      { ...good, at: "soon" },
      { ...good, details: Object.fromEntries(Array.from({ length: 21 }, (_, index) => [`k${index}`, ""])) },
      { ...good, more: 1 },
    ])
      expect((await tell(organisation, bad)).status, JSON.stringify(bad)).toBe(422);
    expect((await tell(organisation, good, "x".repeat(129))).status).toBe(422);
    expect((await tell(organisation, { ...good, host: "theirs" })).status).toBe(404);
    for (const bad of ["kinds=reboot", "limit=0", "cursor=x", "cursor=WzEsMl0", "from=x", "x=1"]) await get(organisation, `/events?${bad}`, 422);
    await get(organisation, "/events?host=theirs", 404);
    expect((await requestWith(organisation, ["metrics:read"], "/events")).status).toBe(403);
    expect((await requestWith(organisation, ["hosts:read", "hosts:write"], "/events", good)).status).toBe(403);
    expect((await requestWith(organisation, ["events:write"], "/events", good)).status).toBe(201);
  });
});

describe("what explains a difference", () => {
  const explain = async (organisation: TestOrganisation, body: object, status = 200) => {
    const response = await organisation.request("/explain-difference", { body });
    const answer = (await response.json()) as Explanation & { detail?: string; errors?: { pointer: string }[] };
    expect(response.status, answer.detail).toBe(status);
    return answer;
  };
  const minute = { from: t0, to: t0 + 60_000 };

  /** 20 hosts; the first 6 have slow round trips to one peer, another kernel, and the tag `rack` = 7. */
  async function makeSlowHosts() {
    const organisation = await TestOrganisation.create(api);
    const rows: Record<string, unknown>[] = [];
    const facts: Record<string, unknown>[] = [];
    for (let index = 0; index < 20; index++) {
      const isSlow = index < 6;
      const host = await organisation.addHost(`web-${index}`, { tags: { rack: isSlow ? "7" : String(index % 3) } });
      await cover(organisation, host, ["tcp_rtt"]);
      const flow = { process: "nginx", unit: "", role: "client", peer_port: "443", port: "ephemeral" };
      rows.push({ ...at(host), ...flow, peer: "10.0.0.1", ...histogram([1_000_000, 1_000_000, 1_000_000]) });
      if (isSlow)
        rows.push({ ...at(host), ...flow, process: "pgbouncer", peer: "10.0.0.2", peer_port: "5432", ...histogram([90_000_000, 90_000_000]) });
      const fact = (name: string, value: string) => ({ ...at(host), fact: name, value, windows: 1 });
      facts.push(
        fact("kernel_release", isSlow || index === 19 ? "6.8.0-49" : "6.8.0-51"),
        fact("distribution", "Debian"),
        fact("address:eth0", `10.1.0.${index}`),
        fact("sysctl:vm.swappiness", index % 2 === 0 ? "60" : "10"),
      );
    }
    await organisation.store(getSignalOrThrow("tcp_rtt"), rows);
    await organisation.store(getSignalOrThrow("host_facts"), facts);
    return organisation;
  }

  it("is the facts that hosts above a threshold have and others have not, with exact counts, and the values that are slow", async () => {
    const organisation = await makeSlowHosts();
    const answer = await explain(organisation, { signal: "tcp_rtt", selection: minute, threshold: { value: 5_000_000 } });
    expect(answer.meta).toMatchObject({ measure: "rtt", aggregate: "p99", selection: { hosts: 6 }, baseline: { hosts: 14 }, notes: [] });
    expect(answer.facts.slice(0, 2)).toEqual([
      expect.objectContaining({
        fact: "tag.rack",
        value: "7",
        selection: { hosts: 6, of: 6 },
        others: { hosts: 0, of: 14 },
        lift: null,
        significant: true,
      }),
      expect.objectContaining({
        fact: "kernel_release",
        value: "6.8.0-49",
        selection: { hosts: 6, of: 6 },
        others: { hosts: 1, of: 14 },
        lift: 14,
        significant: true,
      }),
    ]);
    expect(answer.facts.map(({ fact }) => fact)).not.toContain("address:eth0");
    expect(answer.facts.some(({ fact, significant }) => fact === "sysctl:vm.swappiness" && significant)).toBe(false);
  });

  it("is the values whose part of the slow events grew, against the same hosts before", async () => {
    const organisation = await makeSlowHosts();
    const selection = { ...minute, where: "host:web-0,web-1,web-2,web-3,web-4,web-5" };
    const baseline = { ...minute, where: "-host:web-0,web-1,web-2,web-3,web-4,web-5" };
    const answer = await explain(organisation, { signal: "tcp_rtt", selection, baseline, aggregate: "p50" });
    expect(answer.meta.selection).toMatchObject({ total: 12, hosts: 6, hostSeconds: 60 });
    expect(answer.meta.baseline).toMatchObject({ total: 0, hosts: 14 });
    const process = answer.dimensions.find(({ dimension }) => dimension === "process");
    expect(process?.values[0]).toMatchObject({ value: "pgbouncer", selection: { amount: 12, share: 1 }, baseline: { amount: 0 }, contribution: 1 });
    const counted = await explain(organisation, { signal: "tcp_rtt", selection, baseline, aggregate: "count" });
    const peers = counted.dimensions.find(({ dimension }) => dimension === "peer");
    expect(peers?.values.map(({ value, selection: own, contribution }) => [value, own.amount, contribution])).toEqual([
      ["10.0.0.2", 12, expect.closeTo(1, 9)],
      ["10.0.0.1", 18, expect.closeTo(0, 9)],
    ]);
    expect(peers?.divergence).toBeGreaterThan(0.1);
  });

  it("says when there are too few hosts, or none that differ", async () => {
    const organisation = await makeSlowHosts();
    const small = await explain(organisation, {
      signal: "tcp_rtt",
      selection: { ...minute, where: "host:web-5,web-6" },
      threshold: { value: 5_000_000 },
    });
    expect(small.meta.notes.join(" ")).toContain("Too few hosts");
    expect(small.facts.every(({ significant }) => !significant)).toBe(true);
    const same = await explain(organisation, { signal: "tcp_rtt", selection: minute, baseline: { from: t0 - 60_000, to: t0 } });
    expect(same.meta.notes.join(" ")).toMatch(/too few|same hosts|Both sides|No host/i);
  });

  it("refuses what cannot be compared, and sees one organisation only", async () => {
    const organisation = await makeSlowHosts();
    const stranger = await TestOrganisation.create(api);
    await stranger.addHost("theirs");
    const empty = await explain(stranger, { signal: "tcp_rtt", selection: minute, threshold: { value: 1 } });
    expect([empty.meta.selection.total, empty.meta.baseline.total, empty.facts]).toEqual([0, 0, []]);
    const ask = (body: object) => explain(organisation, { signal: "tcp_rtt", selection: minute, threshold: { value: 1 }, ...body }, 422);
    await ask({ baseline: minute });
    await ask({ threshold: undefined });
    const pointers = async (body: object) => (await ask(body)).errors?.map(({ pointer }) => pointer);
    expect(await pointers({ signal: "nope" })).toEqual(["/signal"]);
    expect(await pointers({ measure: "nope" })).toEqual(["/measure"]);
    expect(await pointers({ aggregate: "heatmap" })).toEqual(["/aggregate"]);
    expect(await pointers({ aggregate: "rate" })).toEqual(["/aggregate"]);
    await ask({ aggregate: "max" });
    expect((await ask({ selection: { where: "proces:x" } })).errors?.[0]?.pointer).toBe("/selection/where");
    expect((await ask({ threshold: undefined, baseline: { from: "x", to: "now" } })).errors?.[0]?.pointer).toBe("/baseline/from");
    expect((await requestWith(organisation, ["hosts:read"], "/explain-difference", {})).status).toBe(403);
  });
});
