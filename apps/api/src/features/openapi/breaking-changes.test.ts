// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { breakingChanges, type Document } from "./breaking-changes.ts";

const document = (changes: { request?: object; answer?: object; parameters?: object[]; paths?: object } = {}): Document =>
  ({
    paths: changes.paths ?? {
      "/things": {
        post: {
          parameters: changes.parameters ?? [{ name: "q", in: "query", schema: { type: "string", maxLength: 10 } }],
          requestBody: { required: true, content: { "application/json": { schema: { $ref: "#/components/schemas/Ask" } } } },
          responses: { 200: { content: { "application/json": { schema: { $ref: "#/components/schemas/Answer" } } } } },
        },
      },
    },
    components: {
      schemas: {
        Ask: changes.request ?? {
          type: "object",
          properties: {
            name: { type: "string", enum: ["a", "b"] },
            count: { type: "integer", maximum: 10 },
            when: { anyOf: [{ type: "string" }, { type: "integer" }] },
          },
          required: ["name"],
          additionalProperties: false,
        },
        Answer: changes.answer ?? {
          type: "object",
          properties: { id: { type: "string" }, size: { type: ["number", "null"] } },
          required: ["id", "size"],
        },
      },
    },
  }) as Document;

const asked = (properties: object, required = ["name"]) => ({
  request: {
    type: "object",
    properties: {
      name: { type: "string", enum: ["a", "b"] },
      count: { type: "integer", maximum: 10 },
      when: { anyOf: [{ type: "string" }, { type: "integer" }] },
      ...properties,
    },
    required,
    additionalProperties: false,
  },
});
const answered = (properties: object, required = ["id", "size"]) => ({
  answer: { type: "object", properties: { id: { type: "string" }, size: { type: ["number", "null"] }, ...properties }, required },
});

describe("a later document", () => {
  it.each([
    ["nothing", {}],
    ["an optional field to send", asked({ more: { type: "string" } })],
    ["a value to send", asked({ name: { type: "string", enum: ["a", "b", "c"] } })],
    ["a higher bound", asked({ count: { type: "integer", maximum: 20 } })],
    ["another form to send", asked({ when: { anyOf: [{ type: "string" }, { type: "integer" }, { type: "boolean" }] } })],
    ["a field of the answer", answered({ more: { type: "string" } }, ["id", "size", "more"])],
    ["a narrower answer", answered({ size: { type: "integer" } })],
    [
      "an optional parameter",
      {
        parameters: [
          { name: "q", in: "query", schema: { type: "string" } },
          { name: "r", in: "query", schema: { type: "string" } },
        ],
      },
    ],
  ])("may add %s", (_, changes) => {
    expect(breakingChanges(document(), document(changes))).toEqual([]);
  });

  it.each([
    ["an operation is taken away", { paths: {} }, "POST /things is gone"],
    ["a parameter is taken away", { parameters: [] }, "the parameter q is gone"],
    ["a parameter is narrowed", { parameters: [{ name: "q", in: "query", schema: { type: "string", maxLength: 5 } }] }, "maxLength was 10 and is 5"],
    [
      "a parameter is required",
      { parameters: [{ name: "q", in: "query", required: true, schema: { type: "string" } }] },
      "the parameter q is required now",
    ],
    ["a field to send is required", asked({}, ["name", "count"]), "the field count is required now"],
    ["a value to send is taken away", asked({ name: { type: "string", enum: ["a"] } }), 'the value "b" is gone'],
    ["a field to send has another type", asked({ count: { type: "string" } }), "it was integer and is string"],
    ["a form to send is taken away", asked({ when: { type: "string" } }), "integer may not be sent any more"],
    ["a bound is lower", asked({ count: { type: "integer", maximum: 5 } }), "maximum was 10 and is 5"],
    [
      "a field of the answer is taken away",
      { answer: { type: "object", properties: { id: { type: "string" } }, required: ["id"] } },
      "the field size is gone",
    ],
    ["a field of the answer may be missing", answered({}, ["id"]), "the field size may be missing now"],
    ["a field of the answer may be null", answered({ id: { type: ["string", "null"] } }), "Answer.id: it was string and is string or null"],
  ])("breaks clients when %s", (_, changes, problem) => {
    expect(breakingChanges(document(), document(changes)).join("; ")).toContain(problem);
  });
});
