// SPDX-License-Identifier: Apache-2.0

import { getSignalOrThrow } from "@waggle/signals";
import { Ajv2020 } from "ajv/dist/2020.js";
import formats from "ajv-formats";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestEventSource } from "../../../test/event-source.ts";
import { startTestApi, type TestApi, TestOrganisation } from "../../../test/test-api.ts";
import { TOKEN_PLACEHOLDER } from "./examples.ts";

interface Operation {
  operationId: string;
  parameters?: { name: string; in: string; examples?: Record<string, { value: string | number }> }[];
  requestBody?: { content: Record<string, { examples?: Record<string, { value: unknown }> }> };
  responses: Record<string, { content?: Record<string, unknown> }>;
  "x-codeSamples"?: { label: string }[];
}
interface Document {
  openapi: string;
  paths: Record<string, Record<string, Operation>>;
  components: {
    schemas: Record<
      string,
      { properties?: Record<string, { type?: string; description?: string }>; required?: string[]; additionalProperties?: unknown }
    >;
  };
}

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api?.[Symbol.asyncDispose]());

describe("the OpenAPI document", () => {
  it("is served without a token and describes the schemas that check requests", async () => {
    const response = await fetch(`${api.url}/api/v1/openapi.json`);
    expect(response.status).toBe(200);
    const document = (await response.json()) as Document;
    expect(document.openapi).toBe("3.1.0");
    expect(document.components.schemas.Query).toMatchObject({ type: "object", required: ["signal", "select"], additionalProperties: false });
    expect(document.components.schemas.Query?.properties?.where?.description).toContain("key:value");
    expect(Object.keys(document.components.schemas)).toEqual(
      expect.arrayContaining(["Answer", "Coverage", "HeatmapSeries", "Host", "Problem", "Signal", "ValueSeries"]),
    );
    expect(document.paths["/query"]?.post?.responses).toHaveProperty("413");
  });

  it("names every route of the API, and no other", async () => {
    const document = (await (await fetch(`${api.url}/api/v1/openapi.json`)).json()) as Document;
    const described = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const served = routesOf(api.app.getHttpAdapter().getInstance().printRoutes({ commonPrefix: false }));
    expect(described.sort()).toEqual(served.sort());
  });
});

