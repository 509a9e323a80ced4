// SPDX-License-Identifier: Apache-2.0
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Content } from "./table-versions.ts";
import { type Following, type Made, WholeAnswers } from "./whole-answers.ts";

interface Text {
  readonly text: string;
}

const content: Content = { tables: ["t_1m"], fromMs: 0, toMs: 1, version: "1", asOfMs: 0 };
const MAX_AGE_MS = 60_000;

/** Answers that are made when they are told to. */
function workshop(bytesMax = 1_000) {
  const letGo: string[] = [];
  const kept: string[] = [];
  const isStillThere = vi.fn(async (_: Content) => true);
  const answers = new WholeAnswers<Text>({
    bytesMax,
    keptMs: MAX_AGE_MS,
    isStillThere,
    onKept: ({ answer }) => void kept.push(answer.text),
    onLetGo: ({ text }) => void letGo.push(text),
  });
  const begun: { readonly signal: AbortSignal; readonly end: (made?: Partial<Made<Text>>) => void; readonly fail: (error: Error) => void }[] = [];
  const make = (signal: AbortSignal): Promise<Made<Text>> => {
    const { promise, resolve, reject } = Promise.withResolvers<Made<Text>>();
    signal.addEventListener("abort", () => reject(signal.reason as Error));
    const number = begun.length + 1;
    const end = (made: Partial<Made<Text>> = {}): void =>
      resolve({ answer: { text: `answer ${number}` }, asOfMs: performance.now(), contents: [content], bytes: 100, ...made });
    begun.push({ signal, end, fail: reject });
    return promise;
  };
  const get = async (key: string, signal?: AbortSignal, maxAgeMs = MAX_AGE_MS, following?: Following) => {
    const { made, origin } = await answers.get(key, maxAgeMs, make, signal, following);
    return { answer: made.answer, origin };
  };
  /** Asks what follows the present, of a range that ends so many ms later than another. */
  const follow = (toMs: number, signal?: AbortSignal) => get(`until ${toMs}`, signal, MAX_AGE_MS, { name: "the last hour", toMs });
  return { answers, begun, get, follow, isStillThere, kept, letGo };
}

describe("whole answers", () => {
  it("are made once for all who ask meanwhile, and handed out afterwards as the same object", async () => {
    const { begun, get, isStillThere } = workshop();
    const asked = [get("a"), get("a", new AbortController().signal), get("b")];
    expect(begun).toHaveLength(2);
    begun[0]?.end();
    begun[1]?.end();
    const [first, second, other] = await Promise.all(asked);
    expect([first?.origin, second?.origin, other?.origin]).toEqual(["made", "shared", "made"]);
    expect(second?.answer).toBe(first?.answer);
    expect(other?.answer).not.toBe(first?.answer);
    const again = await get("a");
    expect(again).toEqual({ answer: first?.answer, origin: "recent" });
    expect(again.answer).toBe(first?.answer);
    expect(isStillThere).toHaveBeenCalledExactlyOnceWith(content);
    expect(begun).toHaveLength(2);
  });

  it("are made anew when something was written to what they were made of, or they are older than they may be", async () => {
    const { begun, get, isStillThere, letGo } = workshop();
    const first = get("a");
    begun[0]?.end();
    await first;
    isStillThere.mockResolvedValueOnce(false);
    const second = get("a");
    await vi.waitFor(() => expect(begun).toHaveLength(2));
    begun[1]?.end({ asOfMs: performance.now() - 6_000 });
    expect(await second).toMatchObject({ answer: { text: "answer 2" }, origin: "made" });
    expect(letGo).toEqual(["answer 1"]);
    expect((await get("a", undefined, 10_000)).origin).toBe("recent");
    const third = get("a", undefined, 5_000);
    await vi.waitFor(() => expect(begun).toHaveLength(3));
    begun[2]?.end();
    expect(await third).toMatchObject({ answer: { text: "answer 3" }, origin: "made" });
  });

  it("that take longer than an answer may be old are not waited for by who comes later", async () => {
    const { begun, get } = workshop();
    const first = get("a");
    const second = get("a", undefined, -1);
    expect(begun).toHaveLength(2);
    begun[0]?.end();
    begun[1]?.end();
    expect([(await first).answer.text, (await second).answer.text]).toEqual(["answer 1", "answer 2"]);
  });

  it("that fail do so for all who wait, and are not kept", async () => {
    const { begun, get, kept } = workshop();
    const asked = [get("a"), get("a")];
    begun[0]?.fail(new Error("away"));
    for (const one of asked) await expect(one).rejects.toThrow("away");
    expect(kept).toEqual([]);
    const again = get("a");
    begun[1]?.end();
    expect((await again).origin).toBe("made");
  });

  it("go on when one caller goes away, who may be the first, and end with the last", async () => {
    const { begun, get, answers } = workshop();
    const [first, second, third] = [new AbortController(), new AbortController(), new AbortController()];
    const [one, two] = [get("a", first.signal), get("a", second.signal)];
    first.abort(new Error("first left"));
    await expect(one).rejects.toThrow("first left");
    expect(begun[0]?.signal.aborted).toBe(false);
    begun[0]?.end();
    expect((await two).answer.text).toBe("answer 1");
    const alone = get("b", third.signal);
    third.abort(new Error("third left"));
    await expect(alone).rejects.toThrow("third left");
    expect(begun[1]?.signal.aborted).toBe(true);
    expect(answers.size).toBe(100);
  });

  it("take bounded room: the one asked for longest ago goes, and one that is too large is nobody else's", async () => {
    const { answers, begun, get, letGo, kept } = workshop(250);
    const make = async (key: string, bytes: number): Promise<void> => {
      const asked = get(key);
      begun.at(-1)?.end({ bytes });
      await asked;
    };
    for (const key of ["a", "b", "c", "d"]) await make(key, 60);
    expect((await get("a")).origin).toBe("recent");
    await make("e", 60);
    expect(letGo).toEqual(["answer 2"]);
    expect(answers.size).toBe(240);
    await make("f", 63);
    expect(kept).toHaveLength(5);
    expect(answers.size).toBe(240);
  });
});

