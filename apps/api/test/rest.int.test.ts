// SPDX-License-Identifier: Apache-2.0
import { connect } from "node:net";
import { getSignalOrThrow } from "@waggle/signals";
import { tableFromIPC } from "apache-arrow";
import { sql } from "drizzle-orm";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Problem, problemSchema } from "../src/common/problem.ts";
import type { HostList } from "../src/features/hosts/hosts.schemas.ts";
import { Database } from "../src/postgres/database.ts";
import { type HostileRequest, hostileRequests, INSIDE, type SweptDocument } from "./hostile-input.ts";
import { startTestApi, type TestApi, TestOrganisation } from "./test-api.ts";

/** What holds for the REST interface as a whole, whichever feature answers: formats, pages, headers, and what is said to bad input. */
let api: TestApi;
let organisation: TestOrganisation;
const windowMs = Math.floor(Date.now() / 10_000) * 10_000 - 60_000;
beforeAll(async () => {
  api = await startTestApi({ WAGGLE_API_LIMIT_REQUESTS_PER_MINUTE: "5000" });
  organisation = await TestOrganisation.create(api);
  const host = await organisation.addHost("web-1", { lastWindowEndAt: new Date(windowMs + 10_000) });
  const at = { host, ts: windowMs, window_ms: 10_000 };
  await organisation.storeWindows([at]);
  await organisation.store(getSignalOrThrow("agent_coverage"), [
    { ...at, signal: "tcp_retransmits", state: "exact", reason: "", windows: 1 },
    { ...at, signal: "tcp_rtt", state: "exact", reason: "", windows: 1 },
  ]);
  const row = { ...at, unit: "", role: "client", peer: "192.0.2.1", peer_port: "443", port: "ephemeral" };
  await organisation.store(getSignalOrThrow("tcp_retransmits"), [
    { ...row, process: "=cmd|' /C calc'!A0", class: "fast", segments: 7 },
    { ...row, process: "nginx", class: "fast", segments: 3 },
  ]);
});
afterAll(() => api?.[Symbol.asyncDispose]());

const question = {
  signal: "tcp_retransmits",
  select: [{ measure: "segments", aggregate: "sum" }],
  by: ["process"],
  from: windowMs,
  to: windowMs + 20_000,
  points: 2,
};
const ask = (accept: string, body: unknown = question) => organisation.request("/query", { body, headers: { accept } });

describe("an answer", () => {
  it("comes as CSV that runs nothing in a spreadsheet, with what it says of itself in a header", async () => {
    const response = await ask("text/csv");
    expect(response.headers.get("content-type")).toBe("text/csv; charset=utf-8; header=present");
    expect((await response.text()).split("\r\n")).toEqual([
      "time,process,segments_sum,coverage",
      `${new Date(windowMs).toISOString()},'=cmd|' /C calc'!A0,7,1`,
      `${new Date(windowMs + 10_000).toISOString()},'=cmd|' /C calc'!A0,,0`,
      `${new Date(windowMs).toISOString()},nginx,3,1`,
      `${new Date(windowMs + 10_000).toISOString()},nginx,,0`,
      "",
    ]);
    expect(JSON.parse(response.headers.get("waggle-meta") ?? "")).toMatchObject({ signal: "tcp_retransmits", coverage: { hosts: 1, reporting: 1 } });
  });

  it("comes as NDJSON that begins with its meta, and as Arrow whose schema has it", async () => {
    const lines = (await (await ask("application/x-ndjson")).text()).trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([
      { meta: { coverage: { steps: [1, 0] } } },
      { segments_sum: 7 },
      {},
      {},
      {},
    ]);
    const response = await ask("application/vnd.apache.arrow.stream");
    expect(response.headers.get("content-type")).toBe("application/vnd.apache.arrow.stream");
    const table = tableFromIPC(new Uint8Array(await response.arrayBuffer()));
    expect(table.getChild("segments_sum")?.toJSON()).toEqual([7, null, 3, null]);
    expect(JSON.parse(table.schema.metadata.get("waggle.meta") ?? "")).toMatchObject({ coverage: { hosts: 1, steps: [1, 0] } });
  });

  it("has nothing for a client that reads none of the formats, and says which there are", async () => {
    const response = await ask("application/pdf");
    const problem = problemSchema.parse(await response.json());
    expect([response.status, problem.code]).toEqual([406, "NOT_ACCEPTABLE"]);
    expect(problem.detail).toContain("application/vnd.apache.arrow.stream");
    expect(response.headers.get("content-type")).toContain("application/problem+json");
  });

  it("is a problem document whatever format was asked for", async () => {
    const response = await ask("text/csv", { ...question, signal: "tcp_retransmit" });
    expect([response.status, response.headers.get("content-type")]).toEqual([422, "application/problem+json; charset=utf-8"]);
  });

  it("may be kept by its reader for a step, and by nobody else", async () => {
    expect((await ask("application/json")).headers.get("cache-control")).toBe("private, max-age=10");
    expect((await ask("application/json")).headers.get("vary")).toContain("authorization");
  });

  it("is compressed where that is worth it", async () => {
    const { port } = new URL(api.url);
    const read = (path: string) =>
      rawRequest(
        Number(port),
        `GET /api/v1${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${organisation.adminToken}\r\naccept-encoding: gzip\r\nconnection: close\r\n\r\n`,
      );
    expect(await read("/signals")).toMatch(/^content-encoding: gzip\r$/m);
    expect(await read("/session")).not.toMatch(/^content-encoding/m);
  });
});

