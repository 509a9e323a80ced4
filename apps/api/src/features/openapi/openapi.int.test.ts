// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestApi, type TestApi } from "../../../test/test-api.ts";

interface Document {
  openapi: string;
  paths: Record<string, Record<string, { responses: Record<string, unknown> }>>;
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
