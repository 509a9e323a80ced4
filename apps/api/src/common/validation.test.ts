// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { AppError } from "./app-error.ts";
import { parseOrThrow } from "./validation.ts";

const schema = z.strictObject({
  signal: z.string().max(64),
  limit: z.int().min(1).max(600).default(10),
  by: z
    .array(z.strictObject({ measure: z.string() }))
    .max(3)
    .optional(),
  sort: z.enum(["name", "size"]).optional(),
});

function problemOf(value: unknown): AppError {
  try {
    parseOrThrow(schema, value);
  } catch (error) {
    if (error instanceof AppError) return error;
  }
  throw new Error("it was taken");
}

describe("what is wrong with a request", () => {
  it.each([
    [{}, "/signal", "This is missing; write a string."],
    [{ signal: ["a", "b"] }, "/signal", "This must be a string, and is a list; in an address, write it once."],
    [{ signal: null }, "/signal", "This must be a string, and is null."],
    [{ signal: "a", limit: "5" }, "/limit", "This must be a number, and is a string."],
    [{ signal: "a", limit: Number.NaN }, "/limit", expect.stringContaining("NaN")],
    [{ signal: "a", limit: 601 }, "/limit", "This is at most 600."],
    [{ signal: "a", limit: 0 }, "/limit", "This is at least 1."],
    [{ signal: "a".repeat(65) }, "/signal", "This has at most 64 characters."],
    [{ signal: "a", by: Array(4).fill({ measure: "b" }) }, "/by", "This has at most 3 entries."],
    [{ signal: "a", sort: "nam" }, "/sort", "There is no such value; write one of name, size."],
    [{ signal: "a", by: {} }, "/by", "This must be a list, and is an object."],
    [[], "", "This must be an object, and is a list."],
    ["x", "", "This must be an object, and is a string."],
  ])("in %j is said in words, with its place", (value, pointer, detail) => {
    expect(problemOf(value).errors).toMatchObject([{ pointer, detail }]);
  });

  it("names the fields there are and the nearest one, also inside of lists", () => {
    expect(problemOf({ signal: "a", limitt: 5 }).errors).toEqual([
      { pointer: "/limitt", detail: "There is no such field; there are signal, limit, by, sort.", suggestion: "limit" },
    ]);
    expect(problemOf({ signal: "a", by: [{ measure: "x", measur: "y" }] }).errors).toMatchObject([
      { pointer: "/by/0/measur", suggestion: "measure", detail: "There is no such field; there are measure." },
    ]);
    expect(problemOf({ signal: "a", sort: "nam" }).errors).toMatchObject([{ pointer: "/sort", suggestion: "name" }]);
  });

  it("tells nothing long back, and not everything that is wrong with nonsense", () => {
    const names = Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`${"x".repeat(1_000)}${index}`, 1]));
    const { errors, message } = problemOf({ signal: "a", ...names });
    expect(message).toBe("500 fields are wrong.");
    expect(errors).toHaveLength(20);
    expect(JSON.stringify(errors).length).toBeLessThan(4_000);
  });

  it.each(["__proto__", "constructor", "toString"])("is %s, as any other field", (name) => {
    const value = JSON.parse(`{"signal":"a","${name}":{"signal":"b"}}`) as unknown;
    // A field of this name in JSON is an own one: it is named like any other, or left out; nothing is inherited.
    let read: { signal: string } | undefined;
    try {
      read = parseOrThrow(schema, value);
    } catch (error) {
      expect((error as AppError).errors?.[0]?.pointer).toBe(`/${name}`);
    }
    expect(read?.signal ?? "a").toBe("a");
    expect(({} as { signal?: string }).signal).toBeUndefined();
  });
});