describe("a list", () => {
  it("comes page by page, each host once, in either order, with Link and total", async () => {
    const fleet = await TestOrganisation.create(api);
    const names = Array.from({ length: 25 }, (_, index) => `h-${String(index).padStart(2, "0")}`);
    await fleet.addHosts(names);
    for (const [sort, wanted] of [
      ["name", names],
      ["-name", names.toReversed()],
    ] as const) {
      const seen: string[] = [];
      let path: string | undefined = `/hosts?limit=10&sort=${sort}&q=H-`;
      for (let pages = 0; path !== undefined; pages++) {
        expect(pages).toBeLessThan(3);
        const response: Response = await fleet.request(path);
        const list = (await response.json()) as HostList;
        expect(list.page.total).toBe(25);
        seen.push(...list.data.map(({ name }) => name));
        path = /^<\/api\/v1(.*)>; rel="next"$/.exec(response.headers.get("link") ?? "")?.[1];
        expect(list.page.hasMore).toBe(path !== undefined);
      }
      expect(seen).toEqual(wanted);
    }
  });

  it("sorts by when hosts were last seen, those never seen among them", async () => {
    const fleet = await TestOrganisation.create(api);
    for (const [name, ms] of [
      ["a", 3_000],
      ["b", 1_000],
      ["c", 2_000],
    ] as const)
      await fleet.addHost(name, { lastWindowEndAt: new Date(windowMs + ms) });
    await fleet.addHost("never");
    const names: string[] = [];
    for (let cursor = ""; ; ) {
      const { data, page } = (await (await fleet.request(`/hosts?limit=1&sort=-lastSeenAt${cursor}`)).json()) as HostList;
      names.push(...data.map(({ name }) => name));
      if (page.next === null) break;
      cursor = `&cursor=${page.next}`;
    }
    expect(names).toEqual(["a", "c", "b", "never"]);
  });

  it("finds names by what they contain, wildcards taken literally", async () => {
    const fleet = await TestOrganisation.create(api);
    await fleet.addHosts(["a%b", "a_b", "acb"]);
    const find = async (q: string) =>
      ((await (await fleet.request(`/hosts?q=${encodeURIComponent(q)}`)).json()) as HostList).data.map(({ name }) => name);
    expect([await find("a%b"), await find("a_b"), await find("B")]).toEqual([["a%b"], ["a_b"], ["a%b", "a_b", "acb"]]);
  });

  it("comes as CSV with a column per field", async () => {
    const response = await organisation.request("/hosts", { headers: { accept: "text/csv" } });
    const [head, row] = (await response.text()).split("\r\n");
    expect(head).toMatch(/^id,name,simulated,state,.*agent\.rssBytes/);
    expect(row).toContain(",web-1,false,");
    expect(JSON.parse(response.headers.get("waggle-meta") ?? "")).toEqual({ page: { next: null, hasMore: false, total: 1 } });
  });

  it("takes no cursor of another organisation, list, order or making", async () => {
    const fleet = await TestOrganisation.create(api);
    await fleet.addHosts(["a", "b", "c"]);
    const { page } = (await (await fleet.request("/hosts?limit=1")).json()) as HostList;
    const refused = async (by: TestOrganisation, path: string): Promise<[number, string | undefined]> => {
      const response = await by.request(path);
      return [response.status, ((await response.json()) as Problem).errors?.[0]?.pointer];
    };
    for (const [by, path] of [
      [organisation, `/hosts?cursor=${page.next}`],
      [fleet, `/hosts?sort=-name&cursor=${page.next}`],
      [fleet, `/audit?cursor=${page.next}`],
      [fleet, `/ingest/ledger?cursor=${page.next}`],
      [fleet, `/hosts?cursor=${page.next?.slice(0, -1)}`],
      [fleet, "/hosts?cursor=MTIz.AAAA"],
    ] as const)
      expect(await refused(by, path)).toEqual([422, "/cursor"]);
  });
});

