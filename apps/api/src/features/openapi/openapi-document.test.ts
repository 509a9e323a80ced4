// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createConfig, lintFromString } from "@redocly/openapi-core";
import { describe, expect, it } from "vitest";
import { breakingChanges, type Document } from "./breaking-changes.ts";
import { openApiDocument } from "./openapi-document.ts";

const docs = join(import.meta.dirname, "../../../../../docs");
const read = (name: string): Document => JSON.parse(readFileSync(join(docs, name), "utf8"));

describe("docs/openapi.json", () => {
  it("is what the schemas generate (`node scripts/generate-docs.ts` writes it)", () => {
    expect(read("openapi.json")).toEqual(JSON.parse(JSON.stringify(openApiDocument())));
  });

  it("lints clean by the strictest set of rules", async () => {
    const config = await createConfig({
      extends: ["recommended-strict"],
      rules: {
        // Where the API is served is known to whoever asks it; the document names the path.
        "no-server-example.com": "error",
        "operation-operationId-unique": "error",
        "no-unresolved-refs": "error",
        "tag-description": "error",
      },
    });
    const problems = await lintFromString({ source: JSON.stringify(openApiDocument()), config });
    const found = problems.map(({ ruleId, message, location }) => `${ruleId} at ${location[0]?.pointer}: ${message}`);
    // Two operations refuse nobody: the description itself, and signing out, which is done already where nobody is signed in.
    const refusesNobody = /^operation-4xx-response at #\/paths\/(~1session\/delete|~1openapi\.json\/get)\//;
    expect(found.filter((problem) => !refusesNobody.test(problem))).toEqual([]);
  });

  it("breaks no client of the interface as it was released (docs/openapi-released.json, renewed by each release)", () => {
    expect(breakingChanges(read("openapi-released.json"), read("openapi.json"))).toEqual([]);
  });
});
