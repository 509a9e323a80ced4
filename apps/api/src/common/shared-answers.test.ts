// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { SharedAnswers } from "./shared-answers.ts";

describe("answers that are shared", () => {
  it("are asked for once until they expire, each key for itself", async () => {
    const shared = new SharedAnswers<string>(5_000, 10);
    let asked = 0;
    const ask = async (): Promise<string> => `answer ${++asked}`;
    expect(await Promise.all([shared.get("a", ask, 0), shared.get("a", ask, 0), shared.get("b", ask, 0)])).toEqual([
      "answer 1",
      "answer 1",
      "answer 2",
    ]);
    expect(await shared.get("a", ask, 4_999)).toBe("answer 1");
    expect(await shared.get("a", ask, 5_000)).toBe("answer 3");
  });

  it("forgets a failure, so that the next caller asks again", async () => {
    const shared = new SharedAnswers<string>(5_000, 10);
    await expect(shared.get("a", () => Promise.reject(new Error("away")), 0)).rejects.toThrow("away");
    expect(await shared.get("a", async () => "there", 1)).toBe("there");
  });

  it("are asked for anew by who wants a younger one, and when they are forgotten", async () => {
    const shared = new SharedAnswers<number>(5_000, 10);
    let asked = 0;
    const ask = async (): Promise<number> => ++asked;
    await shared.get("a", ask, 0);
    expect(await shared.get("a", ask, 999, 1_000)).toBe(1);
    expect(await shared.get("a", ask, 1_000, 1_000)).toBe(2);
    expect(await shared.get("a", ask, 5_999)).toBe(2);
    shared.forget("a");
    expect(await shared.get("a", ask, 5_999)).toBe(3);
  });

  it("keeps a bounded number, giving up the oldest", async () => {
    const shared = new SharedAnswers<number>(5_000, 2);
    let asked = 0;
    const ask = async (): Promise<number> => ++asked;
    for (const key of ["a", "b", "c"]) await shared.get(key, ask, 0);
    expect(await shared.get("c", ask, 0)).toBe(3);
    expect(await shared.get("a", ask, 0)).toBe(4);
  });
});
