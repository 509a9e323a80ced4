// SPDX-License-Identifier: Apache-2.0
import type { ServerResponse } from "node:http";
import { Writable } from "node:stream";
import { describe, expect, it } from "vitest";
import { EventStream } from "./event-stream.ts";

/** A connection whose reader takes everything, or nothing. */
function connection(isRead: boolean) {
  const chunks: string[] = [];
  const writable = new Writable({
    write(chunk, _, done) {
      chunks.push(String(chunk));
      if (isRead) done();
    },
  });
  return { response: writable as unknown as ServerResponse, chunks, writable };
}

describe("a stream of events", () => {
  it("writes each with its name, id and data on lines of their own", () => {
    const { response, chunks } = connection(true);
    const stream = new EventStream(response, () => {});
    stream.send("problem", { query: 0, code: "X", detail: "a\nb" }, "7");
    stream.heartbeat();
    expect(chunks.slice(1)).toEqual(['event: problem\nid: 7\ndata: {"query":0,"code":"X","detail":"a\\nb"}\n\n', ": heartbeat\n\n"]);
  });

  it("ends with the reason, once, and says nothing afterwards", () => {
    const { response, chunks } = connection(true);
    const ends: string[] = [];
    const stream = new EventStream(response, (reason) => ends.push(reason));
    stream.end("max_age");
    stream.end("stopping");
    stream.send("problem", { query: 0, code: "X", detail: "" });
    stream.heartbeat();
    expect(ends).toEqual(["max_age"]);
    expect(chunks.at(-1)).toMatch(/^event: end\ndata: \{"reason":"max_age","detail":".*","reconnect":true\}\n\n$/);
  });

  it("lets go of a client that does not read, before a bounded number of bytes is exceeded by more than one event", () => {
    const { response, writable } = connection(false);
    const ends: string[] = [];
    const stream = new EventStream(response, (reason) => ends.push(reason));
    const detail = "x".repeat(100_000);
    for (let sent = 0; sent < 100; sent++) stream.send("problem", { query: 0, code: "X", detail });
    expect(ends).toEqual(["slow"]);
    expect(stream.isOpen).toBe(false);
    expect(writable.writableLength).toBeLessThan(1_048_576 + 2 * detail.length);
  });

  it("sends an event that is longer than what may wait to a client that reads, and the next", async () => {
    const chunks: string[] = [];
    const writable = new Writable({
      write(chunk, _, done) {
        chunks.push(String(chunk));
        setImmediate(done);
      },
    });
    const ends: string[] = [];
    const stream = new EventStream(writable as unknown as ServerResponse, (reason) => ends.push(reason));
    for (const code of ["first", "second"]) {
      await stream.drained();
      stream.send("problem", { query: 0, code, detail: "x".repeat(3_000_000) });
    }
    await stream.drained();
    expect(ends).toEqual([]);
    expect(chunks.slice(1).map((chunk) => /"code":"(\w+)"/.exec(chunk)?.[1])).toEqual(["first", "second"]);
  });

  it("waits no longer for a client that went away", async () => {
    const { response, writable } = connection(false);
    const stream = new EventStream(response, () => {});
    stream.send("problem", { query: 0, code: "X", detail: "" });
    const drained = stream.drained();
    writable.emit("close");
    await drained;
    await stream.drained();
    expect(stream.isOpen).toBe(false);
  });

  it("knows that its client went away, also before it began", async () => {
    const { response, writable } = connection(true);
    const ends: string[] = [];
    new EventStream(response, (reason) => ends.push(reason));
    writable.emit("close");
    expect(ends).toEqual(["gone"]);
    const left = connection(true);
    left.writable.destroy();
    const early = new EventStream(left.response, (reason) => ends.push(reason));
    await Promise.resolve();
    expect([ends, early.isOpen]).toEqual([["gone", "gone"], false]);
  });
});