describe("rate limits", () => {
  it("are said in every answer, and for queries the rows they may still read", async () => {
    const one = await organisation.request("/session");
    expect(one.headers.get("ratelimit-policy")).toBe('"requests";q=5000;w=60');
    expect(one.headers.get("ratelimit")).toMatch(/^"requests";r=\d+;t=\d+$/);
    const query = await ask("application/json");
    expect(query.headers.get("ratelimit-policy")).toBe('"requests";q=5000;w=60, "query-rows";q=20000000000;w=60;qu="rows"');
    expect(query.headers.get("ratelimit")).toMatch(/^"requests";r=\d+;t=\d+, "query-rows";r=\d+;t=\d+$/);
  });

  it("end in 429 with the time to wait for one token, not for another", async () => {
    const [busy, calm] = [await TestOrganisation.create(api), await TestOrganisation.create(api)];
    const config = api.config as { requestsPerMinuteMax: number };
    const before = config.requestsPerMinuteMax;
    config.requestsPerMinuteMax = 30;
    let refused: Response | undefined;
    try {
      for (let sent = 0; refused === undefined && sent < 200; sent++) {
        const response = await busy.request("/session");
        if (response.status === 429) refused = response;
      }
    } finally {
      config.requestsPerMinuteMax = before;
    }
    expect(problemSchema.parse(await refused?.json())).toMatchObject({ code: "RATE_LIMITED", retryable: true });
    expect(Number(refused?.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
    expect(refused?.headers.get("ratelimit")).toMatch(/^"requests";r=0;t=\d+$/);
    expect((await calm.request("/session")).status).toBe(200);
  });
});

describe("bad input", () => {
  const json = { "content-type": "application/json" };
  const post = (body: string, headers: Record<string, string> = json): RequestInit => ({ method: "POST", body, headers });
  const queryWith = (changes: object): RequestInit => post(JSON.stringify({ ...question, ...changes }));
  const nested = (depth: number): string => `${"[".repeat(depth)}${"]".repeat(depth)}`;
  const statement = "'; DROP TABLE hosts; SELECT * FROM tcp_rtt WHERE tenant != '' --";
  const cases: readonly [what: string, path: string, init: RequestInit, status: number, code: string][] = [
    ["a body of a megabyte", "/query", post(JSON.stringify({ ...question, where: "x".repeat(1_000_000) })), 413, "PAYLOAD_TOO_LARGE"],
    ["a filter of 60 kB", "/query", queryWith({ where: `process:${"x".repeat(60_000)}` }), 422, "VALIDATION_FAILED"],
    ["no JSON", "/query", post("{"), 422, "VALIDATION_FAILED"],
    ["an empty body", "/query", post(""), 422, "VALIDATION_FAILED"],
    ["deep nesting", "/query", post(nested(20_000)), 422, "VALIDATION_FAILED"],
    ["a deep field", "/query", post(`{"signal":"tcp_rtt","select":${nested(20_000)}}`), 422, "VALIDATION_FAILED"],
    ["a prototype", "/query", post('{"__proto__":{"signal":"tcp_rtt"}}'), 422, "VALIDATION_FAILED"],
    ["a form", "/query", post("signal=tcp_rtt", { "content-type": "application/x-www-form-urlencoded" }), 422, "VALIDATION_FAILED"],
    ["plain text", "/query", post("{}", { "content-type": "text/plain" }), 422, "VALIDATION_FAILED"],
    ["a compressed body", "/query", post("{}", { ...json, "content-encoding": "gzip" }), 422, "VALIDATION_FAILED"],
    ["an array for an object", "/query", post("[]"), 422, "VALIDATION_FAILED"],
    ["an unknown signal", "/query", queryWith({ signal: "tcp_rtz" }), 422, "SIGNAL_NOT_FOUND"],
    ["control characters in a name", "/query", queryWith({ signal: "tcp_rtt\u0000\u001b[2J" }), 422, "SIGNAL_NOT_FOUND"],
    ["SQL for a signal", "/query", queryWith({ signal: statement.slice(0, 64) }), 422, "SIGNAL_NOT_FOUND"],
    ["SQL for a measure", "/query", queryWith({ select: [{ measure: statement.slice(0, 64), aggregate: "sum" }] }), 422, "VALIDATION_FAILED"],
    ["SQL for a dimension", "/query", queryWith({ by: [statement.slice(0, 64)] }), 422, "VALIDATION_FAILED"],
    ["SQL for a time", "/query", queryWith({ from: statement.slice(0, 64) }), 422, "VALIDATION_FAILED"],
    ["a range of an age", "/query", queryWith({ from: "1000-01-01T00:00:00Z" }), 422, "VALIDATION_FAILED"],
    ["the year 0", "/syscalls?from=0000-01-01T00:00:00Z", {}, 422, "VALIDATION_FAILED"],
    ["the year 300000", "/query", queryWith({ to: "+300000-01-01T00:00:00Z" }), 422, "VALIDATION_FAILED"],
    ["a range that ends before it begins", "/query", queryWith({ from: windowMs, to: windowMs - 1 }), 422, "VALIDATION_FAILED"],
    ["a range to come", "/query", queryWith({ from: "now+1d", to: "now+2d" }), 422, "VALIDATION_FAILED"],
    ["a time beyond numbers", "/query", post(JSON.stringify(question).replace(String(windowMs), "1e308")), 422, "VALIDATION_FAILED"],
    ["a time that is no number", "/latency?from=NaN", {}, 422, "VALIDATION_FAILED"],
    ["a time that is a list", "/query", queryWith({ from: ["now-1h"] }), 422, "VALIDATION_FAILED"],
    ["an endless distance", "/latency?from=now-999999999w", {}, 422, "VALIDATION_FAILED"],
    ["a step of nothing", "/latency?step=0s", {}, 422, "VALIDATION_FAILED"],
    ["an endless step", "/latency?step=999999w", {}, 422, "VALIDATION_FAILED"],
    ["thousands of parentheses", "/query", queryWith({ where: "(".repeat(10_000) }), 422, "VALIDATION_FAILED"],
    ["parentheses that fit", "/query", queryWith({ where: `${"(".repeat(900)}process:x${")".repeat(900)}` }), 422, "VALIDATION_FAILED"],
    ["control characters in a filter", "/query", queryWith({ where: 'process:"a\u001b[2Jb"' }), 422, "VALIDATION_FAILED"],
    ["half a character", "/query", queryWith({ where: "process:\ud800" }), 422, "VALIDATION_FAILED"],
    ["SQL for a filter", "/query", queryWith({ where: statement }), 422, "VALIDATION_FAILED"],
    ["SQL for an earlier window", "/query", queryWith({ compare: statement.slice(0, 16) }), 422, "VALIDATION_FAILED"],
    ["SQL for a step", "/query", queryWith({ points: undefined, step: statement.slice(0, 16) }), 422, "VALIDATION_FAILED"],
    ["SQL for an order", `/processes?sort=${encodeURIComponent(statement)}`, {}, 422, "VALIDATION_FAILED"],
    ["SQL for nodes", `/topology?by=${encodeURIComponent(`tag.${statement}`)}`, {}, 422, "VALIDATION_FAILED"],
    ["SQL for a profile", `/profiles?root=${encodeURIComponent(statement)}`, {}, 422, "VALIDATION_FAILED"],
    ["SQL for a dimension's name", `/dimensions/${encodeURIComponent(statement)}/values`, {}, 404, "DIMENSION_NOT_FOUND"],
    ["SQL for kinds of events", `/events?kinds=${encodeURIComponent(statement)}`, {}, 422, "VALIDATION_FAILED"],
    ["a name that every object has", "/query", queryWith({ by: ["constructor"] }), 422, "VALIDATION_FAILED"],
    ["a filter on what every object has", "/query", queryWith({ where: "__proto__:x toString>1" }), 422, "VALIDATION_FAILED"],
    ["a signal that every object has", "/query", queryWith({ signal: "__proto__" }), 422, "SIGNAL_NOT_FOUND"],
    ["an aggregate that every object has", "/latency?aggregate=valueOf", {}, 422, "VALIDATION_FAILED"],
    ["a dimension that every object has", "/dimensions/__proto__/values", {}, 404, "DIMENSION_NOT_FOUND"],
    ["a parameter that every object has", "/latency?__proto__=x", {}, 422, "VALIDATION_FAILED"],
    ["another parameter that every object has", "/events?constructor[prototype][a]=x", {}, 422, "VALIDATION_FAILED"],
    ["a parameter twice", "/latency?points=1&points=2", {}, 422, "VALIDATION_FAILED"],
    ["a parameter a thousand times", `/topology?${"limit=1&".repeat(1_000)}`, {}, 422, "VALIDATION_FAILED"],
    ["a signal that is a list", "/query", queryWith({ signal: ["tcp_rtt"] }), 422, "VALIDATION_FAILED"],
    ["selections that are an object", "/query", queryWith({ select: { 0: question.select[0] } }), 422, "VALIDATION_FAILED"],
    ["a limit that is a text", "/query", queryWith({ limit: "5" }), 422, "VALIDATION_FAILED"],
    ["a limit beyond numbers", "/query", post(JSON.stringify(question).replace('"points":2', '"limit":1e400')), 422, "VALIDATION_FAILED"],
    [
      "thousands of fields",
      "/query",
      queryWith(Object.fromEntries(Array.from({ length: 3_000 }, (_, at) => [`f${at}`, at]))),
      422,
      "VALIDATION_FAILED",
    ],
    ["a field with an endless name", "/query", queryWith({ ["x".repeat(50_000)]: 1 }), 422, "VALIDATION_FAILED"],
    [
      "a threshold that is none",
      "/explain-difference",
      post('{"signal":"tcp_rtt","selection":{},"threshold":{"value":"1"}}'),
      422,
      "VALIDATION_FAILED",
    ],
    ["a profile of everything", "/profiles?maxNodes=999999", {}, 422, "VALIDATION_FAILED"],
    ["a format that a profile has not", "/profiles", { headers: { accept: "image/svg+xml" } }, 406, "NOT_ACCEPTABLE"],
    ["a format that events have not", "/events", { headers: { accept: "text/html" } }, 406, "NOT_ACCEPTABLE"],
    ["a format that a topology has not", "/topology", { headers: { accept: "application/json;q=0" } }, 406, "NOT_ACCEPTABLE"],
    ["an address of 10 kB", `/${"x".repeat(10_000)}`, {}, 404, "NOT_FOUND"],
    ["an empty host", "/hosts/", {}, 404, "NOT_FOUND"],
    ["a host with an endless name", `/hosts/${"x".repeat(1_000)}`, {}, 404, "HOST_NOT_FOUND"],
    [
      "an old tag",
      "/hosts/web-1",
      { method: "PATCH", body: '{"tags":{"a":"b"}}', headers: { ...json, "if-match": '"0"' } },
      412,
      "PRECONDITION_FAILED",
    ],
    ["a tag that is no name", "/hosts/web-1", { method: "PATCH", body: '{"tags":{"constructor ":"b"}}', headers: json }, 422, "VALIDATION_FAILED"],
    ["an event with half a character", "/events", post('{"kind":"note","title":"a\\ud800b"}'), 422, "VALIDATION_FAILED"],
    ["an event with a control character", "/events", post('{"kind":"note","title":"a\\u0007b"}'), 422, "VALIDATION_FAILED"],
    ["too many points", "/query", queryWith({ points: 1e9 }), 422, "VALIDATION_FAILED"],
    ["a host that is SQL", `/hosts/${encodeURIComponent(statement)}`, {}, 404, "HOST_NOT_FOUND"],
    ["a host with a NUL", "/hosts/a%00b", {}, 422, "VALIDATION_FAILED"],
    ["a search with a NUL", "/hosts?q=a%00b", {}, 422, "VALIDATION_FAILED"],
    ["a torn escape", "/hosts/%E0%A4%A", {}, 422, "VALIDATION_FAILED"],
    ["an unknown parameter", "/hosts?order=name", {}, 422, "VALIDATION_FAILED"],
    ["a list of orders", "/hosts?sort=name&sort=-name", {}, 422, "VALIDATION_FAILED"],
    ["too large a page", "/hosts?limit=1001", {}, 422, "VALIDATION_FAILED"],
    ["a page that is no number", "/audit?limit=1e3", {}, 422, "VALIDATION_FAILED"],
    ["a malformed cursor", "/hosts?cursor=%00", {}, 422, "VALIDATION_FAILED"],
    ["an endless cursor", `/hosts?cursor=${"A".repeat(5_000)}`, {}, 422, "VALIDATION_FAILED"],
    ["an unknown address", "/hostz", {}, 404, "NOT_FOUND"],
    ["a method that is not there", "/hosts", { method: "DELETE" }, 405, "METHOD_NOT_ALLOWED"],
    ["a method that is not there, and no body", "/query", { method: "PUT" }, 405, "METHOD_NOT_ALLOWED"],
    ["an unknown address with a method that others take", "/hostz", { method: "PATCH" }, 404, "NOT_FOUND"],
    [
      "a preflight of another origin",
      "/query",
      { method: "OPTIONS", headers: { origin: "https://evil.example", "access-control-request-method": "POST" } },
      405,
      "METHOD_NOT_ALLOWED",
    ],
  ];

  it.each(cases)("%s is refused in words", async (_, path, init, status, code) => {
    const headers = { authorization: `Bearer ${organisation.adminToken}`, ...(init.headers as Record<string, string> | undefined) };
    const response = await fetch(`${api.url}/api/v1${path}`, { ...init, headers });
    const text = await response.text();
    expect([response.status, response.headers.get("content-type")]).toEqual([status, "application/problem+json; charset=utf-8"]);
    const problem = problemSchema.parse(JSON.parse(text));
    expect(problem.code).toBe(code);
    expect(response.headers.get("x-request-id")).toBe(problem.requestId);
    // Short, and nothing of how it works inside.
    expect(text.length).toBeLessThan(4_000);
    expect(text).not.toMatch(INSIDE);
    expect(response.headers.get("access-control-allow-origin")).toBeNull();
  });

  it("is no merge patch that is called by its name", async () => {
    const headers = { authorization: `Bearer ${organisation.adminToken}`, "content-type": "application/merge-patch+json" };
    const patch = async (body: string): Promise<number> => (await fetch(`${api.url}/api/v1/settings`, { method: "PATCH", headers, body })).status;
    expect(await patch('{"cpuBudgetCores":null}')).toBe(200);
    expect(await patch('{"__proto__":{"cpuBudgetCores":1}}')).toBe(422);
    expect(await patch("{")).toBe(422);
  });

  it("names the methods that an address does take", async () => {
    const headers = { authorization: `Bearer ${organisation.adminToken}` };
    const allowed = async (method: string, path: string): Promise<string | null> =>
      (await fetch(`${api.url}/api/v1${path}`, { method, headers })).headers.get("allow");
    expect(await allowed("DELETE", "/hosts/web-1?x=1")).toBe("GET, HEAD, PATCH");
    expect(await allowed("GET", "/query")).toBe("POST");
    expect(await allowed("PROPFIND", "/events")).toBe("GET, HEAD, POST");
    expect(await allowed("PUT", "/hostz")).toBeNull();
  });

  it("in any parameter or field of any operation is answered or refused in words, and breaks nothing", async () => {
    const fleet = await TestOrganisation.create(api);
    await fleet.addHost("web-1");
    const all = hostileRequests((await (await fetch(`${api.url}/api/v1/openapi.json`)).json()) as SweptDocument);
    // A fifth: each parameter and field still meets some of it, and all of it meets some of them.
    const requests = all.filter((_, index) => index % 5 === 0);
    expect(requests.length).toBeGreaterThan(300);
    const failures: string[] = [];
    const check = async ({ what, path, method, body, responses }: HostileRequest): Promise<void> => {
      const headers = { authorization: `Bearer ${fleet.adminToken}`, ...(body === undefined ? {} : json) };
      const response = await fetch(`${api.url}/api/v1${path}`, { method, headers, ...(body === undefined ? {} : { body }) });
      const type = response.headers.get("content-type");
      if (type?.startsWith("text/event-stream")) return response.body?.cancel();
      const text = await response.text();
      const isWell =
        response.status < 400
          ? type !== "application/problem+json; charset=utf-8"
          : response.status < 500 && !INSIDE.test(text) && text.length < 8_000 && problemSchema.safeParse(JSON.parse(text)).success;
      // The document names each status that may come, and with each the codes.
      const said = responses[response.status]?.description;
      const isSaid = said !== undefined && (response.status < 400 || said.includes((JSON.parse(text) as Problem).code));
      if (!isWell || !isSaid) failures.push(`${what}: ${response.status} ${text.slice(0, 200)}`);
    };
    // A few at a time, as a client would that means it.
    const askAll = async (): Promise<void> => {
      for (let next = requests.pop(); next !== undefined; next = requests.pop()) await check(next);
    };
    await Promise.all(Array.from({ length: 8 }, askAll));
    expect(failures).toEqual([]);
  }, 120_000);

  it("that is no HTTP is answered in words as well", async () => {
    const { port } = new URL(api.url);
    const ask = async (text: string) => {
      const [head = "", body = ""] = (await rawRequest(Number(port), text)).split("\r\n\r\n");
      expect(head.toLowerCase()).toContain("content-type: application/problem+json");
      const problem = problemSchema.parse(JSON.parse(body));
      expect(head).toContain(`HTTP/1.1 ${problem.status} `);
      return problem.code;
    };
    expect(await ask("nonsense\r\n\r\n")).toBe("MALFORMED_REQUEST");
    expect(await ask("GET /api/v1/hosts HTTP/1.1\r\nconnection: close\r\n\r\n")).toBe("MALFORMED_REQUEST");
    expect(await ask("CONNECT elsewhere:443 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).toBe("MALFORMED_REQUEST");
    expect(await ask("GET /api/v1/hosts HTTP/1.1\r\nhost: x\r\nexpect: 200-maybe\r\nconnection: close\r\n\r\n")).toBe("UNAUTHENTICATED");
    expect(await ask(`GET /api/v1/hosts HTTP/1.1\r\nhost: x\r\nx: ${"y".repeat(40_000)}\r\n\r\n`)).toBe("HEADERS_TOO_LARGE");
    expect(await ask(`GET /api/v1/latency?where=${"y".repeat(1_000_000)} HTTP/1.1\r\nhost: x\r\n\r\n`)).toBe("HEADERS_TOO_LARGE");
  });

  it("from a client that leaves at once ends nothing", async () => {
    const { port } = new URL(api.url);
    for (const text of ["CONNECT elsewhere:443 HTTP/1.1\r\nhost: x\r\n\r\n", "nonsense\r\n\r\n", "GET /api/v1/hosts HTTP/1.1\r\n"]) {
      await new Promise<void>((resolve) => {
        const socket = connect(Number(port), "127.0.0.1", () =>
          socket.write(text, () => {
            socket.resetAndDestroy();
            resolve();
          }),
        );
      });
      expect((await organisation.request("/session")).status).toBe(200);
    }
  });

  it("says what to write instead, where that can be told", async () => {
    const problem = async (path: string) => (await (await organisation.request(path)).json()) as Problem;
    expect((await problem("/latency?points=1&points=2")).errors).toMatchObject([
      { pointer: "/points", detail: "This must be a string, and is a list; in an address, write it once." },
    ]);
    expect((await problem("/latency?wher=x")).errors).toMatchObject([{ pointer: "/wher", suggestion: "where" }]);
    expect((await problem("/processes?sort=cpuu")).errors).toMatchObject([{ pointer: "/sort", suggestion: "cpu" }]);
    const body = await (await organisation.request("/query", { body: { ...question, from: {} } })).json();
    expect((body as Problem).errors).toMatchObject([{ pointer: "/from", detail: expect.stringContaining("now-15m") }]);
  });

  it("leaves everything as it was", async () => {
    expect(((await (await organisation.request("/hosts")).json()) as HostList).data.map(({ name }) => name)).toEqual(["web-1"]);
  });

  it("tells nobody whether a token is made up, foreign in kind, revoked or expired", async () => {
    const { db } = api.app.get(Database);
    const [revoked, expired] = [await TestOrganisation.create(api), await TestOrganisation.create(api)];
    await db.execute(sql`UPDATE api_tokens SET revoked_at = now() WHERE organisation_id = ${revoked.id}`);
    await db.execute(sql`UPDATE api_tokens SET expires_at = now() - interval '1 second' WHERE organisation_id = ${expired.id}`);
    const madeUp = organisation.adminToken.replace(/.$/, (last) => (last === "a" ? "b" : "a"));
    const problems = await Promise.all(
      [madeUp, organisation.enrolmentToken, revoked.adminToken, expired.adminToken].map(async (token) => {
        const response = await fetch(`${api.url}/api/v1/hosts`, { headers: { authorization: `Bearer ${token}` } });
        const { code, detail } = (await response.json()) as Problem;
        return [response.status, code, detail];
      }),
    );
    expect(new Set(problems.map((problem) => JSON.stringify(problem))).size).toBe(1);
    expect(problems[0]?.slice(0, 2)).toEqual([401, "UNAUTHENTICATED"]);
    for (const header of ["Basic YTpi", "Bearer", `Bearer ${"x".repeat(5_000)}`])
      expect((await fetch(`${api.url}/api/v1/hosts`, { headers: { authorization: header } })).status).toBe(401);
  });

  it("keeps a caller's request id and takes a trace's, unless they could break a line", async () => {
    const id = async (headers: Record<string, string>) => (await organisation.request("/session", { headers })).headers.get("x-request-id");
    expect(await id({ "x-request-id": "deploy-42", traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" })).toBe("deploy-42");
    expect(await id({ "x-request-id": "a b", traceparent: "nonsense" })).toMatch(/^[0-9a-f-]{36}$/);
  });
});

/** What a server answers to these bytes, up to the end of the connection. */
function rawRequest(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(text));
    const chunks: Buffer[] = [];
    socket.on("data", (chunk) => chunks.push(chunk));
    socket.on("end", () => resolve(Buffer.concat(chunks).toString("latin1")));
    socket.on("error", reject);
  });
}
