// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openApiDocument } from "./openapi-document.ts";

describe("docs/openapi.json", () => {
  it("is what the schemas generate (`node scripts/generate-docs.ts` writes it)", () => {
    const stored = readFileSync(join(import.meta.dirname, "../../../../../docs/openapi.json"), "utf8");
    expect(JSON.parse(stored)).toEqual(JSON.parse(JSON.stringify(openApiDocument())));
  });
});
