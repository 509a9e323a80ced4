// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { AnswerBodies, type Body } from "./answer-bodies.ts";

const body = (text: string): Body => ({ bytes: Buffer.from(text), headers: {} });

describe("bodies of answers", () => {
  it("are made once per form of an answer that several get, and not kept of others", async () => {
    const bodies = new AnswerBodies();
    const [answer, twin] = [{ a: 1 }, { a: 1 }];
    let made = 0;
    const make = async (): Promise<Body> => body(`body ${++made}`);
    expect(bodies.get(answer, "json gzip", make)).toBeUndefined();
    bodies.share(answer, performance.now());
    bodies.share(twin, performance.now());
    const asked = [bodies.get(answer, "json gzip", make), bodies.get(answer, "json gzip", make), bodies.get(answer, "csv gzip", make)];
    const texts = async () => (await Promise.all(asked)).map((one) => one?.bytes.toString());
    expect(await texts()).toEqual(["body 1", "body 1", "body 2"]);
    expect((await bodies.get(twin, "json gzip", make))?.bytes.toString()).toBe("body 3");
    expect(bodies.size).toBe(18);
    bodies.letGo(answer);
    expect(bodies.size).toBe(6);
    expect(bodies.get(answer, "json gzip", make)).toBeUndefined();
    expect(bodies.ageMs(answer)).toBeUndefined();
    expect(bodies.ageMs(twin)).toBeGreaterThanOrEqual(0);
  });

  it("that could not be made are tried again", async () => {
    const bodies = new AnswerBodies();
    const answer = {};
    bodies.share(answer, performance.now());
    await expect(bodies.get(answer, "json", () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    expect((await bodies.get(answer, "json", async () => body("yes")))?.bytes.toString()).toBe("yes");
  });

  it("take bounded room: those not sent longest are made again", async () => {
    const bodies = new AnswerBodies();
    bodies.bytesMax = 10;
    const answers = [{}, {}, {}];
    let made = 0;
    const send = async (index: number): Promise<void> => {
      await bodies.get(answers[index], "json", async () => {
        made++;
        return body("12345");
      });
    };
    for (const answer of answers) bodies.share(answer, performance.now());
    for (const index of [0, 1, 0, 2]) await send(index);
    expect([made, bodies.size]).toEqual([3, 10]);
    await send(0);
    expect(made).toBe(3);
    await send(1);
    expect([made, bodies.size]).toEqual([4, 10]);
  });
});