describe("whole answers to what follows the present", () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  const made = { contents: [] };
  const tick = (ms: number) => vi.advanceTimersByTimeAsync(ms);
  const withEarlier = async () => {
    vi.useFakeTimers();
    const shop = workshop();
    const first = shop.follow(0);
    shop.begun[0]?.end(made);
    await first;
    return shop;
  };

  it("are waited for a second, then the earlier one is handed out and its own goes on for who asks next", async () => {
    const { begun, follow } = await withEarlier();
    const [asked, other] = [follow(10_000), follow(10_000)];
    await tick(999);
    expect(begun).toHaveLength(2);
    await tick(1);
    expect(await asked).toMatchObject({ answer: { text: "answer 1" }, origin: "earlier" });
    expect((await other).origin).toBe("earlier");
    expect(begun[1]?.signal.aborted).toBe(false);
    begun[1]?.end(made);
    await tick(0);
    expect(await follow(10_000)).toMatchObject({ answer: { text: "answer 2" }, origin: "recent" });
  });

  it("are their own where these come in time", async () => {
    const { begun, follow } = await withEarlier();
    const asked = follow(10_000);
    await tick(500);
    begun[1]?.end(made);
    expect(await asked).toMatchObject({ answer: { text: "answer 2" }, origin: "made" });
  });

  it("that took long are handed out for five times as long before another is made", async () => {
    const { begun, follow } = await withEarlier();
    const slow = follow(10_000);
    await tick(2_000);
    begun[1]?.end(made);
    await slow;
    await tick(9_999);
    expect(await follow(20_000)).toMatchObject({ answer: { text: "answer 2" }, origin: "earlier" });
    expect(begun).toHaveLength(2);
    await tick(1);
    const next = follow(20_000);
    begun[2]?.end(made);
    expect(await next).toMatchObject({ answer: { text: "answer 3" }, origin: "made" });
  });

  it("are made one at a time, wherever the range ends", async () => {
    const { begun, follow } = await withEarlier();
    const [asked, later] = [follow(10_000), follow(20_000)];
    await tick(500);
    expect(begun).toHaveLength(2);
    begun[1]?.end(made);
    expect((await asked).answer.text).toBe("answer 2");
    expect(await later).toMatchObject({ answer: { text: "answer 2" }, origin: "shared" });
  });

  it("are never of a range that ends later than what is asked, or much earlier, or older than twenty seconds", async () => {
    const { begun, follow } = await withEarlier();
    const asked = [follow(-10_000), follow(30_000)];
    await tick(1_500);
    expect(begun).toHaveLength(3);
    begun[1]?.end(made);
    begun[2]?.end(made);
    expect(await Promise.all(asked)).toMatchObject([{ answer: { text: "answer 2" } }, { answer: { text: "answer 3" } }]);
    await tick(19_500);
    const late = follow(40_000);
    await tick(1_500);
    expect(begun).toHaveLength(4);
    begun[3]?.end(made);
    expect(await late).toMatchObject({ answer: { text: "answer 4" }, origin: "made" });
  });

  it("are the earlier ones where their own fail, which who has no earlier one hears of", async () => {
    const { begun, follow } = await withEarlier();
    const asked = follow(10_000);
    begun[1]?.fail(new Error("away"));
    expect(await asked).toMatchObject({ answer: { text: "answer 1" }, origin: "earlier" });
    await tick(20_000);
    const later = follow(20_000);
    begun[2]?.fail(new Error("still away"));
    await expect(later).rejects.toThrow("still away");
  });

  it("are joined while they are made where there is no earlier one, and end when all have gone", async () => {
    vi.useFakeTimers();
    const { begun, follow } = workshop();
    const [first, second, third] = [new AbortController(), new AbortController(), new AbortController()];
    const asked = [follow(0, first.signal), follow(10_000, second.signal), follow(20_000, third.signal)];
    const left = asked.map((one) => expect(one).rejects.toThrow("left"));
    await tick(0);
    expect(begun).toHaveLength(1);
    for (const { signal, abort } of [first, second].map((caller) => ({ signal: begun[0]?.signal, abort: () => caller.abort(new Error("left")) }))) {
      abort();
      await tick(0);
      expect(signal?.aborted).toBe(false);
    }
    third.abort(new Error("left"));
    await Promise.all(left);
    expect(begun[0]?.signal.aborted).toBe(true);
  });

  it("leave who goes away, and go on", async () => {
    const { begun, follow } = await withEarlier();
    const caller = new AbortController();
    const asked = follow(10_000, caller.signal);
    const left = expect(asked).rejects.toThrow("left");
    await tick(100);
    caller.abort(new Error("left"));
    await left;
    expect(begun[1]?.signal.aborted).toBe(false);
  });
});
