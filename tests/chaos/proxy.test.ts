// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { type AddressInfo, createConnection, createServer } from "node:net";
import { setImmediate, setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import { FaultyProxy } from "./proxy.ts";

const NUMBERS = 200;
const CHUNK_BYTES = 8_000;

it("keeps the order of bytes while the latency comes and goes", async () => {
  const received: Buffer[] = [];
  const server = createServer((socket) => void socket.on("data", (chunk) => received.push(chunk)).on("error", () => {}));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const proxy = await FaultyProxy.open([(server.address() as AddressInfo).port]);
  const client = createConnection({ port: proxy.port, host: "127.0.0.1", noDelay: true });
  await once(client, "connect");
  for (let number = 0; number < NUMBERS; number++) {
    if (number % 10 === 0) proxy.delay(20);
    if (number % 10 === 7) proxy.delay(0);
    const chunk = Buffer.alloc(CHUNK_BYTES);
    chunk.writeUInt32LE(number);
    client.write(chunk);
    if (number % 3 === 0) await sleep(1);
    else await setImmediate();
    if (number % 10 === 6) await sleep(18);
  }
  while (received.reduce((bytes, chunk) => bytes + chunk.length, 0) < NUMBERS * CHUNK_BYTES) await sleep(10);
  const all = Buffer.concat(received);
  expect(Array.from({ length: NUMBERS }, (_, index) => all.readUInt32LE(index * CHUNK_BYTES))).toEqual(
    Array.from({ length: NUMBERS }, (_, index) => index),
  );
  client.destroy();
  proxy.close();
  server.close();
});
