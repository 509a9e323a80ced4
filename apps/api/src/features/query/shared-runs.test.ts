// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { SharedRuns } from "./shared-runs.ts";

/** Work that ends when it is told to, and notes what became of it. */
function work() {
  const begun: { readonly signal: AbortSignal; readonly end: (value: number) => void; readonly fail: (error: Error) => void }[] = [];
  const begin = (signal: AbortSignal): Promise<number> => {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    signal.addEventListener("abort", () => reject(signal.reason as Error));
    begun.push({ signal, end: resolve, fail: reject });
    return promise;
  };
  return { begun, begin };
}

describe("runs", () => {
  it("are shared by who asks for the same meanwhile, and begin anew afterwards", async () => {
    const runs = new SharedRuns<number>();
    const { begun, begin } = work();
    const asked = [runs.get("a", begin, undefined), runs.get("a", begin, new AbortController().signal), runs.get("b", begin, undefined)];
    expect(begun).toHaveLength(2);
    begun[0]?.end(1);
    begun[1]?.end(2);
    expect(await Promise.all(asked)).toEqual([
      { answer: 1, isShared: false },
      { answer: 1, isShared: true },
      { answer: 2, isShared: false },
    ]);
    const again = runs.get("a", begin, undefined);
    begun[2]?.end(3);
    expect(await again).toEqual({ answer: 3, isShared: false });
    expect(begun.map(({ signal }) => signal.aborted)).toEqual([false, false, false]);
  });

  it("go on when one caller goes away, and are aborted with the last", async () => {
    const runs = new SharedRuns<number>();
    const { begun, begin } = work();
    const [first, second] = [new AbortController(), new AbortController()];
    const one = runs.get("a", begin, first.signal);
    const two = runs.get("a", begin, second.signal);
    first.abort(new Error("first left"));
    await expect(one).rejects.toThrow("first left");
    expect(begun[0]?.signal.aborted).toBe(false);
    second.abort(new Error("second left"));
    await expect(two).rejects.toThrow("second left");
    expect(begun[0]?.signal.aborted).toBe(true);
    // What was aborted is nobody's answer.
    const three = runs.get("a", begin, undefined);
    begun[1]?.end(7);
    expect(await three).toEqual({ answer: 7, isShared: false });
  });

  it("fail for all of their callers, and are not remembered", async () => {
    const runs = new SharedRuns<number>();
    const { begun, begin } = work();
    const asked = [runs.get("a", begin, undefined), runs.get("a", begin, undefined)];
    begun[0]?.fail(new Error("no"));
    for (const one of asked) await expect(one).rejects.toThrow("no");
    const again = runs.get("a", begin, undefined);
    begun[1]?.end(1);
    expect((await again).answer).toBe(1);
  });

  it("that began too early for a caller are begun anew beside them, and each is aborted with the last of its own", async () => {
    const runs = new SharedRuns<number>();
    const { begun, begin } = work();
    const early = new AbortController();
    const one = runs.get("a", begin, early.signal);
    const two = runs.get("a", begin, undefined, performance.now() + 1);
    const three = runs.get("a", begin, undefined);
    expect(begun).toHaveLength(2);
    early.abort(new Error("gone"));
    await expect(one).rejects.toThrow("gone");
    expect(begun.map(({ signal }) => signal.aborted)).toEqual([true, false]);
    begun[1]?.end(2);
    expect([await two, await three]).toEqual([
      { answer: 2, isShared: false },
      { answer: 2, isShared: true },
    ]);
  });

  it("are not begun for a caller that has gone already", async () => {
    const { begun, begin } = work();
    await expect(new SharedRuns<number>().get("a", begin, AbortSignal.abort(new Error("gone")))).rejects.toThrow("gone");
    expect(begun).toEqual([]);
  });
});
