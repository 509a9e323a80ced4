// SPDX-License-Identifier: Apache-2.0
import { createServer, type Socket } from "node:net";
import { describe, expect, it } from "vitest";
import { createLog } from "../common/log.ts";
import { readConfig } from "../config/config.ts";
import { ClickHouseService } from "./clickhouse.service.ts";

it("a query to a server that accepts and says nothing ends as STORAGE_UNAVAILABLE, not with the caller's patience", async () => {
  const sockets: Socket[] = [];
  const server = createServer((socket) => sockets.push(socket));
  const port = await new Promise<number>((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port));
  });
  const { config } = readConfig({ WAGGLE_CLICKHOUSE_URL: `http://127.0.0.1:${port}` });
  const clickhouse = new ClickHouseService(config, createLog("silent"));
  clickhouse.answerTimeoutMs = 50;
  try {
    await expect(clickhouse.query("SELECT 1")).rejects.toMatchObject({ code: "STORAGE_UNAVAILABLE" });
  } finally {
    for (const socket of sockets) socket.destroy();
    await clickhouse.onApplicationShutdown();
    server.close();
  }
});

describe("a connection that is closed in the moment in which it is taken", () => {
  const answer = JSON.stringify({ meta: [], data: [{ one: 1 }], rows: 1, statistics: { elapsed: 0, rows_read: 1, bytes_read: 1 } });
  const response = `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${answer.length}\r\n\r\n${answer}`;

  async function ask(resets: number): Promise<{ readonly asked: number; readonly outcome: unknown }> {
    let asked = 0;
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", () => {
        if (asked++ < resets) socket.resetAndDestroy();
        else socket.end(response);
      });
    });
    const port = await new Promise<number>((resolve) => {
      server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port));
    });
    const { config } = readConfig({ WAGGLE_CLICKHOUSE_URL: `http://127.0.0.1:${port}` });
    const clickhouse = new ClickHouseService(config, createLog("silent"));
    try {
      const outcome = await clickhouse.query("SELECT 1").then(
        ({ rows }) => rows,
        (error: unknown) => error,
      );
      return { asked, outcome };
    } finally {
      await clickhouse.onApplicationShutdown();
      server.close();
    }
  }

  it("is not the end of a question: it is asked again, once", async () => {
    expect(await ask(1)).toEqual({ asked: 2, outcome: [{ one: 1 }] });
    expect(await ask(2)).toMatchObject({ asked: 2, outcome: { code: "STORAGE_UNAVAILABLE" } });
  });
});
