// SPDX-License-Identifier: Apache-2.0
import { EventEmitter } from "node:events";
import type { IngestServiceClient, StreamSnapshotsRequest } from "@waggle/proto";
import { expect, it } from "vitest";
import { makeFleet, type SimulatedHost } from "./fleet.ts";
import { Ledger } from "./ledger.ts";
import { SimulatedAgent } from "./simulated-agent.ts";

/** A client whose API answers the first `held` snapshots only when it has all of them. */
function clientThatHolds(held: number) {
  const received: bigint[] = [];
  const call = Object.assign(new EventEmitter(), {
    write({ message }: StreamSnapshotsRequest) {
      if (message?.$case === "hello") queueMicrotask(() => call.emit("data", { message: { $case: "config", value: {} } }));
      if (message?.$case !== "snapshot") return;
      received.push(message.value.sequence);
      if (received.length < held) return;
      const due = received.length === held ? received : received.slice(-1);
      for (const sequence of due) call.emit("data", { message: { $case: "ack", value: { sequence } } });
    },
  });
  const client = {
    enrolHost: (_request: unknown, _metadata: unknown, _options: unknown, done: (error: null, answer: { credential: string }) => void) =>
      done(null, { credential: "c" }),
    streamSnapshots: () => call,
  };
  return { client: client as unknown as IngestServiceClient, received };
}

it("a simulated host sends a backlog without waiting for each acknowledgement, and each window once", async () => {
  const { client, received } = clientThatHolds(10);
  const [host] = makeFleet(1, 1) as [SimulatedHost];
  const agent = new SimulatedAgent({ client, token: "t", host, seed: 1, windowMs: 10_000, ledger: new Ledger(undefined), say: () => {} });
  await agent.windows(Array.from({ length: 50 }, (_, index) => 1_800_000_000_000 + index * 10_000));
  expect(agent).toMatchObject({ acknowledged: 50, dropped: 0 });
  expect(new Set(received).size).toBe(50);
  expect(received).toHaveLength(50);
});
