// SPDX-License-Identifier: Apache-2.0
import { DrizzleQueryError } from "drizzle-orm";
import { expect, it } from "vitest";
import { toAppError } from "../common/problem.ts";

const failed = (code: string) => new DrizzleQueryError("insert into x", [], Object.assign(new Error("could not extend file"), { code }));

it("a full disk of Postgres is said, and may be tried again", () => {
  const error = toAppError(failed("53100"));
  expect(error).toMatchObject({ code: "STORAGE_UNAVAILABLE", retryAfterMs: expect.any(Number) });
  expect(error?.message).toMatch(/disk is full/);
});

it.each(["ECONNREFUSED", "57P01", "08006"])("a Postgres that went away (%s) does not answer", (code) => {
  expect(toAppError(failed(code))).toMatchObject({ code: "STORAGE_UNAVAILABLE", message: "Postgres does not answer." });
});

it("a statement that is wrong is a bug of ours, and so is what no statement said", () => {
  expect(toAppError(failed("42601"))).toBeUndefined();
  expect(toAppError(Object.assign(new Error("read"), { code: "ECONNRESET" }))).toBeUndefined();
});