describe("every example of the document", () => {
  let organisation: TestOrganisation;
  let document: Document;
  let ajv: Ajv2020;
  beforeAll(async () => {
    organisation = await TestOrganisation.create(api);
    const ts = Math.floor(Date.now() / 10_000) * 10_000 - 30_000;
    const host = await organisation.addHost("web-1", { lastWindowEndAt: new Date(ts + 10_000) });
    const at = { host, ts, window_ms: 10_000 };
    await organisation.storeWindows([at]);
    const signals = ["tcp_rtt", "tcp_retransmits", "syscalls", "syscall_latency"];
    await organisation.store(
      getSignalOrThrow("agent_coverage"),
      signals.map((signal) => ({ ...at, signal, state: "exact", reason: "", windows: 1 })),
    );
    const row = { ...at, process: "nginx", unit: "" };
    const tcp = { ...row, role: "client", peer: "192.0.2.1", peer_port: "80", port: "ephemeral" };
    const histogram = { count: 3, sum: 6e6, min: 1e6, max: 3e6, k: [160, 165], c: [1, 2] };
    await organisation.store(getSignalOrThrow("tcp_retransmits"), [{ ...tcp, class: "fast", segments: 3 }]);
    await organisation.store(getSignalOrThrow("tcp_rtt"), [{ ...tcp, ...histogram }]);
    await organisation.store(getSignalOrThrow("syscall_latency"), [{ ...row, syscall: "read", ...histogram }]);
    document = (await (await fetch(`${api.url}/api/v1/openapi.json`)).json()) as Document;
    ajv = new Ajv2020({ strict: false, allErrors: true });
    formats.default(ajv);
    ajv.addSchema({ ...document, $id: "waggle" });
  });

  const operations = (): [path: string, method: string, operation: Operation][] =>
    Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]): [string, string, Operation] => [path, method, operation]),
    );

  /** What ajv says of a value against what the document says of an answer. */
  const problemsOf = (value: unknown, ...place: string[]): unknown => {
    const pointer = ["paths", ...place, "schema"]
      .map((part) => part.replaceAll("~", "~0").replaceAll("/", "~1").replaceAll("{", "%7B").replaceAll("}", "%7D"))
      .join("/");
    const validate = ajv.compile({ $ref: `waggle#/${pointer}` });
    return validate(value) ? [] : validate.errors?.map(({ instancePath, message }) => `${instancePath} ${message}`);
  };

  it("is there for each operation", () => {
    const without = operations().filter(([, , operation]) => (operation["x-codeSamples"] ?? []).length === 0);
    expect(without.map(([path, method]) => `${method} ${path}`)).toEqual([]);
  });

  it("works on a real API, whose answer is what the document says it is", async () => {
    const failures: string[] = [];
    for (const [path, method, operation] of operations()) {
      for (const { label } of operation["x-codeSamples"] ?? []) {
        let address = path;
        const query = new URLSearchParams();
        for (const parameter of operation.parameters ?? []) {
          const value = parameter.examples?.[label]?.value;
          if (value === undefined) continue;
          if (parameter.in === "path") address = address.replace(`{${parameter.name}}`, encodeURIComponent(value));
          else query.set(parameter.name, String(value));
        }
        if (query.size > 0) address += `?${query}`;
        const name = `${method} ${address} (${label})`;
        let wanted = Object.keys(operation.responses).find((status) => status.startsWith("2")) ?? "";
        const content = operation.responses[wanted]?.content ?? {};
        if (content["text/event-stream"] !== undefined) {
          const source = await TestEventSource.open(`${api.url}/api/v1${address}`, { authorization: `Bearer ${organisation.adminToken}` });
          for (const { data } of [await source.next("hello"), await source.next("window")]) {
            const problems = problemsOf(data, path, method, "responses", wanted, "content", "text/event-stream");
            if (JSON.stringify(problems) !== "[]") failures.push(`${name}: ${JSON.stringify(problems)}`);
          }
          source.close();
          continue;
        }
        const body = operation.requestBody?.content["application/json"]?.examples?.[label]?.value;
        const text = body === undefined ? undefined : JSON.parse(JSON.stringify(body).replaceAll(TOKEN_PLACEHOLDER, organisation.adminToken));
        const ask = () => organisation.request(address, { method: method.toUpperCase(), ...(text === undefined ? {} : { body: text }) });
        let response = await ask();
        // How full the store is, is known some seconds after the start.
        for (let tries = 0; response.status === 503 && tries < 40; tries++) {
          await new Promise((resolve) => setTimeout(resolve, 500));
          response = await ask();
        }
        const type = response.headers.get("content-type")?.split(";")[0] ?? "";
        const answer = response.status === 204 ? undefined : await response.text();
        if (response.ok && operation.responses[response.status] !== undefined) wanted = String(response.status);
        if (String(response.status) !== wanted) failures.push(`${name}: ${response.status} ${answer?.slice(0, 300)}`);
        else if (answer !== undefined && type.includes("json")) {
          const problems = problemsOf(JSON.parse(answer), path, method, "responses", wanted, "content", type);
          if (JSON.stringify(problems) !== "[]") failures.push(`${name}: ${JSON.stringify(problems).slice(0, 600)}`);
        }
      }
    }
    expect(failures).toEqual([]);
  });
});

/** `METHOD /path` below the prefix, out of the router's picture of itself: one `path (METHODS)` per line, indented by its parent. */
function routesOf(picture: string): string[] {
  const parents: string[] = [];
  return picture.split("\n").flatMap((line) => {
    const match = /^((?:[│ ] {3})*)[├└]── (.*?)(?: \(([A-Z, ]+)\))?$/u.exec(line);
    if (match === null) return [];
    const depth = (match[1] ?? "").length / 4;
    parents[depth] = match[2] ?? "";
    const path = parents.slice(0, depth + 1).join("");
    if (!path.startsWith("/api/v1/")) return [];
    const methods = (match[3] ?? "").split(", ").filter((method) => !["", "HEAD", "OPTIONS"].includes(method));
    return methods.map((method) => `${method} ${path.slice("/api/v1".length).replace(/:(\w+)/g, "{$1}")}`);
  });
}
