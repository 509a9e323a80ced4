// SPDX-License-Identifier: Apache-2.0
import { describe, expect, inject, it } from "vitest";
import { Client } from "../support/stack.ts";

const client = new Client(inject("stack"));

interface Problem {
  code: string;
  status: number;
  detail: string;
  errors?: { pointer: string; suggestion?: string }[];
}

async function problemOf(body: unknown, headers: Record<string, string> = {}): Promise<{ type: string | null; problem: Problem }> {
  const response = await client.request("/api/v1/query", { method: "POST", body: typeof body === "string" ? body : JSON.stringify(body), headers });
  return { type: response.headers.get("content-type"), problem: (await response.json()) as Problem };
}

const good = { signal: "syscalls", select: [{ measure: "count", aggregate: "sum" }], from: "now-5m", to: "now" };

describe("a wrong request", () => {
  it("with an unknown signal gets the nearest name", async () => {
    const { type, problem } = await problemOf({ ...good, signal: "syscals" });
    expect(type).toContain("application/problem+json");
    expect(problem.status).toBe(422);
    expect(JSON.stringify(problem)).toContain("syscalls");
  });

  it("with a range that ends before it starts is told which field", async () => {
    const { problem } = await problemOf({ ...good, from: "now", to: "now-5m" });
    expect(problem.status).toBe(422);
    expect(problem.errors?.[0]?.pointer).toMatch(/^\/(from|to)$/);
  });

  it("with an unknown dimension, measure or field is told which", async () => {
    for (const wrong of [
      { by: ["pid"] },
      { select: [{ measure: "nope", aggregate: "sum" }] },
      { extra: 1 },
      { where: "nope:x" },
      { points: 100_000 },
    ]) {
      const { problem } = await problemOf({ ...good, ...wrong });
      expect(problem.status, JSON.stringify(wrong)).toBe(422);
      expect(problem.errors?.length, JSON.stringify(wrong)).toBeGreaterThan(0);
    }
  });

  it("without or with a wrong token gets nothing", async () => {
    for (const authorization of ["", "Bearer wgl_adm_wrong", "Basic eDp5"]) {
      const { problem } = await problemOf(good, { authorization });
      expect(problem).toMatchObject({ status: 401, code: "UNAUTHENTICATED" });
    }
  });

  it("that is no JSON is told so", async () => {
    const { problem } = await problemOf("{");
    expect(problem.status).toBeGreaterThanOrEqual(400);
    expect(problem.status).toBeLessThan(500);
  });

  it("cannot smuggle SQL through a filter", async () => {
    const answer = await client.query({ ...good, where: `process:"x' OR 1=1 --"`, points: 1 });
    expect(answer.series.flatMap((series) => series.values).every((value) => value === 0 || value === null)).toBe(true);
  });
});
